# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding the graphics card, and the builds of torch that serve it."""

from __future__ import annotations

import contextlib
import ctypes
import json
import platform
import re
import sys
from pathlib import Path
from typing import Any

from .events import Refusal
from .processes import PROGRAM, ask

BUILDS = ("cpu", "cuda", "rocm", "mps")
# Smallest CUDA that a driver must know for a build of torch, best first.
CUDA_BUILDS = ((13000, "cu130"), (12060, "cu126"))
# A version of torch is built for one or two of these: they are tried in turn.
ROCM_BUILDS = ("rocm7.2", "rocm7.1", "rocm7.0", "rocm6.4")


def probe_apart() -> dict[str, Any]:
    """What `probe_device` finds, in a process that a faulty driver may take down with it."""
    answer = ask([sys.executable, str(PROGRAM), "probe"])
    try:
        return json.loads(answer)
    except ValueError:
        return {"build": "cpu", "name": "the probe for graphics cards failed; the processor is used"}


def probe_device() -> dict[str, Any]:
    """Which build of torch serves this machine best: `build`, `name` of the device, `driver` of CUDA."""
    if sys.platform == "darwin":
        return {"build": "mps" if platform.machine() == "arm64" else "cpu", "name": platform.machine()}
    return _probe_cuda() or _probe_rocm() or {"build": "cpu", "name": platform.processor() or platform.machine()}


def _probe_cuda() -> dict[str, Any] | None:
    try:
        cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    count, driver, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(128)
    if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return None
    cuda.cuDriverGetVersion(ctypes.byref(driver))
    cuda.cuDeviceGetName(name, len(name), 0)
    return {"build": "cuda", "name": name.value.decode("utf-8", "replace"), "driver": driver.value}


def _probe_rocm() -> dict[str, Any] | None:
    """AMD's driver lists its cards in files: no library of theirs has to be there yet."""
    for node in sorted(Path("/sys/class/kfd/kfd/topology/nodes").glob("*/properties")):
        with contextlib.suppress(OSError):
            target = re.search(r"^gfx_target_version (\d+)", node.read_text(), re.MULTILINE)
            if target and int(target[1]):
                return {"build": "rocm", "name": f"AMD gfx {target[1]}"}
    return None


def torch_tags(build: str, driver: int) -> tuple[str, ...]:
    """Local versions of torch that serve a device, best first; empty where the package index's own does.

    Raises:
        Refusal: the driver is too old for any.
    """
    if build == "mps" or (build == "cpu" and not sys.platform.startswith("linux")):
        return ("",)
    if build == "rocm":
        return ROCM_BUILDS
    if build == "cpu":
        return ("cpu",)
    if tags := tuple(tag for least, tag in CUDA_BUILDS if driver == 0 or driver >= least):
        return tags
    least = CUDA_BUILDS[-1][0]
    raise Refusal(
        "requirement",
        f"the NVIDIA driver knows CUDA {driver // 1000}.{driver % 1000 // 10} at most; update it to one for CUDA "
        f"{least // 1000}.{least % 1000 // 10}, or choose the CPU build",
    )

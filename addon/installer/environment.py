# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment itself: made, brought up to date, checked, removed."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .devices import probe_apart, torch_tags
from .events import Refusal, begin, tell
from .pins import IMPORTED, REQUIREMENTS, canonical, fingerprint, read_lock
from .pip import PYTORCH, install_torch, pip
from .processes import LOG, ask, clean_environment, run
from .pythons import find_python, version_of

INCOMPLETE, INSTALLED = "INCOMPLETE", "installed.json"
NEEDED_GIB = {"cpu": 4, "mps": 4, "cuda": 12, "rocm": 20}
_LOOK = """
import importlib, importlib.metadata, json, platform, re, sys
missing = []
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        missing.append(f"{name}: {type(error).__name__}: {error}")
names = lambda dist: re.sub(r"[-_.]+", "-", dist.metadata["Name"]).lower()
versions = {names(dist): dist.version for dist in importlib.metadata.distributions()}
print(json.dumps({"missing": missing, "versions": versions, "python": platform.python_version()}))
"""


def install(root: Path, lock: Path, build: str, index: str, chosen_python: str) -> dict[str, Any]:
    """Make the environment, or bring one up to date; gives what `installed.json` says."""
    (root / INCOMPLETE).write_text("an installation has begun and not ended; install again to go on\n", "utf-8")
    (root / INSTALLED).unlink(missing_ok=True)
    begin("python")
    python = find_python(chosen_python, root)
    begin("device")
    device = probe_apart()
    build = device["build"] if build == "auto" else build
    check_space(root, build)
    tell("note", text=f"{build}: {device['name']}")
    begin("environment")
    environment_python = make_environment(python, root)
    pins = read_lock(lock)
    begin("torch")
    tag = install_torch(environment_python, root, pins["torch"], torch_tags(build, device.get("driver", 0)), index)
    begin("libraries")
    # torch is there; named again, what it needs comes too.
    wanted = [name if name == "torch" else f"{name}=={pins[canonical(name)]}" for name in REQUIREMENTS]
    companions = ["--extra-index-url", f"{PYTORCH}/{tag}"] if build in ("cuda", "rocm") and not index else []
    limits = ["--constraint", str(constraints(root, pins))]
    pip(environment_python, root, "libraries", len(pins) // 2, [*limits, *companions, *wanted], index)
    begin("verify")
    about = verify(root, lock)
    about.update(build=build, base_python=python, device_name=device["name"])
    write_whole(root / INSTALLED, json.dumps(about, indent=2) + "\n")
    for left in ("cache", "tmp"):
        shutil.rmtree(root / left, ignore_errors=True)
    (root / INCOMPLETE).unlink()
    return about


def check_space(root: Path, build: str) -> None:
    """Raises `Refusal` unless what is still to come has room."""
    free = shutil.disk_usage(root).free / 2**30
    if free < NEEDED_GIB[build] and not (root / "venv").is_dir():
        needed = NEEDED_GIB[build]
        raise Refusal("output", f"{root} has {free:.1f} GiB free; the {build} build needs {needed} GiB: make room")


def make_environment(python: str, root: Path) -> str:
    """The environment's Python; an environment that works is kept, whatever of it is installed by now."""
    made = venv_python(root)
    if version_of(str(made)) == version_of(python) and ask([str(made), "-m", "pip", "--version"]):
        return str(made)
    run([python, "-m", "venv", "--clear", str(root / "venv")], root, clean_environment(root))
    return str(made)


def venv_python(root: Path) -> Path:
    """Where the environment's Python is, or would be."""
    return root / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def constraints(root: Path, pins: dict[str, str]) -> Path:
    """The lock as a file for pip, torch left out: its build is chosen already."""
    path = root / "constraints.txt"
    write_whole(path, "".join(f"{name}=={version}\n" for name, version in pins.items() if name != "torch"))
    return path


def verify(root: Path, lock: Path) -> dict[str, Any]:
    """Import what the backend imports and compare versions with the lock; gives what is installed.

    Raises:
        Refusal: something is missing or of another version; names the first.
    """
    python = venv_python(root)
    if not python.is_file():
        raise Refusal("backend", f"there is no environment in {root}; install it")
    answer = run([str(python), "-c", _LOOK, *IMPORTED], root, clean_environment(root)).strip().splitlines()
    found = json.loads(answer[-1])
    if found["missing"]:
        raise Refusal("backend", f"a library cannot be loaded: {found['missing'][0]}; install again to mend it")
    pins = read_lock(lock)
    for name in map(canonical, REQUIREMENTS):
        version = found["versions"].get(name, "").partition("+")[0]
        if version != pins[name]:
            raise Refusal(
                "backend", f"{name} is {version or 'missing'}, not {pins[name]}; install again to bring it up to date"
            )
    return {
        "lock": fingerprint(lock),
        "python": found["python"],
        "torch": found["versions"]["torch"],
        "packages": len(found["versions"]),
        "when": time.strftime("%Y-%m-%d %H:%M"),
    }


def uninstall(root: Path) -> dict[str, Any]:
    """Remove the environment and everything that installing left."""
    (root / INCOMPLETE).write_text("an uninstallation has begun and not ended; uninstall again\n", "utf-8")
    (root / INSTALLED).unlink(missing_ok=True)
    for name in ("venv", "cache", "tmp", "python"):
        tell("progress", share=0.5, detail=f"removing {name}")
        if (root / name).exists():
            shutil.rmtree(root / name)
    for name in ("constraints.txt", LOG, INCOMPLETE):
        (root / name).unlink(missing_ok=True)
    return {}


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).replace(path)

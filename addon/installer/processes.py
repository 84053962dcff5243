# SPDX-License-Identifier: GPL-3.0-or-later
"""Running commands, with their output in the log; they end when this program is told to stop."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .events import EXIT_CODES, Refusal

PROGRAM = Path(__file__).absolute().with_name("__main__.py")  # this one
LOG = "install.log"
ANSWER_S = 20.0
UNREACHABLE = r"Temporary failure in name resolution|Failed to establish a new conn|getaddrinfo failed|ProxyError"

_child: subprocess.Popen[str] | None = None
_cancelled = threading.Event()


def run(
    command: Sequence[str], root: Path, environment: dict[str, str], take_in: Callable[[str], None] | None = None
) -> str:
    """Run a command with its output in the log; gives that output.

    Raises:
        Refusal: it failed; says how.
    """
    global _child
    lines: list[str] = []
    with (root / LOG).open("a", encoding="utf-8") as log:
        log.write(f"\n$ {' '.join(command[:6])} ...\n")
        _child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            encoding="utf-8", errors="replace", env=environment, cwd=root,
        )  # fmt: skip
        assert _child.stdout is not None
        for line in _child.stdout:
            log.write(line)
            log.flush()
            lines.append(line)
            if take_in is not None:
                take_in(line)
        code = _child.wait()
        _child = None
    if _cancelled.is_set():
        raise Refusal("cancelled", "cancelled; install again to go on from here")
    if code:
        raise Refusal("backend", f"{explain(lines, code)}; the log: {root / LOG}")
    return "".join(lines)


def ask(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    """The one line that a command prints; empty if it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER_S, stdin=subprocess.DEVNULL,
            env=environment or clean_environment(None),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def explain(lines: list[str], code: int) -> str:
    """Why a command failed, for the user, from what it printed."""
    text = "".join(lines)
    if "No space left on device" in text:
        return "the disk is full; make room and install again to go on"
    if re.search(UNREACHABLE, text):
        return "the package index cannot be reached; check the network and install again to go on"
    if found := re.findall(r"No matching distribution found for (\S+)", text):
        return f"the package index has no {found[-1]} for this machine"
    if found := re.findall(r"Cannot install (?:[\w.=+-]+ and )?([\w-]+)", text):
        return f"the package index has no {found[-1]} of the locked version for this machine"
    if "Permission denied" in text:
        return "a file cannot be written (permission denied)"
    errors = [line.strip().removeprefix("ERROR: ") for line in lines if line.startswith("ERROR:")]
    last = errors or [line.strip() for line in lines if line.strip()]
    return last[-1] if last else f"a command ended with exit code {code}"


def clean_environment(root: Path | None) -> dict[str, str]:
    """This process's environment without what is meant for Blender's Python; pip keeps its files below ROOT."""
    drop = ("PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in drop}
    environment.update(PYTHONNOUSERSITE="1", PYTHONUNBUFFERED="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
    if root is not None:
        (root / "tmp").mkdir(parents=True, exist_ok=True)
        environment.update(PIP_CACHE_DIR=str(root / "cache"), TMPDIR=str(root / "tmp"), TEMP=str(root / "tmp"))
    return environment


def stop_when_stdin_ends() -> None:
    """Wait for the end of stdin, then end the running command and this process's work."""
    while os.read(0, 4096):
        pass
    _cancelled.set()
    child = _child
    if child is not None:
        child.terminate()
        time.sleep(2.0)
        child.kill()
    time.sleep(5.0)
    os._exit(EXIT_CODES["cancelled"])

# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker: a process that is handed one unit of work at a time, and speaks JSON lines with its parent.

Run by its path, inside Blender (`blender -b --python worker.py -- MAKER`) or by a Python; no installed package is
needed. MAKER is the module that does the work: its `work(task, send)` keeps what it makes, and raises `OutputError` or
`RequirementError` where no other unit could be made either. stdin brings tasks; what is
printed goes to stderr.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = "puppet_master"
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl


class Parent:
    """The line to the parent: events out, tasks in."""

    def __init__(self) -> None:
        # Blender prints a line a frame to file 1, past sys.stdout: from now on that is the log.
        self._events = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._tasks = os.fdopen(os.dup(0), encoding="utf-8")

    def send(self, event: dict[str, Any]) -> None:
        """Tell the parent; if it is gone, end here and now."""
        try:
            self._events.write(json.dumps(event) + "\n")
            self._events.flush()
        except OSError:
            os._exit(1)

    def next_task(self) -> dict[str, Any] | None:
        """Wait for a task; None when there will be no more."""
        line = self._tasks.readline()
        return json.loads(line) if line else None


def serve(parent: Parent, maker: str) -> None:
    """Work off tasks until there are no more."""
    try:
        work: Callable[..., None] = importlib.import_module(maker).work
        errors = importlib.import_module(f"{PACKAGE}.backend.errors")
    except ImportError as error:
        requirements = importlib.import_module(f"{PACKAGE}.backend.requirements")
        message = str(requirements.explain_missing_bpy(error)) if _is_blenders(error) else traceback.format_exc()
        parent.send({"event": "stop", "kind": "requirement", "message": message})
        return
    parent.send({"event": "ready"})
    while (task := parent.next_task()) is not None:
        began = time.monotonic()
        try:
            work(task, parent.send)
        except (errors.OutputError, errors.RequirementError) as error:
            parent.send({"event": "stop", "kind": error.kind, "message": str(error)})
        except Exception as error:  # noqa: BLE001 - one bad unit must not end the run; the ledger keeps it
            traceback.print_exc()
            parent.send({"event": "failed", "key": task["key"], "detail": f"{type(error).__name__}: {error}"})
        else:
            parent.send({"event": "done", "key": task["key"], "seconds": time.monotonic() - began})


def _is_blenders(error: ImportError) -> bool:
    """Whether Blender's module is what cannot be imported."""
    return error.name == "bpy" or "cannot open shared object" in str(error)


def end_with_parent() -> None:
    """On Linux, be killed when the parent is, whatever Blender is busy with; elsewhere stdin's end tells."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def import_package() -> None:
    """Make the folder this file lies in importable as `puppet_master`, whatever it is called."""
    here = Path(__file__).resolve().parent
    # Python put this script's folder first: our module names would hide those of others.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    _load("launch", here.parent / "launch.py").register_package(here.parents[1])


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(arguments: list[str]) -> int:
    """Serve with the maker named in `arguments`; returns the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    end_with_parent()
    parent = Parent()
    import_package()
    serve(parent, arguments[0])
    return 0


if __name__ == "__main__":
    own = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []  # Blender keeps what is before "--"
    code = main(own)
    sys.stderr.flush()
    os._exit(code)  # Blender's own end can take long, or crash, and has nothing left to save

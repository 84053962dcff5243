# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend's own Python environment: where it is, in what state, and the program that changes that.

The work is done by `installer` in a process of its own; this starts it, follows it and says how things stand.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import bpy

from ..backend.errors import InputError, RequirementError
from . import background, installer

LOCK = Path(__file__).parents[1] / "requirements.lock"
WHERE_TO_ALLOW = "Edit > Preferences > System > Network > Allow Online Access"
LOOPBACK = ("http://127.0.0.1", "http://localhost", "http://[::1]", "file:")


class Condition(Enum):
    """In what state the environment is."""

    ABSENT = "not installed"
    INCOMPLETE = "installation not finished"
    OUTDATED = "made by another version"
    COMPLETE = "installed"


@dataclass(frozen=True)
class Found:
    """What is there.

    Attributes:
        condition: the state.
        root: the folder that holds it all.
        about: what the installation said of itself: `torch`, `python`, `build`, `when`.
    """

    condition: Condition
    root: Path
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def python(self) -> str:
        """The environment's Python; empty unless it can run the backend."""
        usable = self.condition in (Condition.COMPLETE, Condition.OUTDATED)
        return str(installer.venv_python(self.root)) if usable else ""


_task: background.Task | None = None


def look(root: Path) -> Found:
    """See what is installed; reads one small file."""
    if (root / installer.INCOMPLETE).exists():
        return Found(Condition.INCOMPLETE, root)
    try:
        about = json.loads((root / installer.INSTALLED).read_text("utf-8"))
    except (OSError, ValueError):
        return Found(Condition.ABSENT, root)
    if not installer.venv_python(root).is_file():
        return Found(Condition.INCOMPLETE, root, about)
    current = about.get("lock") == installer.fingerprint(LOCK)
    return Found(Condition.COMPLETE if current else Condition.OUTDATED, root, about)


def task() -> background.Task | None:
    """What the program does or did last."""
    return _task


def busy() -> bool:
    """Whether the program is at work."""
    return _task is not None and not _task.over


def is_local(address: str) -> bool:
    """Whether a web address is on this computer, so that it needs no leave to go online."""
    return address.startswith(LOOPBACK)


def check_online(what: str, index: str = "") -> None:
    """Raises `RequirementError` unless Blender may go online, or the index is on this computer."""
    if bpy.app.online_access or is_local(index):
        return
    raise RequirementError(f"{what} needs the network, which Blender may not use; allow it under {WHERE_TO_ALLOW}")


def install(root: Path, build: str = "auto", index: str = "", python: str = "") -> background.Task:
    """Begin to install, to go on with it, or to bring it up to date; gives the task to follow.

    Raises:
        RequirementError: Blender may not go online.
        InputError: the program is at work already.
        BackendError: it cannot be started.
    """
    check_online("installing the backend", index)
    arguments = ["install", str(root), "--lock", str(LOCK), "--torch", build]
    arguments += ["--index", index] if index else []
    arguments += ["--python", python] if python else []
    return _begin("Installing", arguments)


def verify(root: Path) -> background.Task:
    """Begin to check that everything loads and has the locked versions. Raises as `install`."""
    return _begin("Verifying", ["verify", str(root), "--lock", str(LOCK)])


def uninstall(root: Path) -> background.Task:
    """Begin to remove everything. Raises as `install`."""
    return _begin("Uninstalling", ["uninstall", str(root)])


def cancel() -> None:
    """Stop the program; what is installed by then is used when it goes on."""
    if _task is not None:
        _task.cancel()


def _begin(title: str, arguments: list[str]) -> background.Task:
    global _task
    if busy():
        raise InputError("the backend is being changed already; wait for that or cancel it")
    # Blender's own Python: it is always there, and nothing but the standard library is needed.
    task = background.Task(title, [sys.executable or "python3", str(installer.PROGRAM), *arguments])
    background.run(task)
    _task = task
    return task


def register() -> None:
    """Nothing to register."""


def unregister() -> None:
    """Forget the last task; a running one is ended by `background`."""
    global _task
    _task = None

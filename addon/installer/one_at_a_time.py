# SPDX-License-Identifier: GPL-3.0-or-later
"""Two Blenders and one environment: only one changes it, and only while no backend runs from it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .events import Refusal

LOCKED, IN_USE = "lock", "in-use"


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """The only installer at work on ROOT, and nobody using what is there.

    Raises:
        Refusal: another one is, or a backend runs from there.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        file = (root / LOCKED).open("a+b")
    except OSError as error:
        raise Refusal("output", f"cannot write to {root}: {error.strerror}; make it writable") from error
    with file:
        try:
            _lock(file)
        except OSError:
            raise Refusal(
                "backend", f"another Blender is installing the backend in {root}; wait until it is done"
            ) from None
        if users := backends_of(root):
            raise Refusal(
                "backend",
                f"a backend of another Blender (process {users[0]}) runs from {root}; stop it there, then try again",
            )
        yield


def _lock(file: Any) -> None:
    """Lock a file until it is closed. Raises OSError when another process has."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def backends_of(root: Path) -> list[int]:
    """Processes of backends that run from ROOT; notes of those that are gone are removed."""
    alive = []
    for note in (root / IN_USE).glob("*"):
        if note.name.isdecimal() and _is_alive(int(note.name)):
            alive.append(int(note.name))
        else:
            note.unlink(missing_ok=True)
    return alive


def note_in_use(root: Path, pid: int) -> Path:
    """Tell other Blenders that a backend runs from ROOT, so that they do not change what it runs on."""
    note = root / IN_USE / str(pid)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.touch()
    return note


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":
        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
        if handle:
            ctypes.windll.kernel32.CloseHandle(handle)
        return bool(handle)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are there whole or not at all.

No bpy here: programs use it to explain a missing Blender.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..backend.errors import OutputError


def make_folder(folder: Path) -> None:
    """Create a folder and those above it. Raises `OutputError` that names it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot create the folder {folder}: {error.strerror}") from error


def writable(folder: Path) -> Path:
    """The folder, if files can be made there. Raises `OutputError` with the way out."""
    if not os.access(folder, os.W_OK):
        raise OutputError(
            f"cannot write to {folder}; make it writable or choose an Output Folder in the add-on's preferences"
        )
    return folder


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; the file takes its place when the block ends well.

    Raises:
        OutputError: it cannot be written; also for the RuntimeError by which Blender says so.
    """
    part = path.with_name(path.name + ".part")
    try:
        yield part
        part.replace(path)
    except (OSError, RuntimeError) as error:
        raise OutputError(f"cannot write {path}: {_reason(error)}") from error
    finally:
        with suppress(OSError):
            part.unlink()


def _reason(error: OSError | RuntimeError) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.removeprefix("Error: ").split())

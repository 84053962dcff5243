# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are written whole or not at all, with errors that name them."""

from __future__ import annotations

import os
from pathlib import Path

from ..backend.errors import OutputError


def make_folder(folder: Path) -> Path:
    """The folder, made if need be. Raises `OutputError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}; choose another") from error
    return folder


def write_whole(path: Path, content: bytes | str) -> Path:
    """Write a file under another name, then rename it. Raises `OutputError`."""
    data = content.encode() if isinstance(content, str) else content
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; make room or choose another") from error
    finally:
        if partial.parent.is_dir():
            partial.unlink(missing_ok=True)
    return path

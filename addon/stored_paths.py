# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths that move along with the .blend."""

from __future__ import annotations

from pathlib import Path

import bpy


def stored(path: Path, blend: str | None = None) -> str:
    """A path as it is stored: relative to the .blend (the open one, or `blend`) if that has a place on its drive."""
    start = blend or bpy.data.filepath
    if not start:
        return str(path)
    try:
        return bpy.path.relpath(str(path), start=str(Path(start).parent))
    except ValueError:  # another drive, on Windows
        return str(path)

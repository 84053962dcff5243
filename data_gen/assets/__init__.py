# SPDX-License-Identifier: GPL-3.0-or-later
"""Animated asset files: what they are, whether they are whole, and each of their animations by itself."""

from __future__ import annotations

from pathlib import Path

from .importers import this_blender
from .sniff import SUFFIXES, sniff
from .source import AssetSource, open_source

__all__ = ["MOST_TRIANGLES", "SUFFIXES", "AssetSource", "open_asset"]

MOST_TRIANGLES = 5_000_000


def open_asset(path: Path, most_triangles: int = MOST_TRIANGLES) -> AssetSource:
    """Open an asset file as Blender's current file, in place of what was open; whatever comes of it, the next can be.

    Args:
        path: a file with one of the `SUFFIXES`.
        most_triangles: heavier assets are turned away.

    Raises:
        Damaged: the file is not there, not whole, not what its extension says, or the importer refuses it.
        Rejection: nothing in it can be seen, nothing is animated, or it is too heavy.
    """

    return open_source(path, sniff(path, this_blender()), most_triangles)

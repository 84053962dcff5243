# SPDX-License-Identifier: GPL-3.0-or-later
"""Alembic files: their tree of groups is walked, since the library behind Blender aborts on a broken one."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from ..reasons import Damaged
from .facts import Facts, truncated

OGAWA = b"Ogawa"
HDF5 = b"\x89HDF\r\n\x1a\n"
_HEADER = 16
_DATA = 1 << 63  # in a child's place: it is data and not a group
_MOST_GROUPS = 300_000  # looked at; what lies deeper in larger files is left to the importer


def read_alembic(path: Path) -> Facts:
    """Check an .abc file.

    Raises:
        Damaged: cut off, never finished, or in the older HDF5 layout.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[: len(HDF5)] == HDF5:
            raise Damaged("unsupported format", f"{path.name}: Alembic in HDF5; convert it to Ogawa (abcconvert)")
        if len(data) < _HEADER:
            raise truncated(path, "an Alembic header", len(data), _HEADER)
        if data[5] != 0xFF:
            raise Damaged("truncated", f"{path.name}: the program that wrote it never finished it")
        _walk(path, data, struct.unpack_from("<Q", data, 8)[0])
    return Facts(format="Alembic", variant="Ogawa")


def _walk(path: Path, data: mmap.mmap, root: int) -> None:
    """Check that all groups and data lie inside the file."""
    waiting, seen, size = [root], {0}, len(data)
    while waiting and len(seen) < _MOST_GROUPS:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        is_data, start = bool(place & _DATA), place & ~_DATA
        if not start:
            continue  # an empty group or empty data
        if start + 8 > size:
            raise truncated(path, "a group", size, start + 8)
        (count,) = struct.unpack_from("<Q", data, start)
        end = start + 8 + (count if is_data else 8 * count)
        if end > size:
            raise truncated(path, "data" if is_data else "a group", size, end)
        if not is_data:
            waiting.extend(struct.unpack_from(f"<{count}Q", data, start + 8))

# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a file that came from the web is a GLB."""

from __future__ import annotations

import struct
from pathlib import Path


def check_glb(path: Path) -> None:
    """Whether a file is a GLB as long as it says itself.

    Raises:
        ValueError: saying what is wrong.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        header = stream.read(12)
    if len(header) < 12 or header[:4] != b"glTF":
        raise ValueError("no GLB file")
    stated = struct.unpack("<4sII", header)[2]
    if stated != size:
        raise ValueError(f"{size} bytes, its own header says {stated}")

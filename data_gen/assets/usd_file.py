# SPDX-License-Identifier: GPL-3.0-or-later
"""USD files, as text, binary ("crate") and packed (usdz): whole, and what they declare."""

from __future__ import annotations

import re
import struct
import zipfile
from pathlib import Path

from ..reasons import Damaged
from .balance import is_balanced
from .facts import Facts, truncated, unreadable

CRATE = b"PXR-USDC"
TEXT = (b"#usda", b"#sdf")
_SECTION = struct.Struct("<16sqq")
_INSIDE = (".usd", ".usda", ".usdc")


def read_usd(path: Path) -> Facts:
    """Check a .usd, .usda or .usdc file.

    Raises:
        Damaged: cut off.
    """
    data = path.read_bytes()
    return _read_crate(path, data) if data.startswith(CRATE) else _read_text(path, data)


def _read_crate(path: Path, data: bytes) -> Facts:
    if len(data) < 24:
        raise truncated(path, "a USD header", len(data), 24)
    (contents,) = struct.unpack_from("<q", data, 16)
    if contents < 24 or contents + 8 > len(data):
        raise truncated(path, "the table of contents", len(data), contents + 8)
    (count,) = struct.unpack_from("<Q", data, contents)
    if contents + 8 + count * _SECTION.size > len(data):
        raise truncated(path, "the table of contents", len(data), contents + 8 + count * _SECTION.size)
    for index in range(count):
        name, start, size = _SECTION.unpack_from(data, contents + 8 + index * _SECTION.size)
        if start < 0 or size < 0 or start + size > len(data):
            raise truncated(path, f"section {name.rstrip(bytes(1)).decode('latin-1')}", len(data), start + size)
    return Facts(format="USD", variant="binary " + ".".join(str(number) for number in data[8:11]))


def _read_text(path: Path, data: bytes) -> Facts:
    if not is_balanced(data, b"#"):
        raise Damaged("truncated", f"{path.name}: a bracket or string is still open at the end, byte {len(data)}")
    said = re.search(rb'^\s*doc = "([^"]*)"', data[:4096], re.MULTILINE)
    return Facts(format="USD", variant="text", generator=said.group(1).decode("utf-8", "replace") if said else "")


def read_packed_usd(path: Path) -> Facts:
    """Check a .usdz file: a zip archive of uncompressed files, the first of them USD.

    Raises:
        Damaged: cut off, with a password, or without USD in it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except zipfile.BadZipFile as error:
        raise Damaged("truncated", f"{path.name}: the zip archive has no table of contents") from error
    if any(entry.flag_bits & 1 for entry in entries):
        raise Damaged("unsupported compression", f"{path.name}: the zip archive has a password")
    if not entries or not entries[0].filename.lower().endswith(_INSIDE):
        raise unreadable(path, "the first file of the archive is not USD")
    return Facts(format="USD", variant="packed")

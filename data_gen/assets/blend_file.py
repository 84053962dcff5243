# SPDX-License-Identifier: GPL-3.0-or-later
""".blend files, plain and compressed: whole, and of a version that can be opened."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

from ..reasons import Damaged
from .facts import Facts, Reader, truncated, unreadable

MAGIC = b"BLENDER"
GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
_OLD = re.compile(rb"BLENDER([-_])([vV])(\d{3})")
_NEW = re.compile(rb"BLENDER(\d\d)-(\d\d)v(\d{4})")
_CHUNK = 1 << 20


def read_blend(path: Path, reader: Reader) -> Facts:
    """Check a .blend file.

    Raises:
        Damaged: cut off, or it needs a later Blender.
    """
    with path.open("rb") as file:
        head = file.read(4)
    if head.startswith(ZSTD):
        _check_zstd(path, path.read_bytes())
        return Facts(format="Blender", variant="compressed")
    if head.startswith(GZIP):
        data = _unzip(path)
        _check_blocks(path, data, reader)
        return Facts(format="Blender", variant=f"compressed, {_version_words(data)}")
    data = path.read_bytes()
    _check_blocks(path, data, reader)
    return Facts(format="Blender", variant=_version_words(data))


def _version_words(data: bytes) -> str:
    found = _NEW.match(data) or _OLD.match(data)
    number = int(found.group(3)) if found else 0
    return f"{number // 100}.{number % 100}"


def _check_blocks(path: Path, data: bytes, reader: Reader) -> None:
    """Walk the blocks up to the last one, whose code is ENDB."""
    new, old = _NEW.match(data), _OLD.match(data)
    if new:
        if reader.blender < (4, 5):
            raise unreadable(path, f"saved by Blender {_version_words(data)}; needs 4.5 or later")
        place, layout, length_at = int(new.group(1)), struct.Struct("<4sIQQQ"), 3
    elif old:
        order = "<" if old.group(2) == b"v" else ">"
        pointer = "Q" if old.group(1) == b"-" else "I"
        place, layout, length_at = 12, struct.Struct(f"{order}4sI{pointer}II"), 1
    else:
        raise unreadable(path, f"the header {data[:17]!r} is of no known version of Blender")
    while True:
        if place + layout.size > len(data):
            raise truncated(path, "the last block", len(data), place + layout.size)
        head = layout.unpack_from(data, place)
        if head[0] == b"ENDB":
            return
        start = place + layout.size
        place = start + head[length_at]
        if place > len(data):
            raise truncated(path, f"block {head[0].rstrip(bytes(1)).decode('latin-1')}", len(data), place)
        if head[0] == b"GLOB":
            _check_least_version(path, data[start:place], layout.format[:1], reader)


def _check_least_version(path: Path, block: bytes, order: str, reader: Reader) -> None:
    """Refuse a file that says that it needs a later Blender."""
    least = struct.unpack_from(f"{order}h", block, 6)[0] if len(block) >= 8 else 0
    if divmod(least, 100) > reader.blender:
        needs, has = divmod(least, 100), reader.blender
        raise unreadable(path, f"it needs Blender {needs[0]}.{needs[1]} or later, this is {has[0]}.{has[1]}")


def _unzip(path: Path) -> bytes:
    """The whole of a gzip file."""
    unpacker, parts = zlib.decompressobj(wbits=31), []
    with path.open("rb") as file:
        try:
            while not unpacker.eof and (chunk := file.read(_CHUNK)):
                parts.append(unpacker.decompress(chunk))
        except zlib.error as error:
            raise unreadable(path, f"compressed data are broken: {error}") from error
    data = b"".join(parts)
    if not unpacker.eof:
        raise Damaged("truncated", f"{path.name}: compressed data end after {len(data)} bytes, unfinished")
    if not data.startswith(MAGIC):
        raise Damaged("wrong extension", f"{path.name}: a gzip archive that holds no .blend file")
    return data


def _check_zstd(path: Path, data: bytes) -> None:
    """Walk the frames and blocks of zstd data without unpacking them."""
    place = 0
    while place < len(data):
        if place + 8 > len(data):
            raise truncated(path, "a compressed frame", len(data), place + 8)
        magic, size = struct.unpack_from("<II", data, place)
        if magic & 0xFFFFFFF0 == 0x184D2A50:  # skippable: Blender's table of frames
            place += 8 + size
            if place > len(data):
                raise truncated(path, "the table of frames", len(data), place)
        elif data[place : place + 4] == ZSTD:
            place = _frame_end(path, data, place)
        else:
            raise unreadable(path, f"no compressed frame at byte {place}")


def _frame_end(path: Path, data: bytes, place: int) -> int:
    """Where the zstd frame at `place` ends (RFC 8878, 3.1.1)."""
    flags = data[place + 4]
    single = flags >> 5 & 1
    sizes = (single, 2, 4, 8)[flags >> 6] + (0, 1, 2, 4)[flags & 3]
    place += 5 + (1 - single) + sizes
    last = False
    while not last:
        if place + 3 > len(data):
            raise truncated(path, "a compressed block", len(data), place + 3)
        block = int.from_bytes(data[place : place + 3], "little")
        last, repeated = bool(block & 1), block >> 1 & 3 == 1
        place += 3 + (1 if repeated else block >> 3)
    place += 4 if flags & 4 else 0  # a checksum
    if place > len(data):
        raise truncated(path, "a compressed block", len(data), place)
    return place

# SPDX-License-Identifier: GPL-3.0-or-later
"""FBX files, binary and text: whole, and what they declare."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..reasons import Damaged
from .balance import is_balanced
from .facts import Facts, truncated

MAGIC = b"Kaydara FBX Binary  \x00"
_ASCII = re.compile(rb"\A(\xef\xbb\xbf)?\s*(;[^\n]*FBX|FBXHeaderExtension)")
_STACK = re.compile(rb"S....([^\x00]*)\x00\x01AnimStack", re.DOTALL)
_TEXT_STACK = re.compile(rb'AnimationStack:[^"\n]*"AnimStack::([^"\n]*)"')
_HEADER = 27
_STACKS_SINCE = 7000  # before that there are takes
_WIDE = 7500  # from this version on offsets have 64 bits


class Node(NamedTuple):
    """A record of the file: its name, where its properties and its children begin, where it ends."""

    name: bytes
    properties: int
    count: int
    children: int
    end: int


def is_text_fbx(head: bytes) -> bool:
    """Whether a file's beginning is that of FBX as text."""
    return bool(_ASCII.match(head))


def read_fbx(path: Path) -> Facts:
    """Check an FBX file.

    Raises:
        Damaged: cut off.
    """
    data = path.read_bytes()
    return _read_binary(path, data) if data.startswith(MAGIC) else _read_text(path, data)


def _read_binary(path: Path, data: bytes) -> Facts:
    if len(data) < _HEADER:
        raise truncated(path, "an FBX header", len(data), _HEADER)
    (version,) = struct.unpack_from("<I", data, 23)
    nodes = {node.name: node for node in _nodes(path, data, _HEADER, len(data), version)}
    creator = _text(data, nodes[b"Creator"]) if b"Creator" in nodes else ""
    said = _document_words(path, data, nodes, version)
    return Facts(
        format="FBX",
        variant=f"binary {version / 1000:g}",
        generator=creator,
        title=said.get(b"Title", ""),
        author=said.get(b"Author", ""),
        animations=_names(_STACK, data) if version >= _STACKS_SINCE else None,
    )


def _nodes(path: Path, data: bytes, place: int, end: int, version: int) -> Iterator[Node]:
    """The records from `place` until the empty one that ends a list.

    Raises:
        Damaged: one reaches beyond `end`, or there is no last one.
    """
    layout = struct.Struct("<QQQB" if version >= _WIDE else "<IIIB")
    while True:
        if place + layout.size > end:
            raise truncated(path, "the list of records", len(data), place + layout.size)
        stop, count, length, name = layout.unpack_from(data, place)
        if not stop:
            return
        start = place + layout.size + name
        if stop > end or stop <= place:
            raise truncated(path, "a record", len(data), stop)
        yield Node(data[start - name : start], start, count, start + length, stop)
        place = stop


def _text(data: bytes, node: Node) -> str:
    """A record's first property, where that is text."""
    if not node.count or data[node.properties : node.properties + 1] != b"S":
        return ""
    (length,) = struct.unpack_from("<I", data, node.properties + 1)
    start = node.properties + 5
    return data[start : start + length].decode("utf-8", "replace")


def _document_words(path: Path, data: bytes, nodes: dict[bytes, Node], version: int) -> dict[bytes, str]:
    """What the file's header says under "MetaData"."""
    for name in (b"FBXHeaderExtension", b"SceneInfo", b"MetaData"):
        if name not in nodes or nodes[name].children >= nodes[name].end:
            return {}
        node = nodes[name]
        nodes = {child.name: child for child in _nodes(path, data, node.children, node.end, version)}
    return {name: _text(data, node) for name, node in nodes.items()}


def _read_text(path: Path, data: bytes) -> Facts:
    if not is_balanced(data, b";"):
        raise Damaged("truncated", f"{path.name}: a bracket is still open at the end, byte {len(data)}")
    version = re.search(rb"FBXVersion:\s*(\d+)", data)
    creator = re.search(rb'^\s*Creator:\s*"([^"]*)"', data, re.MULTILINE)
    number = int(version.group(1)) if version else 0
    return Facts(
        format="FBX",
        variant=f"text {number / 1000:g}" if version else "text",
        generator=creator.group(1).decode("utf-8", "replace") if creator else "",
        animations=_names(_TEXT_STACK, data) if number >= _STACKS_SINCE else None,
    )


def _names(stack: re.Pattern[bytes], data: bytes) -> tuple[str, ...]:
    """The names of the animation stacks, in the file's order."""
    return tuple(name.decode("utf-8", "replace") for name in stack.findall(data))

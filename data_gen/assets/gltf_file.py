# SPDX-License-Identifier: GPL-3.0-or-later
"""glTF and GLB files: whole, decodable, and what they declare."""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from ..reasons import Damaged
from .facts import Facts, Reader, truncated, unreadable

MAGIC = b"glTF"
COMPRESSIONS = {
    "KHR_draco_mesh_compression": "Draco",
    "EXT_meshopt_compression": "meshopt",
    "KHR_meshopt_compression": "meshopt",
    "KHR_texture_basisu": "Basis Universal",
}
_FLOAT = 5126
_MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")
_CORNERS = {4: lambda count: count // 3, 5: lambda count: count - 2, 6: lambda count: count - 2}


def read_gltf(path: Path, reader: Reader) -> Facts:
    """Check a .glb or .gltf file.

    Raises:
        Damaged: cut off, not glTF 2.0, without its buffers, or in need of a decoder that is not here.
    """
    data = path.read_bytes()
    if data[:4] == MAGIC:
        document, binary = _read_glb(path, data)
    else:
        document, binary = _read_json(path, data), None
    version = str(_entry(path, document, "asset", {}).get("version", ""))
    if version != "2.0":
        raise Damaged("unsupported format", f"{path.name}: glTF version {version or 'not stated'}; 2.0 can be read")
    _check_extensions(path, document, reader)
    _check_positions(path, document, _read_buffers(path, document, binary, reader))
    return _facts(path, document, "GLB 2.0" if data[:4] == MAGIC else "glTF 2.0")


def _read_glb(path: Path, data: bytes) -> tuple[dict[str, Any], bytes | None]:
    """The JSON and the binary chunk, None without one."""
    if len(data) < 20:
        raise truncated(path, "a GLB header", len(data), 20)
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise Damaged("unsupported format", f"{path.name}: GLB version {version}; version 2 can be read")
    if length > len(data):
        raise truncated(path, "the GLB by its header", len(data), length)
    if length < len(data):
        raise unreadable(path, f"{len(data) - length} bytes follow the GLB's declared {length}")
    chunks, place = [], 12
    while place + 8 <= length:
        size, kind = struct.unpack_from("<I4s", data, place)
        if place + 8 + size > length:
            raise truncated(path, f"chunk {len(chunks)}", length, place + 8 + size)
        chunks.append((kind, place + 8, size))
        place += 8 + size
    if not chunks or chunks[0][0] != b"JSON":
        raise unreadable(path, "the first GLB chunk is not JSON")
    _, start, size = chunks[0]
    binary = next((data[begin : begin + length] for kind, begin, length in chunks[1:] if kind == b"BIN\0"), None)
    return _read_json(path, data[start : start + size]), binary


def _read_json(path: Path, data: bytes) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise unreadable(path, f"the JSON contains {constant}, which is no JSON number")

    try:
        text = data.decode("utf-8-sig").rstrip(" \0\r\n\t")
        document = json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        if error.pos >= len(text) - 1 or error.msg.startswith("Unterminated"):
            raise Damaged("truncated", f"{path.name}: the JSON ends at character {len(text)}, unfinished") from error
        raise unreadable(path, f"no JSON: {error}") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise unreadable(path, f"no JSON: {error}") from error
    if not isinstance(document, dict):
        raise unreadable(path, f"the JSON is a {type(document).__name__}, not an object")
    return document


def _entry(path: Path, holder: dict[str, Any], key: str, default: Any) -> Any:
    """A value of the JSON that must be of its default's type."""
    value = holder.get(key, default)
    if not isinstance(value, type(default)):
        raise unreadable(path, f"{key!r} is a {type(value).__name__}, not a {type(default).__name__}")
    return value


def _list(path: Path, document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """A list of objects of the JSON."""
    items = _entry(path, document, key, [])
    if not all(isinstance(item, dict) for item in items):
        raise unreadable(path, f"{key!r} holds something that is no object")
    return items


def _check_extensions(path: Path, document: dict[str, Any], reader: Reader) -> None:
    required = _entry(path, document, "extensionsRequired", [])
    for name in required:
        if name in reader.extensions:
            continue
        if name in COMPRESSIONS:
            raise Damaged(
                "unsupported compression", f"{path.name}: {COMPRESSIONS[name]} ({name}) cannot be decoded here"
            )
        raise unreadable(path, f"it requires the glTF extension {name}, which the importer does not know")


def _read_buffers(path: Path, document: dict[str, Any], binary: bytes | None, reader: Reader) -> list[bytes]:
    """The buffers, each as long as declared and as the views into it need."""
    declared = _list(path, document, "buffers")
    buffers = []
    for index, buffer in enumerate(declared):
        needs = _entry(path, buffer, "byteLength", 0)
        if _is_decoded(path, buffer, reader):
            buffers.append(bytes(needs))
            continue
        content = _read_buffer(path, index, buffer, binary)
        if len(content) < needs:
            raise truncated(path, f"buffer {index} ({_uri_words(buffer)})", len(content), needs)
        buffers.append(content)
    for index, view in enumerate(_list(path, document, "bufferViews")):
        buffer = _entry(path, view, "buffer", 0)
        end = _entry(path, view, "byteOffset", 0) + _entry(path, view, "byteLength", 0)
        if not 0 <= buffer < len(buffers):
            raise unreadable(path, f"buffer view {index} is of buffer {buffer}; there are {len(buffers)}")
        if end > len(buffers[buffer]):
            raise truncated(path, f"buffer view {index}", len(buffers[buffer]), end)
    return buffers


def _is_decoded(path: Path, buffer: dict[str, Any], reader: Reader) -> bool:
    """Whether a buffer has no data of its own, for what is in it is decoded from another.

    Raises:
        Damaged: so it is, and it cannot be decoded.
    """
    if buffer.get("uri") or not any(name in _entry(path, buffer, "extensions", {}) for name in _MESHOPT):
        return False
    if not reader.extensions.issuperset(_MESHOPT):
        raise Damaged("unsupported compression", f"{path.name}: meshopt cannot be decoded here")
    return True


def _read_buffer(path: Path, index: int, buffer: dict[str, Any], binary: bytes | None) -> bytes:
    uri = _entry(path, buffer, "uri", "")
    if not uri:
        if index == 0 and binary is not None:
            return binary
        raise Damaged("missing", f"{path.name}: buffer {index} has neither data nor a file")
    if uri.startswith("data:"):
        try:
            return base64.b64decode(uri.partition(",")[2])
        except binascii.Error as error:
            raise unreadable(path, f"buffer {index} is no base64: {error}") from error
    file = path.parent / unquote(uri)
    if not file.is_file():
        raise Damaged("missing", f"{path.name}: buffer file {unquote(uri)} is not beside it")
    return file.read_bytes()


def _check_positions(path: Path, document: dict[str, Any], buffers: list[bytes]) -> None:
    """Refuse vertices without a place: the importer would put them into the origin without a word."""
    accessors, views = _list(path, document, "accessors"), _list(path, document, "bufferViews")
    for number, mesh in enumerate(_list(path, document, "meshes")):
        for primitive in _list(path, mesh, "primitives"):
            index = _entry(path, primitive, "attributes", {}).get("POSITION")
            if not isinstance(index, int) or not 0 <= index < len(accessors):
                continue
            broken = _count_broken(path, accessors[index], views, buffers)
            if broken:
                raise Damaged("degenerate geometry", f"{path.name}: {broken} vertices of mesh {number} are not finite")


def _count_broken(path: Path, accessor: dict[str, Any], views: list[dict[str, Any]], buffers: list[bytes]) -> int:
    """How many of an accessor's vectors are not finite."""
    index, count = _entry(path, accessor, "bufferView", -1), _entry(path, accessor, "count", 0)
    if not 0 <= index < len(views) or accessor.get("componentType") != _FLOAT or count <= 0:
        return 0
    view = views[index]
    start = _entry(path, view, "byteOffset", 0) + _entry(path, accessor, "byteOffset", 0)
    stride = _entry(path, view, "byteStride", 0) or 12
    end = start + (count - 1) * stride + 12
    content = buffers[_entry(path, view, "buffer", 0)]
    if end > len(content):
        raise truncated(path, "an accessor of positions", len(content), end)
    places = np.ndarray((count, 3), "<f4", content, start, (stride, 4))
    return int((~np.isfinite(places).all(1)).sum())


def _uri_words(buffer: dict[str, Any]) -> str:
    uri = buffer.get("uri", "")
    if not uri:
        return "the GLB's own"
    return "embedded" if uri.startswith("data:") else unquote(uri)


def _facts(path: Path, document: dict[str, Any], variant: str) -> Facts:
    asset = _entry(path, document, "asset", {})
    extras = asset.get("extras")
    extras = extras if isinstance(extras, dict) else {}

    def stated(*keys: str) -> str:
        found = next((extras[key] for key in keys if extras.get(key)), "")
        return str(found)

    images = _list(path, document, "images")
    missing = sum(not _image_is_there(path, image) for image in images)
    return Facts(
        format="glTF",
        variant=variant,
        generator=str(asset.get("generator", "")),
        title=stated("title", "name"),
        author=stated("author", "artist") or str(asset.get("copyright", "")),
        licence=stated("license", "licence"),
        url=stated("source", "url"),
        animations=tuple(str(item.get("name") or "") for item in _list(path, document, "animations")),
        meshes=len(_list(path, document, "meshes")),
        triangles=_count_triangles(path, document),
        missing_textures=missing,
    )


def _image_is_there(path: Path, image: dict[str, Any]) -> bool:
    uri = str(image.get("uri") or "")
    return not uri or uri.startswith("data:") or (path.parent / unquote(uri)).is_file()


def _count_triangles(path: Path, document: dict[str, Any]) -> int:
    """Triangles of all nodes' meshes, by what the accessors declare."""
    accessors = _list(path, document, "accessors")

    def count(index: Any) -> int:
        known = isinstance(index, int) and 0 <= index < len(accessors)
        number = accessors[index].get("count", 0) if known else 0
        return int(number) if isinstance(number, (int, float)) and math.isfinite(number) else 0

    sizes = []
    for mesh in _list(path, document, "meshes"):
        size = 0
        for primitive in _list(path, mesh, "primitives"):
            corners = count(primitive.get("indices", _entry(path, primitive, "attributes", {}).get("POSITION")))
            size += max(0, _CORNERS.get(primitive.get("mode", 4), lambda _: 0)(corners))
        sizes.append(size)
    used = [node.get("mesh") for node in _list(path, document, "nodes")]
    return sum(sizes[mesh] for mesh in used if isinstance(mesh, int) and 0 <= mesh < len(sizes))

# SPDX-License-Identifier: GPL-3.0-or-later
"""What a file is by its bytes, and whether it is whole, before Blender touches it."""

from __future__ import annotations

from pathlib import Path

from ..reasons import Damaged
from . import alembic_file, blend_file, fbx_file, gltf_file, usd_file
from .facts import Facts, Reader

# Format by extension. The kinds of one format may stand for each other, as its importer reads the bytes.
SUFFIXES = {
    ".glb": "glTF", ".gltf": "glTF", ".fbx": "FBX", ".usd": "USD", ".usda": "USD", ".usdc": "USD",
    ".usdz": "packed USD", ".abc": "Alembic", ".blend": "Blender",
}  # fmt: skip
_ARCHIVES = {b"7z\xbc\xaf": "a 7-Zip archive", b"Rar!": "a RAR archive", b"\xfd7zX": "an xz archive"}
_ZIP = b"PK\x03\x04"
_HEAD = 1024


def sniff(path: Path, reader: Reader) -> Facts:
    """Find out what a file is and check that nothing of it is missing.

    Args:
        path: a file with one of the `SUFFIXES`.
        reader: what can be decoded.

    Raises:
        Damaged: it is not there, empty, of another format than its extension says, cut off, or cannot be decoded.
    """
    expected = SUFFIXES.get(path.suffix.lower())
    if expected is None:
        raise Damaged("unsupported format", f"{path.name}: no importer for {path.suffix or 'files without extension'}")
    if not path.is_file():
        raise Damaged("missing", f"{path} is {'a folder' if path.is_dir() else 'not there'}")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise Damaged("unreadable", f"{path.name}: {error.strerror}") from error
    if not head:
        raise Damaged("empty file", f"{path.name} has 0 bytes")
    _check_kind(path, head, expected)
    if expected == "glTF":
        return gltf_file.read_gltf(path, reader)
    if expected == "Blender":
        return blend_file.read_blend(path, reader)
    readers = {
        "FBX": fbx_file.read_fbx, "USD": usd_file.read_usd, "packed USD": usd_file.read_packed_usd,
        "Alembic": alembic_file.read_alembic,
    }  # fmt: skip
    return readers[expected](path)


def _check_kind(path: Path, head: bytes, expected: str) -> None:
    """Refuse a file whose beginning is of another format than its extension says."""
    kind = kind_of(head)
    if kind == expected:
        return
    if kind is None and _is_cut_magic(head, expected):
        raise Damaged("truncated", f"{path.name} has {len(head)} bytes, not even a header")
    if kind == "packed USD" and expected != "packed USD":
        locked = bool(head[6] & 1) if len(head) > 6 else False
        words = "a zip archive with a password" if locked else "a zip archive; unpack it"
        raise Damaged("unsupported compression" if locked else "wrong extension", f"{path.name} is {words}")
    words = f"is {kind}" if kind else f"begins with {head[:12]!r}, which is of no known format"
    raise Damaged("wrong extension", f"{path.name} is called {expected} and {words}")


def kind_of(head: bytes) -> str | None:
    """The format of a file by its first bytes, as in `SUFFIXES`; None for none of them."""
    beginnings = {
        gltf_file.MAGIC: "glTF", fbx_file.MAGIC: "FBX", usd_file.CRATE: "USD", alembic_file.OGAWA: "Alembic",
        alembic_file.HDF5: "Alembic", blend_file.MAGIC: "Blender", blend_file.GZIP: "Blender",
        blend_file.ZSTD: "Blender", _ZIP: "packed USD", **dict.fromkeys(usd_file.TEXT, "USD"), **_ARCHIVES,
    }  # fmt: skip
    for magic, kind in beginnings.items():
        if head.startswith(magic):
            return kind
    if fbx_file.is_text_fbx(head):
        return "FBX"
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{":
        return "glTF"
    return None


def _is_cut_magic(head: bytes, expected: str) -> bool:
    """Whether the file ends within the first bytes that its format begins with."""
    magics = {
        "glTF": (gltf_file.MAGIC,), "FBX": (fbx_file.MAGIC,), "USD": (usd_file.CRATE, *usd_file.TEXT),
        "Alembic": (alembic_file.OGAWA,), "Blender": (blend_file.MAGIC, blend_file.ZSTD), "packed USD": (_ZIP,),
    }  # fmt: skip
    return any(magic.startswith(head) for magic in magics[expected])

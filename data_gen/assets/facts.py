# SPDX-License-Identifier: GPL-3.0-or-later
"""What the bytes of an asset file tell before Blender opens it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..reasons import Damaged


@dataclass(frozen=True)
class Reader:
    """What the Blender at hand can read.

    Attributes:
        blender: its version, (major, minor).
        extensions: the glTF extensions that its importer knows.
    """

    blender: tuple[int, int]
    extensions: frozenset[str]


@dataclass(frozen=True)
class Facts:
    """What a file is and says of itself.

    Attributes:
        format: "glTF", "FBX", "USD", "Alembic" or "Blender".
        variant: its kind and version in words: "GLB 2.0", "binary 7.4".
        generator: the program that wrote it.
        title, author, licence, url: as the file states them, "" where it does not.
        animations: names of the animations it declares, in its order, "" for those without; None: not known before
            the import.
        meshes: number of meshes; None: not known.
        triangles: number of triangles, instances counted; None: not known.
        missing_textures: images that it names and that are not there.
    """

    format: str
    variant: str = ""
    generator: str = ""
    title: str = ""
    author: str = ""
    licence: str = ""
    url: str = ""
    animations: tuple[str, ...] | None = None
    meshes: int | None = None
    triangles: int | None = None
    missing_textures: int = 0

    def to_json(self) -> dict[str, Any]:
        """For a clip's metadata: what is stated."""
        words = ("format", "variant", "generator", "title", "author", "licence", "url")
        return {name: getattr(self, name) for name in words if getattr(self, name)}


def truncated(path: Path, what: str, has: int, needs: int) -> Damaged:
    """The fault of a file that ends too early, in bytes."""
    return Damaged("truncated", f"{path.name}: {what} needs {needs} bytes, the file has {has}")


def unreadable(path: Path, what: str) -> Damaged:
    """The fault of a file whose contents make no sense."""
    return Damaged("unreadable", f"{path.name}: {what}")

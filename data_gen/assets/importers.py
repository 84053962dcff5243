# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening a file of each format as Blender's current file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bpy

from .. import compat
from ..reasons import Damaged
from .facts import Facts, Reader
from .gltf_importer import import_gltf, known_extensions


def this_blender() -> Reader:
    """What the running Blender can read."""
    return Reader(bpy.app.version[:2], known_extensions())


def open_empty() -> None:
    """Make an empty file Blender's current one; what was open before is freed."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True, load_ui=False)


def open_file(path: Path, facts: Facts) -> None:
    """Make a file's contents Blender's current file, and nothing else.

    Raises:
        Damaged: the importer refuses, in its words.
    """
    open_empty()
    if facts.format == "FBX" and facts.variant.startswith("text") and not compat.reads_text_fbx():
        raise Damaged("unsupported format", f"{path.name}: FBX as text needs Blender 4.5 or later")
    _run(path, _OPERATORS[facts.format])


def open_still(path: Path) -> None:
    """Make an FBX file's contents, without its animations, Blender's current file.

    Raises:
        Damaged: as `open_file`.
    """
    open_empty()
    _run(path, compat.import_still_fbx)


def _run(path: Path, operator: Callable[[str], set[str]]) -> None:
    try:
        result = operator(str(path))
    except RuntimeError as error:  # what Blender's operators raise, with the importer's words
        raise Damaged("unreadable", f"{path.name}: {_last_line(str(error))}") from error
    if "FINISHED" not in result:
        raise Damaged("unreadable", f"{path.name}: the importer gave up without a word")


def _last_line(words: str) -> str:
    """The line that says most: the first error of a report, the last line of a traceback."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    if not lines:
        return "damaged file"
    is_traceback = any("Traceback (" in line for line in lines)
    # After a traceback Blender adds where in its own code the call was.
    errors = [line for line in lines if not line.startswith(("File ", "Location:"))]
    return (errors[-1] if is_traceback else errors[0]).removeprefix("Error: ")


def _usd(path: str) -> set[str]:
    return bpy.ops.wm.usd_import(filepath=path, import_cameras=False, import_lights=False, set_frame_range=True)


def _alembic(path: str) -> set[str]:
    return bpy.ops.wm.alembic_import(filepath=path, set_frame_range=True, as_background_job=False)


def _blend(path: str) -> set[str]:
    return bpy.ops.wm.open_mainfile(filepath=path, load_ui=False, use_scripts=False, display_file_selector=False)


_OPERATORS = {"glTF": import_gltf, "FBX": compat.import_fbx, "USD": _usd, "Alembic": _alembic, "Blender": _blend}

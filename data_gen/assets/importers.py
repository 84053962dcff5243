# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening a file of each format as Blender's current file."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import bpy

from .. import compat
from ..reasons import Damaged
from .facts import Facts, Reader
from .gltf_hook import no_animation_active

# What Blender's glTF importer knew in 4.2; later ones are asked.
_KNOWN_EXTENSIONS = (
    "KHR_materials_pbrSpecularGlossiness", "KHR_lights_punctual", "KHR_materials_unlit", "KHR_texture_transform",
    "KHR_materials_clearcoat", "KHR_mesh_quantization", "EXT_mesh_gpu_instancing", "KHR_materials_variants",
    "KHR_materials_emissive_strength", "KHR_materials_transmission", "KHR_materials_specular",
    "KHR_materials_sheen", "KHR_materials_ior", "KHR_animation_pointer", "KHR_materials_volume", "EXT_texture_webp",
)  # fmt: skip
_DRACO = "KHR_draco_mesh_compression"


def this_blender() -> Reader:
    """What the running Blender can read."""
    return Reader(bpy.app.version[:2], _gltf_extensions())


def _gltf_extensions() -> frozenset[str]:
    known = set(_KNOWN_EXTENSIONS)
    try:
        module = importlib.import_module("io_scene_gltf2.io.imp.gltf2_io_gltf")
        importer = module.glTFImporter("", {"import_user_extensions": []})
        known |= set(importer.extensions_managed)
        draco = importlib.import_module("io_scene_gltf2.io.com.draco").dll_exists(quiet=True)
    except (ImportError, AttributeError, KeyError, TypeError):  # an importer built otherwise
        draco = False
    known.discard(_DRACO)
    return frozenset(known | ({_DRACO} if draco else set()))


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


def _gltf(path: str) -> set[str]:
    with no_animation_active():
        return bpy.ops.import_scene.gltf(filepath=path, loglevel=50)


def _usd(path: str) -> set[str]:
    return bpy.ops.wm.usd_import(filepath=path, import_cameras=False, import_lights=False, set_frame_range=True)


def _alembic(path: str) -> set[str]:
    return bpy.ops.wm.alembic_import(filepath=path, set_frame_range=True, as_background_job=False)


def _blend(path: str) -> set[str]:
    return bpy.ops.wm.open_mainfile(filepath=path, load_ui=False, use_scripts=False, display_file_selector=False)


_OPERATORS = {"glTF": _gltf, "FBX": compat.import_fbx, "USD": _usd, "Alembic": _alembic, "Blender": _blend}

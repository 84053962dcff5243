# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's glTF importer: what it can decode, and running it so that no animation is made active.

The importer lets the first animation play when it is done, and with it Blender overwrites what the file says of the
nodes that this animation moves. Other animations need these values for what they themselves do not move. The importer
asks enabled add-ons for a class of a certain name and, before it makes animations, for its say.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy

DRACO = ("KHR_draco_mesh_compression",)
MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")
_LOGGERS = ("glTFImporter", "glTFImporter_errors")
# What the importer knew in 4.2, for where it cannot be asked.
_KNOWN = (
    "KHR_materials_pbrSpecularGlossiness", "KHR_lights_punctual", "KHR_materials_unlit", "KHR_texture_transform",
    "KHR_materials_clearcoat", "KHR_mesh_quantization", "EXT_mesh_gpu_instancing", "KHR_materials_variants",
    "KHR_materials_emissive_strength", "KHR_materials_transmission", "KHR_materials_specular",
    "KHR_materials_sheen", "KHR_materials_ior", "KHR_animation_pointer", "KHR_materials_volume", "EXT_texture_webp",
)  # fmt: skip


class glTF2ImportUserExtension:
    """What the importer asks; it looks for a class of this name."""

    def gather_import_animations(self, animations: Any, options: Any, importer: Any) -> None:
        """Called before animations are made."""
        options.restore_first_anim = False


def import_gltf(path: str) -> set[str]:
    """Import a glTF file with none of its animations active.

    Raises:
        RuntimeError: the importer refuses it.
    """
    with _asked_by_importer(), _quiet():
        return bpy.ops.import_scene.gltf(filepath=path)


@contextmanager
def _asked_by_importer() -> Iterator[None]:
    """While in it, this module is one of the add-ons that the importer asks."""
    addons = bpy.context.preferences.addons
    entry = addons.new()
    entry.module = __name__
    try:
        yield
    finally:
        addons.remove(entry)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the importer from telling of each mesh; it adds to its loggers' handlers whenever it runs."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    disabled = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, was in zip(loggers, disabled, strict=True):
            logger.handlers.clear()
            logger.disabled = was


@functools.cache
def known_extensions() -> frozenset[str]:
    """The glTF extensions that can be imported, those that need a decoder only where it is there."""
    try:
        module = importlib.import_module("io_scene_gltf2.io.imp.gltf2_io_gltf")
        with _quiet():
            known = set(module.glTFImporter("", {"import_user_extensions": []}).extensions_managed)
    except (ImportError, AttributeError, KeyError, TypeError):  # an importer built otherwise
        known = set(_KNOWN)
    known -= {*DRACO, *MESHOPT}
    return frozenset(known.union(DRACO if _has_draco() else (), MESHOPT if _has_meshopt() else ()))


def _has_draco() -> bool:
    try:
        return importlib.import_module("io_scene_gltf2.io.com.draco").dll_exists(quiet=True)
    except (ImportError, AttributeError):  # from 5.2 on
        return _has_library("bf_intern_draco_bridge")


def _has_meshopt() -> bool:
    return _has_library("bf_intern_meshopt_bridge")


def _has_library(name: str) -> bool:
    """Whether the importer of Blender 5.2 finds one of its decoders."""
    try:
        return importlib.import_module("io_scene_gltf2.io.com.library").dll_path(name, name).is_file()
    except (ImportError, AttributeError):
        return False

# SPDX-License-Identifier: GPL-3.0-or-later
"""The few places where Blender 4.2 to 5.2, and the builds of them, differ for this add-on."""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any, NoReturn

import bpy
from bpy.types import ImageFormatSettings, NodeTree, Scene, SequenceEditor

# 4.2-4.5 call it "EEVEE Next"; from 5.0 on it has the old name back.
EEVEE_ENGINES = frozenset({"BLENDER_EEVEE", "BLENDER_EEVEE_NEXT"})
# From 4.5 on Blender wants to be told which paths may begin with "//"; before, it does not know the word.
RELATIVE_PATH = {"ANIMATABLE"} | ({"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (4, 5, 0) else set())


def eevee_engine() -> str:
    """What this Blender calls EEVEE."""
    return "BLENDER_EEVEE" if bpy.app.version >= (5, 0, 0) else "BLENDER_EEVEE_NEXT"


def media_type_values(settings: ImageFormatSettings) -> dict[str, str]:
    """From 5.0 on, a still's file format can be chosen only under the media type "IMAGE"."""
    return {"media_type": "IMAGE"} if hasattr(settings, "media_type") else {}


def cycles_can_denoise() -> bool:
    """Whether this build of Cycles has OpenImageDenoise; some distributions' have not and fail without."""
    import _cycles  # there once the Cycles engine is

    return getattr(_cycles, "with_openimagedenoise", True)


def is_selected(bone: bpy.types.PoseBone) -> bool:
    """From 5.0 on pose bones are selected themselves; before, the armature's bones are."""
    return bone.select if hasattr(bone, "select") else bone.bone.select


def compositor_of(scene: Scene) -> NodeTree | None:
    """The scene's compositor; from 5.0 on it is a node group."""
    return scene.compositing_node_group if hasattr(scene, "compositing_node_group") else scene.node_tree


def strips_of(editor: SequenceEditor) -> Any:
    """The strips of a Sequencer; up to 4.3 they are called sequences."""
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def leave(code: int) -> NoReturn:
    """End this Python with an exit code that is kept.

    Blender 4.2 as a module crashes when it cleans up after this add-on, likely its property groups, and 4.5 never ends:
    there it must not come to that.
    """
    if not bpy.app.binary_path and bpy.app.version < (5, 0, 0):
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)

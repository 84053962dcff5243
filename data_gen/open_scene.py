# SPDX-License-Identifier: GPL-3.0-or-later
"""A .blend as one shot: everything in its scene as it plays, from its own camera and from others.

An animator's scene is taken as it is. What is in it is not normalised, and its lights and world stay. Each of its
actions alone is what the same file gives as an asset.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import bpy

from .as_rendered import show_as_rendered
from .playback import Playback
from .reasons import Damaged, Rejection
from .scene import set_time

NOT_SURFACES = {"ARMATURE", "CAMERA", "LATTICE", "LIGHT", "LIGHT_PROBE", "SPEAKER"}
# Modifiers whose result follows from the frames before: they must have been played in order once.
SIMULATED = {"CLOTH", "DYNAMIC_PAINT", "FLUID", "PARTICLE_SYSTEM", "SOFT_BODY"}


class OpenScene:
    """The source of one animation: the scene as it plays over its frame range.

    Attributes:
        meta: the scene's name and what is in it.
    """

    def __init__(self, scene: bpy.types.Scene) -> None:
        self._scene = scene
        self._objects = tuple(_surfaces(bpy.context.view_layer.objects))
        self.meta: dict[str, Any] = {
            "format": "blend",
            "scene": scene.name,
            "objects": len(self._objects),
            "missing_textures": sorted(_missing_textures()),
        }

    def animations(self) -> list[str]:
        """The scene's name."""
        return [self._scene.name]

    def play(self, index: int) -> Playback:
        """The shot, ready to be looked at in any order of frames.

        Raises:
            Rejection: nothing in it can be seen, or its frame range has no length.
        """
        scene = self._scene
        if not self._objects:
            raise Rejection("no mesh", f'nothing in scene "{scene.name}" has a surface that is rendered')
        if scene.frame_end <= scene.frame_start:
            raise Rejection("single pose", f'scene "{scene.name}" has the frame {scene.frame_start} alone')
        if is_simulated(self._objects, scene):
            _play_through(scene)
        return Playback(
            scene=scene,
            objects=self._objects,
            first=float(scene.frame_start),
            last=float(scene.frame_end),
            fps=scene.render.fps / scene.render.fps_base,
            meta={"scene": scene.name, "camera": scene.camera.name if scene.camera else None},
        )


def open_scene(path: Path, use_scripts: bool = False) -> OpenScene:
    """Open a .blend and give its scene: the one that was in the window when it was saved.

    Args:
        path: the .blend.
        use_scripts: run the Python scripts and drivers stored in it.

    Raises:
        Damaged: it cannot be read.
    """
    if not path.is_file():
        raise Damaged("missing", path.name)
    try:
        bpy.ops.wm.open_mainfile(filepath=str(path), load_ui=False, use_scripts=use_scripts)
    except RuntimeError as error:
        raise Damaged("unreadable", " ".join(str(error).removeprefix("Error: ").split())) from error
    if bpy.context.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")  # saved from within edit mode
    scene = bpy.context.scene
    show_as_rendered(scene, bpy.context.view_layer)
    return OpenScene(scene)


def is_simulated(objects: Iterable[bpy.types.Object], scene: bpy.types.Scene) -> bool:
    """Whether what a frame shows depends on the frames before it."""
    if scene.rigidbody_world is not None and scene.rigidbody_world.enabled:
        return True
    modifiers = [modifier for item in objects for modifier in item.modifiers]
    return any(modifier.type in SIMULATED for modifier in modifiers) or any(
        _has_simulation(modifier.node_group)
        for modifier in modifiers
        if modifier.type == "NODES" and modifier.node_group is not None
    )


def _has_simulation(tree: bpy.types.NodeTree, seen: frozenset[bpy.types.NodeTree] = frozenset()) -> bool:
    for node in tree.nodes:
        if node.bl_idname == "GeometryNodeSimulationOutput":
            return True
        inner = getattr(node, "node_tree", None)
        if inner is not None and inner not in seen and _has_simulation(inner, seen | {tree}):
            return True
    return False


def _play_through(scene: bpy.types.Scene) -> None:
    """Play every frame once, so that simulations are in their caches."""
    for frame in range(scene.frame_start, scene.frame_end + 1):
        set_time(scene, frame)


def _surfaces(objects: Iterable[bpy.types.Object]) -> Iterator[bpy.types.Object]:
    """Those that can show a surface: of their own or by instancing something."""
    for item in objects:
        empty = item.type == "EMPTY" and item.instance_type == "NONE"
        if item.type not in NOT_SURFACES and not empty:
            yield item


def _missing_textures() -> Iterator[str]:
    for image in bpy.data.images:
        on_disk = image.source == "FILE" and image.users and not image.packed_file and image.filepath
        if on_disk and not Path(bpy.path.abspath(image.filepath, library=image.library)).is_file():
            yield image.name

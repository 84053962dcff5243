# SPDX-License-Identifier: GPL-3.0-or-later
"""A .blend as a shot: everything in its scene as it plays, from its own camera and from others.

An animator's scene is taken as it is: nothing is chosen, muted or moved. Where timeline markers cut from camera to
camera, each stretch between two cuts is an animation of its own, so that no clip runs across a cut. Each action
alone is what the same file gives as an asset.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from .as_rendered import show_as_rendered
from .assets.importers import this_blender
from .assets.sniff import sniff
from .focus import find_focus
from .playback import Playback
from .reasons import Damaged, Rejection
from .recording import record
from .scene import set_time

NOT_SURFACES = {"ARMATURE", "CAMERA", "LATTICE", "LIGHT", "LIGHT_PROBE", "SPEAKER"}
FOCUS_TIMES = 9  # moments at which the set is looked at
# Modifiers whose result follows from the frames before: they must have been played in order once.
SIMULATED = {"CLOTH", "DYNAMIC_PAINT", "FLUID", "PARTICLE_SYSTEM", "SOFT_BODY"}


@dataclass(frozen=True)
class Stretch:
    """Frames seen by one camera, or by none."""

    camera: bpy.types.Object | None
    first: int
    last: int


class OpenScene:
    """The source of a scene's shot, or of its stretches between cuts.

    Attributes:
        meta: the scene's name and what is in it.
    """

    def __init__(self, scene: bpy.types.Scene) -> None:
        self._scene = scene
        self._objects = tuple(_surfaces(bpy.context.view_layer.objects))
        self._stretches = stretches(scene)
        self._played = False
        for marker in scene.timeline_markers:
            marker.camera = None  # would take the scene's camera back at every change of frame
        self.meta: dict[str, Any] = {
            "scene": scene.name,
            "objects": len(self._objects),
            "missing_textures": sorted(_missing_textures()),
        }
        if bpy.app.autoexec_fail:
            self.meta["scripts_refused"] = bpy.app.autoexec_fail_message

    def animations(self) -> list[str]:
        """The scene's name, with the camera's where there are cuts."""
        if len(self._stretches) == 1:
            return [self._scene.name]
        return [f"{self._scene.name} {stretch.camera.name}" for stretch in self._stretches if stretch.camera]

    def play(self, index: int) -> Playback:
        """The shot, ready to be looked at in any order of frames.

        Raises:
            Rejection: nothing in it can be seen, or its frame range has no length.
        """
        scene, stretch = self._scene, self._stretches[index]
        if not self._objects:
            raise Rejection("no mesh", f'nothing in scene "{scene.name}" has a surface that is rendered')
        if stretch.last <= stretch.first:
            raise Rejection("single pose", f'"{self.animations()[index]}" is frame {stretch.first} alone')
        if not self._played and is_simulated(self._objects, scene):
            _play_through(scene)
        self._played = True
        flat = stretch.camera is not None and stretch.camera.data.type != "PANO"
        playback = Playback(
            scene=scene,
            objects=self._objects,
            first=float(stretch.first),
            last=float(stretch.last),
            fps=scene.render.fps / scene.render.fps_base,
            camera=stretch.camera if flat else None,
            lit=_is_lit(scene),
            meta={"scene": scene.name, "scene_camera": stretch.camera.name if stretch.camera else None},
        )
        return replace(playback, focus=_focus(playback))


def stretches(scene: bpy.types.Scene) -> list[Stretch]:
    """The scene's frame range, divided where markers change the camera."""
    first, last = scene.frame_start, scene.frame_end
    cuts = sorted((marker for marker in scene.timeline_markers if marker.camera), key=lambda marker: marker.frame)
    # Before the first cut Blender shows the camera that it cuts to.
    found = [Stretch(cuts[0].camera if cuts else _camera(scene), first, last)]
    for marker in cuts:
        before = found[-1]
        if marker.frame > last or marker.camera == before.camera:
            continue
        found.pop()
        if marker.frame > before.first:
            found.append(Stretch(before.camera, before.first, marker.frame - 1))
        found.append(Stretch(marker.camera, max(marker.frame, first), last))
    return found


def _camera(scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The scene's camera; an object of another kind may serve Blender as one, but has no lens."""
    return scene.camera if scene.camera is not None and scene.camera.type == "CAMERA" else None


def open_scene(path: Path, use_scripts: bool = False) -> OpenScene:
    """Open a .blend and give its scene: the one that was in the window when it was saved.

    Args:
        path: the .blend.
        use_scripts: run the Python scripts and drivers stored in it.

    Raises:
        Damaged: it is not there, not whole, no .blend, or of a later Blender.
    """
    facts = sniff(path, this_blender())
    try:
        bpy.ops.wm.open_mainfile(filepath=str(path), load_ui=False, use_scripts=use_scripts)
    except RuntimeError as error:
        raise Damaged("unreadable", " ".join(str(error).removeprefix("Error: ").split())) from error
    if bpy.context.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")  # saved from within edit mode
    scene = bpy.context.scene
    show_as_rendered(scene, bpy.context.view_layer)
    bpy.context.view_layer.update()  # drivers are refused when they are first evaluated
    source = OpenScene(scene)
    source.meta.update(facts.to_json())
    return source


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


def _focus(playback: Playback) -> frozenset[str] | None:
    """What of the set the shot is about; all of it where that cannot be found."""
    times = np.linspace(playback.first, playback.last, FOCUS_TIMES)
    try:
        return find_focus(record(playback, times.tolist()))
    except Rejection:  # the film will meet it as well, and say so
        return None


def _is_lit(scene: bpy.types.Scene) -> bool:
    """Whether the scene has light of its own: a lamp, or a world that is more than one colour."""
    lamps = any(item.type == "LIGHT" and not item.hide_render for item in bpy.context.view_layer.objects)
    tree = scene.world.node_tree if scene.world is not None else None
    return lamps or (tree is not None and any(link.to_node.type == "BACKGROUND" for link in tree.links))


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

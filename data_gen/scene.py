# SPDX-License-Identifier: GPL-3.0-or-later
"""The Blender scene a clip is made in: emptying it, and what of it is seen."""

from __future__ import annotations

import bpy
import numpy as np

# Emptied between clips, so that a worker's memory does not grow.
_COLLECTIONS = (
    "objects", "meshes", "cameras", "lights", "materials", "images", "actions", "armatures", "textures",
    "node_groups", "shape_keys", "curves", "collections", "worlds",
)  # fmt: skip
_OURS = "puppet_master_shot"  # marks what belongs to a shot and not to its subject


def empty_scene() -> bpy.types.Scene:
    """Remove everything but the scene itself and give that scene."""
    scene = bpy.context.scene
    scene.camera = None
    for name in _COLLECTIONS:
        bpy.data.batch_remove(list(getattr(bpy.data, name)))
    bpy.data.orphans_purge(do_recursive=True)
    return scene


def add_to_shot(scene: bpy.types.Scene, item: bpy.types.Object) -> None:
    """Put a camera or light into the scene until `clear_shot`."""
    item[_OURS] = True
    scene.collection.objects.link(item)


def clear_shot(scene: bpy.types.Scene) -> None:
    """Remove the cameras, lights and worlds that earlier shots put into the scene."""
    for item in [item for item in scene.collection.objects if item.get(_OURS)]:
        data = item.data
        bpy.data.objects.remove(item)
        bpy.data.batch_remove([data])
    bpy.data.batch_remove([world for world in bpy.data.worlds if world.get(_OURS)])


def shot_world(scene: bpy.types.Scene) -> bpy.types.World:
    """A world of the shot's own, made the scene's until `clear_shot`."""
    world = bpy.data.worlds.new("shot")
    world[_OURS] = True
    scene.world = world
    return world


def set_time(scene: bpy.types.Scene, time: float) -> None:
    """Show the scene at a frame number that may lie between whole frames."""
    whole = int(np.floor(time))
    scene.frame_set(whole, subframe=float(time - whole))

# SPDX-License-Identifier: GPL-3.0-or-later
"""A Blender with the extension enabled and an animator's shot open in it."""

from __future__ import annotations

import bpy
import pytest
from mathutils import Matrix

ADDON = "puppet_master"


@pytest.fixture
def shot(scene, tmp_path):
    """A box whose lid opens over 24 frames, a lamp and a camera; saved, then edited without saving."""
    assert bpy.ops.preferences.addon_enable(module=ADDON) == {"FINISHED"}
    bpy.ops.mesh.primitive_cube_add(size=1.0)
    bpy.ops.mesh.primitive_cube_add(size=1.0, location=(0.0, 0.5, 0.55), scale=(1.0, 1.0, 0.1))
    lid = bpy.context.object
    lid.name = "lid"
    lid.data.transform(Matrix.Translation((0.0, -0.5, 0.0)))
    for frame, angle in ((1, 0.0), (24, -1.4)):
        lid.rotation_euler.x = angle
        lid.keyframe_insert("rotation_euler", frame=frame)
    bpy.ops.object.light_add(type="SUN")
    bpy.ops.object.camera_add(location=(3.0, -4.0, 3.0), rotation=(1.0, 0.0, 0.64))
    scene.camera = bpy.context.object
    scene.frame_start, scene.frame_end = 1, 24
    settings = scene.puppet_master_clips
    settings.out, settings.size, settings.views, settings.frames = str(tmp_path / "datasets"), 64, 2, 6
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "box.blend"))
    lid.scale.z = 1.5
    yield scene
    bpy.ops.preferences.addon_disable(module=ADDON)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Rays without Blender's tree meet what rays with it meet."""

import bpy
import numpy as np
from puppet_master.addon import heavy_ray, still_status, surface
from puppet_master.addon.projection import camera_view


def test_the_same_faces_are_met_at_the_same_places(scene, monkeypatch):
    """Turned, scaled and mirrored meshes, one behind another, an instance, and one that renders do not show."""
    bpy.ops.mesh.primitive_uv_sphere_add(segments=24, ring_count=12, radius=0.6, location=(0.4, 1.0, 0.2))
    bpy.context.object.scale, bpy.context.object.rotation_euler = (1.0, -0.7, 1.3), (0.3, 0.2, 0.9)
    bpy.ops.mesh.primitive_monkey_add(size=0.8, location=(-0.5, -0.8, 0.1), rotation=(0.2, 0.1, 0.3))
    monkey = bpy.context.object
    bpy.ops.mesh.primitive_plane_add(size=4.0, location=(0.0, -2.0, 0.0), rotation=(np.pi / 2, 0.0, 0.0))
    bpy.context.object.hide_render = True
    kit = bpy.data.collections.new("Kit")
    kit.objects.link(monkey)
    copy = bpy.data.objects.new("Copy", None)
    copy.instance_type, copy.instance_collection, copy.location = "COLLECTION", kit, (1.1, 0.3, 0.4)
    scene.collection.objects.link(copy)
    depsgraph, view = still_status.depsgraph_of(scene), camera_view(scene.camera, 64, 48)
    rays = [view.ray(x, y) for x, y in np.random.default_rng(0).uniform(0.0, 1.0, (300, 2))]
    expected = [surface.first_hit(scene, depsgraph, ray) for ray in rays]
    monkeypatch.setattr(heavy_ray, "HEAVY", 0)
    found = [surface.first_hit(scene, depsgraph, ray) for ray in rays]
    assert 100 < sum(hit is not None for hit in expected) < 300
    for hit, other in zip(expected, found, strict=True):
        assert (hit is None) == (other is None)
        if hit is not None:
            np.testing.assert_allclose(other.place, hit.place, atol=1e-4)
            np.testing.assert_allclose(other.matrix, hit.matrix, atol=1e-5)
            assert (other.object, other.face) == (hit.object, hit.face)

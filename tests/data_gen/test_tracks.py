# SPDX-License-Identifier: GPL-3.0-or-later
"""Tracks against plain, slow twins that look at one point at a time."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector
from puppet_master.backend.errors import InputError
from puppet_master.data_gen.cameras import Viewpoint, place_camera
from puppet_master.data_gen.rigs import Joint, Rig, build_rig
from puppet_master.data_gen.rigs.shapes import Shape
from puppet_master.data_gen.tracks import TOLERANCE, follow, random_barycentric, sample_surface

FRAMES = range(1, 6)


@pytest.fixture
def cabinet(scene, finish) -> Rig:
    """A box with a drawer that comes out half way, seen from the front, above and the right."""
    rig = Rig("test")
    rig.add_part("body", Shape().box((0, 0, 0), (1, 1, 1), finish))
    joint = Joint("prismatic", "-y", (0.5, 0.0, 0.5), (0.0, 0.8))
    rig.add_part("drawer", Shape().box((0.1, -0.05, 0.3), (0.9, 0.9, 0.7), finish), joint=joint)
    rig.animate(rig.parts[1], (0.0, 0.5), (1, 5))
    corners = [(x, y, z) for x in (0, 1) for y in (-0.55, 1) for z in (0, 1)]
    place_camera(scene, corners, Viewpoint(25, 25, angle=35, fill=0.8))
    scene.render.resolution_x = scene.render.resolution_y = 128
    scene.frame_set(1)
    return rig


def sampled(rig: Rig, count: int = 150, seed: int = 0):
    depsgraph = bpy.context.evaluated_depsgraph_get()
    parts = [(part.object, part.id) for part in rig.parts]
    return sample_surface(parts, np.ones(len(parts)), count, np.random.default_rng(seed), depsgraph)


def plain_position(points, index: int) -> Vector:
    """One point's place in the world, corner by corner."""
    item = points.objects[points.owner[index]]
    evaluated = item.evaluated_get(bpy.context.evaluated_depsgraph_get())
    place = Vector((0, 0, 0))
    for corner, weight in zip(points.corners[index], points.weights[index], strict=True):
        place += float(weight) * (evaluated.matrix_world @ evaluated.data.vertices[int(corner)].co)
    return place


def plain_visibility(scene, place: Vector) -> bool:
    """Whether the first thing a ray to the point meets is the point itself, and it is in the frame."""
    x, y, depth = world_to_camera_view(scene, scene.camera, place)
    if not (0 <= x <= 1 and 0 <= y <= 1 and depth > 0):
        return False
    eye = scene.camera.matrix_world.translation
    away = place - eye
    hit, location, *_ = scene.ray_cast(bpy.context.evaluated_depsgraph_get(), eye, away.normalized())
    return not hit or (location - eye).length >= away.length * (1 - TOLERANCE)


def test_tracks_equal_a_plain_evaluation_point_by_point(scene, cabinet):
    points = sampled(cabinet)
    tracks = follow(points, scene, FRAMES)
    for column, frame in enumerate(FRAMES):
        scene.frame_set(frame)
        for index in range(len(points.owner)):
            x, y, _ = world_to_camera_view(scene, scene.camera, plain_position(points, index))
            assert tracks.xy[index, column] == pytest.approx((x, 1 - y), abs=2e-5)


def test_visibility_equals_a_plain_ray_cast(scene, cabinet):
    points = sampled(cabinet)
    tracks = follow(points, scene, FRAMES)
    for column, frame in enumerate(FRAMES):
        scene.frame_set(frame)
        expected = [plain_visibility(scene, plain_position(points, i)) for i in range(len(points.owner))]
        np.testing.assert_array_equal(tracks.visible[:, column], expected)
    assert tracks.visible.any() and not tracks.visible.all()


def test_points_of_the_body_stay_and_points_of_the_drawer_move_its_way(scene, cabinet):
    tracks = follow(sampled(cabinet), scene, FRAMES)
    body, drawer = tracks.part == 0, tracks.part == 1
    assert body.any() and drawer.any()
    np.testing.assert_array_equal(tracks.xy[body], np.repeat(tracks.xy[body, :1], len(FRAMES), axis=1))
    moved = tracks.xy[drawer, -1] - tracks.xy[drawer, 0]
    assert (moved[:, 1] > 0.02).all()  # towards the viewer who looks down: down in the image
    assert (moved[:, 0] < -0.02).all()  # the viewer stands to the right of the front: to the left


def test_a_drawer_inside_the_body_comes_into_sight(scene, cabinet):
    tracks = follow(sampled(cabinet, 600), scene, FRAMES)
    drawer = tracks.part == 1
    assert tracks.visible[drawer, -1].sum() > tracks.visible[drawer, 0].sum()


def test_points_outside_the_frame_are_not_visible(scene, cabinet):
    scene.camera.data.angle = np.radians(8)
    tracks = follow(sampled(cabinet), scene, [1])
    outside = ((tracks.xy < 0) | (tracks.xy > 1)).any(-1)
    assert outside.any() and not tracks.visible[outside].any()


def test_points_spread_evenly_by_area(scene, finish):
    rig = Rig("test")
    rig.add_part("slab", Shape().box((0, 0, 0), (3, 1, 0.001), finish))
    points = sampled(rig, 4000)
    x = points.positions(bpy.context.evaluated_depsgraph_get())[:, 0]
    counts, _ = np.histogram(x, bins=6, range=(0, 3))
    np.testing.assert_allclose(counts, 4000 / 6, rtol=0.15)


def test_barycentric_coordinates_are_inside_the_triangle():
    weights = random_barycentric(np.random.default_rng(0), 1000)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(1), 1)
    np.testing.assert_allclose(weights.mean(0), 1 / 3, atol=0.03)


def test_points_follow_shape_keys(scene, finish):
    rig = Rig("test")
    item = rig.add_part("blob", Shape().box((0, 0, 0), (1, 1, 1), finish)).object
    item.shape_key_add(name="rest")
    raised = item.shape_key_add(name="raised")
    for point in raised.data:
        point.co.z += 1.0
    raised.value = 0.0
    points = sampled(rig, 20)
    depsgraph = bpy.context.evaluated_depsgraph_get()
    depsgraph.update()
    before = points.positions(depsgraph)
    raised.value = 0.5
    depsgraph = bpy.context.evaluated_depsgraph_get()
    depsgraph.update()
    np.testing.assert_allclose(points.positions(depsgraph) - before, [(0, 0, 0.5)] * 20, atol=1e-6)


def test_a_mesh_that_loses_vertices_is_refused(scene, finish):
    rig = Rig("test")
    item = rig.add_part("bar", Shape().cylinder((0, 0, 0), (0, 0, 1), 0.2, finish, segments=32)).object
    points = sampled(rig, 50)
    modifier = item.modifiers.new("thin out", "DECIMATE")
    modifier.ratio = 0.1
    depsgraph = bpy.context.evaluated_depsgraph_get()
    depsgraph.update()
    with pytest.raises(InputError, match='"bar" changes its number of vertices'):
        points.positions(depsgraph)


def test_sampling_is_decided_by_the_generator(scene):
    rig = build_rig("box", np.random.default_rng(0))
    first, second, other = sampled(rig, seed=1), sampled(rig, seed=1), sampled(rig, seed=2)
    np.testing.assert_array_equal(first.weights, second.weights)
    assert not np.array_equal(first.weights, other.weights)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Points on surfaces and their tracks, against plain twins that look at one point at a time."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector
from puppet_master.data_gen.cameras import Lens, Viewpoint, place_camera
from puppet_master.data_gen.playback import Playback
from puppet_master.data_gen.points import (
    SurfacePoints,
    positions_of,
    rigid_fit,
    sample_points,
    triangle_areas,
    vertex_motion,
)
from puppet_master.data_gen.reasons import Rejection
from puppet_master.data_gen.recording import Recording, record
from puppet_master.data_gen.rigs import Joint, Rig
from puppet_master.data_gen.rigs.shapes import Shape
from puppet_master.data_gen.scene import set_time
from puppet_master.data_gen.tracks import Tracks, follow

TIMES = (1.0, 2.0, 3.5, 5.0)


@pytest.fixture
def cabinet(scene, finish) -> Playback:
    """A box with a drawer that comes out half way, seen from the front, above and the right."""
    rig = Rig("test")
    rig.add_part("body", Shape().box((0, 0, 0), (1, 1, 1), finish))
    joint = Joint("prismatic", "-y", (0.5, 0.0, 0.5), (0.0, 0.8))
    rig.add_part("drawer", Shape().box((0.1, -0.05, 0.3), (0.9, 0.9, 0.7), finish), joint=joint)
    rig.animate(rig.parts[1], (0.0, 0.5), (1, 5))
    corners = [(x, y, z) for x in (0, 1) for y in (-0.55, 1) for z in (0, 1)]
    place_camera(scene, corners, Viewpoint(25, 25, angle=35, fill=0.8))
    scene.render.resolution_x = scene.render.resolution_y = 128
    return Playback(scene, tuple(part.object for part in rig.parts), 1, 5, labels=(0, 1))


def lens() -> Lens:
    return Lens.of(bpy.context.scene, bpy.context.evaluated_depsgraph_get())


def tracked(playback: Playback, count: int = 300, **options) -> tuple[Recording, SurfacePoints, Tracks]:
    recording = record(playback, TIMES)
    points = sample_points(recording, count, np.random.default_rng(0), **options)
    return recording, points, follow(points, recording, [lens()] * len(TIMES), points.owner)


def flat(*squares: tuple[float, float], lift: float = 0.0) -> Recording:
    """Squares of given sides in a row, one item each; all of the last rises by `lift` in the second moment."""
    corners, x = [], 0.0
    for side in squares:
        corners.append([(x, 0, 0), (x + side, 0, 0), (x + side, side, 0), (x, side, 0)])
        x += side + 1
    first = np.array(corners, np.float32).reshape(-1, 3)
    second = first.copy()
    second[-4:, 2] += lift
    count = len(squares)
    faces = np.concatenate([np.array([(0, 1, 2), (0, 2, 3)]) + 4 * item for item in range(count)])
    return Recording(
        np.array([1.0, 2.0]), np.stack((first, second)), faces.astype(np.int32), np.repeat(np.arange(count), 2),
        tuple(f"square {item}" for item in range(count)), np.repeat(np.arange(count), 4), np.ones((2, count), bool),
    )  # fmt: skip


def test_tracks_equal_blenders_own_projection_point_by_point(scene, cabinet):
    recording, points, tracks = tracked(cabinet)
    world = positions_of(points, recording)
    for column, time in enumerate(TIMES):
        set_time(scene, time)
        for row in range(len(points)):
            x, y, depth = world_to_camera_view(scene, scene.camera, Vector(world[row, column]))
            assert tracks.xy[row, column] == pytest.approx((x, 1 - y), abs=2e-6)
            assert tracks.depth[row, column] == pytest.approx(depth, rel=2e-6)
    assert tracks.xy.dtype == tracks.depth.dtype == np.float32
    np.testing.assert_array_equal(tracks.world, world)


def test_points_are_where_blenders_evaluated_mesh_has_them(scene, cabinet):
    recording, points, _ = tracked(cabinet, 60)
    world = positions_of(points, recording)
    set_time(scene, 3.5)
    graph = bpy.context.evaluated_depsgraph_get()
    for row, place in enumerate(world[:, 2]):
        item = bpy.data.objects[recording.names[points.owner[row]]].evaluated_get(graph)
        local = item.matrix_world.inverted() @ Vector(place)
        found, nearest, *_ = item.closest_point_on_mesh(local)
        assert found and (nearest - local).length < 2e-6


def test_points_of_the_body_stay_and_points_of_the_drawer_move_its_way(cabinet):
    _, _, tracks = tracked(cabinet)
    body, drawer = tracks.part == 0, tracks.part == 1
    assert body.any() and drawer.any()
    np.testing.assert_array_equal(tracks.xy[body], np.repeat(tracks.xy[body, :1], len(TIMES), axis=1))
    moved = tracks.xy[drawer, -1] - tracks.xy[drawer, 0]
    assert (moved[:, 1] > 0.02).all()  # towards the viewer who looks down: down in the image
    assert (moved[:, 0] < -0.02).all()  # the viewer stands to the right of the front: to the left


def test_a_drawer_inside_the_body_comes_into_sight(cabinet):
    _, _, tracks = tracked(cabinet, 600)
    drawer = tracks.part == 1
    assert tracks.visible[drawer, -1].sum() > tracks.visible[drawer, 0].sum()


def test_tracks_are_taken_by_index(cabinet):
    _, _, tracks = tracked(cabinet, 20)
    some = tracks.take(np.array([3, 7]))
    for name in ("xy", "visible", "part", "depth", "world"):
        np.testing.assert_array_equal(getattr(some, name), getattr(tracks, name)[[3, 7]])


def test_points_spread_evenly_by_area():
    points = sample_points(flat(1.0, 2.0, 3.0), 1400, np.random.default_rng(0), motion=0.0)
    np.testing.assert_allclose(np.bincount(points.owner), (100, 400, 900), atol=1)
    x, y = points.at(flat(1.0, 2.0, 3.0).positions[0])[points.owner == 2, :2].T
    counts, *_ = np.histogram2d(x - x.min(), y, bins=3)
    np.testing.assert_allclose(counts, 100, atol=35)


def test_points_by_motion_lie_where_the_surface_moves():
    rest, moving = flat(3.0, 1.0), flat(3.0, 1.0, lift=0.5)
    few = np.bincount(sample_points(rest, 1000, np.random.default_rng(0)).owner)
    many = np.bincount(sample_points(moving, 1000, np.random.default_rng(0)).owner)
    assert few[1] == pytest.approx(100, abs=2)
    assert many[1] > 3 * few[1]
    all_moving = np.bincount(sample_points(moving, 1000, np.random.default_rng(0), motion=1.0).owner)
    assert all_moving[1] > all_moving[0] / 9 * 3


def test_shares_decide_how_points_are_shared_out():
    points = sample_points(flat(3.0, 1.0, 2.0), 1000, np.random.default_rng(0), shares=(1, 3, 0))
    np.testing.assert_allclose(np.bincount(points.owner, minlength=3), (250, 750, 0), atol=2)
    still_alone = sample_points(flat(3.0, 1.0, lift=1.0), 50, np.random.default_rng(0), shares=(1, 0))
    assert (still_alone.owner == 0).all()


def test_motion_is_counted_against_that_of_the_body():
    recording = flat(3.0, 1.0)
    turn = np.array([(0, -1, 0), (1, 0, 0), (0, 0, 1)], float)
    turned = recording.positions[0] @ turn.T + (5, 6, 7)
    moved = Recording(**{**vars(recording), "positions": np.stack((recording.positions[0], turned)).astype(np.float32)})
    assert vertex_motion(moved, triangle_areas(moved.positions[0], moved.triangles)).max() < 1e-5
    found, shift = rigid_fit(recording.positions[0], turned)
    np.testing.assert_allclose(found, turn, atol=1e-7)
    np.testing.assert_allclose(shift, (5, 6, 7), atol=1e-6)


def test_weights_are_barycentric_coordinates():
    points = sample_points(flat(1.0), 3000, np.random.default_rng(0))
    assert (points.weights >= 0).all()
    np.testing.assert_allclose(points.weights.sum(1), 1)
    np.testing.assert_allclose(points.weights.mean(0), 1 / 3, atol=0.02)


def test_points_follow_shape_keys(scene, finish):
    rig = Rig("test")
    item = rig.add_part("blob", Shape().box((0, 0, 0), (1, 1, 1), finish)).object
    item.shape_key_add(name="rest")
    raised = item.shape_key_add(name="raised")
    for point in raised.data:
        point.co.z += 1.0
    for frame, value in ((1, 0.0), (2, 0.5)):
        raised.value = value
        raised.keyframe_insert("value", frame=frame)
    recording = record(Playback(scene, (item,), 1, 2), [1, 2])
    places = positions_of(sample_points(recording, 20, np.random.default_rng(0)), recording)
    np.testing.assert_allclose(places[:, 1] - places[:, 0], [(0, 0, 0.5)] * 20, atol=1e-6)


def test_triangles_without_area_get_no_points_and_none_with_is_refused():
    recording = flat(1.0, 1.0)
    recording.positions[:, 4:] = 2.0
    assert (sample_points(recording, 100, np.random.default_rng(0)).owner == 0).all()
    recording.positions[:] = 2.0
    with pytest.raises(Rejection, match="the 4 triangles have no area") as caught:
        sample_points(recording, 100, np.random.default_rng(0))
    assert caught.value.reason == "degenerate geometry"


def test_sampling_is_decided_by_the_generator():
    recording = flat(1.0, 2.0, lift=1.0)
    first, second, other = (sample_points(recording, 50, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.weights, second.weights)
    np.testing.assert_array_equal(first.triangle, second.triangle)
    assert not np.array_equal(first.weights, other.weights)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Visibility: exact on scenes with known answers, and equal to Blender's own ray cast, point by point."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from mathutils import Vector
from puppet_master.data_gen import raster
from puppet_master.data_gen.assets import open_asset
from puppet_master.data_gen.cameras import Lens, Viewpoint, place_camera
from puppet_master.data_gen.playback import Playback
from puppet_master.data_gen.points import positions_of, sample_points
from puppet_master.data_gen.procedural import RigSource
from puppet_master.data_gen.raster import Sight
from puppet_master.data_gen.recording import Recording, record
from puppet_master.data_gen.scene import set_time
from puppet_master.data_gen.tracks import follow
from puppet_master.data_gen.visibility import TOLERANCE, TOLERANCE_BEHIND, Sighting, facing, look

ROUNDING = 3e-6  # of the distance: how exact a ray cast in single precision is


def lens_at(eye=(0.0, 0.0, 5.0), near: float = 0.1, far: float = 100.0, orthographic: bool = False) -> Lens:
    """A camera that looks down; half the frame is as wide as the distance (orthographic: as 1)."""
    world = np.eye(4)
    world[:3, 3] = eye
    if orthographic:
        window = np.diag((1.0, 1.0, -2 / (far - near), 1.0))
        window[2, 3] = -(far + near) / (far - near)
    else:
        window = np.zeros((4, 4))
        window[0, 0] = window[1, 1] = 1.0
        window[2, 2:] = -(far + near) / (far - near), -2 * far * near / (far - near)
        window[3, 2] = -1.0
    return Lens(window @ np.linalg.inv(world), np.array(eye, float))


def board(size: float, height: float, up: bool = True) -> np.ndarray:
    """Corners of two triangles that make a square at a height; `up`: facing the camera."""
    square = np.array([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)], float) * size / 2 + (0, 0, height)
    return square[[0, 1, 2, 0, 2, 3]] if up else square[[0, 2, 1, 0, 3, 2]]


def see(lens: Lens, boards: list[np.ndarray], points: list[tuple[float, float, float]], own: int) -> Sighting:
    """See points on the first triangle of board number `own`."""
    vertices = np.concatenate(boards).astype(np.float32)
    triangles = np.arange(len(vertices), dtype=np.int32).reshape(-1, 3)
    return look(lens, vertices, triangles, np.array(points, float), np.tile(triangles[2 * own], (len(points), 1)))


@pytest.mark.parametrize("orthographic", [False, True])
def test_a_board_hides_what_lies_behind_it_and_nothing_else(orthographic):
    boards = [board(4, 0), board(1, 2)]
    points = [(0.1, 0.0, 0.0), (0.7, 0.0, 0.0), (0.84, 0.0, 0.0)]
    sighting = see(lens_at(orthographic=orthographic), boards, points, own=0)
    # From height 5 a board at 2 of half-width 0.5 casts a shadow of half-width 0.5 * 5 / 3 on the floor.
    np.testing.assert_array_equal(sighting.visible, (False, True, True) if orthographic else (False, False, True))
    np.testing.assert_allclose(sighting.depth, 5.0)
    np.testing.assert_allclose(sighting.xy[1], ((0.7 + 1) / 2, 0.5) if orthographic else (0.5 + 0.07, 0.5))


@pytest.mark.parametrize("thickness", [1e-3, 1e-4, 1e-5])
def test_the_far_side_of_a_thin_board_is_hidden_and_the_near_side_seen(thickness):
    boards = [board(2, 0), board(2, -thickness, up=False)]
    assert see(lens_at(), boards, [(0.3, 0.1, 0.0)], own=0).visible.all()
    assert not see(lens_at(), boards, [(0.3, 0.1, -thickness)], own=1).visible.any()


def test_the_back_of_a_leaf_without_thickness_is_seen():
    assert see(lens_at(), [board(2, 0, up=False)], [(0.3, 0.1, 0.0)], own=0).visible.all()


def test_the_tolerance_is_the_stated_share_of_the_depth():
    for gap, expected in ((0.5 * TOLERANCE, True), (2 * TOLERANCE, False)):
        boards = [board(2, 0), board(2, 5 * gap)]
        assert see(lens_at(), boards, [(0.3, 0.1, 0.0)], own=0).visible.all() == expected


def test_surfaces_laid_upon_each_other_do_not_hide_each_other():
    boards = [board(2, 0), board(3, 0), board(3, 0, up=False)]
    assert see(lens_at(), boards, [(0.3, 0.1, 0.0)], own=0).visible.all()


def test_points_behind_the_camera_and_off_the_frame_are_not_visible_and_finite():
    points = [(0, 0, 6), (0, 0, 5), (4.999, 0, 0), (5.001, 0, 0), (0, -5.001, 0), (0, 0, 4.95), (1e3, 0, 5 + 1e-9)]
    sighting = see(lens_at(near=0.1), [board(0.01, -50)], points, own=0)
    np.testing.assert_array_equal(sighting.visible, (False, False, True, False, False, False, False))
    assert np.isfinite(sighting.xy).all()
    assert sighting.xy[3, 0] > 1 and sighting.xy[4, 1] > 1 and sighting.xy[6, 0] > 1


def test_the_border_belongs_to_the_frame():
    sighting = see(lens_at(), [board(10, 0)], [(5, 0, 0), (-5, 5, 0), (0, -5, 0)], own=0)
    np.testing.assert_array_equal(sighting.visible, True)
    np.testing.assert_allclose(sighting.xy, [(1, 0.5), (0, 0), (0.5, 1)])


def test_points_beyond_the_far_depth_are_not_visible():
    sighting = see(lens_at(far=10.0), [board(0.01, -50)], [(0, 0, -4.9), (0, 0, -5.1)], own=0)
    np.testing.assert_array_equal(sighting.visible, (True, False))


def test_what_lies_before_the_near_depth_hides_nothing():
    for height, expected in ((4.8, False), (4.95, True)):
        assert see(lens_at(near=0.1), [board(2, 0), board(2, height)], [(0.3, 0.1, 0)], own=0).visible == expected


def test_a_triangle_that_crosses_the_near_plane_hides_exactly_what_is_behind_its_part_beyond():
    # A wall in the plane x = 1 from far below to far above the camera: hides all floor beyond x = 1.
    wall = np.array([(1, -90, -1), (1, 90, -1), (1, 0, 200)], float)
    vertices = np.concatenate((board(20, 0), wall)).astype(np.float32)
    triangles = np.arange(9, dtype=np.int32).reshape(-1, 3)
    points = np.array([(0.99, 0, 0), (1.01, 0, 0), (4, 2, 0), (-4, 2, 0)], float)
    sighting = look(lens_at(), vertices, triangles, points, np.tile(triangles[0], (4, 1)))
    np.testing.assert_array_equal(sighting.visible, (True, False, False, True))


def test_triangles_without_area_hide_nothing():
    line = np.array([(0, 0, 1), (0.5, 0, 1), (1, 0, 1), (0.2, 0, 2), (0.2, 0, 2), (0.2, 0, 2)], float)
    edge_on = np.array([(0, 0, 1), (0.5, 0, 1), (0, 0, 2), (0.25, 0, 1), (0.5, 0, 3), (0.1, 0, 1)], float)
    assert see(lens_at(), [board(2, 0), line, edge_on], [(0.2, 0.0, 0), (0.1, 0, 0)], own=0).visible.all()


def test_two_triangles_that_share_an_edge_leave_no_gap():
    rng = np.random.default_rng(0)
    for _ in range(20):
        corners = rng.uniform(-1, 1, (4, 3)) * (4, 4, 0.5) + (0, 0, 2)
        corners[2:, :2] *= -1
        along = rng.random((200, 1))
        edge = corners[0] * along + corners[1] * (1 - along)
        floor = lens_at().eye + (edge - lens_at().eye) * 3  # behind the shared edge
        left = np.cross(corners[1] - corners[0], corners[2] - corners[0])[2]
        right = np.cross(corners[1] - corners[0], corners[3] - corners[0])[2]
        if left * right >= 0:
            continue
        triangles = np.array([(0, 1, 2), (1, 0, 3)], np.int32)
        sight = Sight.of(lens_at())
        places, _ = sight.places(sight.see(floor))
        places = places[(np.abs(places) < 1).all(1)]
        met = raster.nearest(sight, corners, triangles, places)
        # The places are rounded, but a neighbour on each side of the edge takes what the other leaves.
        assert (met.triangle >= 0).all()


def test_small_batches_give_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    vertices = (rng.uniform(-2, 2, (500, 1, 3)) + rng.uniform(-0.3, 0.3, (500, 3, 3))).reshape(-1, 3).astype(np.float32)
    triangles = np.arange(1500, dtype=np.int32).reshape(-1, 3)
    points = vertices[triangles[:200]].mean(1).astype(float)
    whole = look(lens_at(eye=(0, 0, 1)), vertices, triangles, points, triangles[:200])
    monkeypatch.setattr(raster, "BATCH", 700)
    monkeypatch.setattr(raster, "CHUNK", 37)
    parts = look(lens_at(eye=(0, 0, 1)), vertices, triangles, points, triangles[:200])
    np.testing.assert_array_equal(whole.visible, parts.visible)
    assert whole.visible.any() and not whole.visible.all()


@pytest.mark.parametrize("orthographic", [False, True])
def test_random_triangles_against_every_pair_tested_one_by_one(orthographic):
    """Möller and Trumbore's test, written plainly; the camera stands amid the triangles."""
    rng = np.random.default_rng(1)
    vertices = (rng.uniform(-2, 2, (60, 1, 3)) + rng.uniform(-0.9, 0.9, (60, 3, 3))).reshape(-1, 3).astype(np.float32)
    triangles = np.arange(180, dtype=np.int32).reshape(-1, 3)
    own = triangles[rng.integers(0, 60, 120)]
    points = np.einsum("pkx,pk->px", vertices[own].astype(float), rng.dirichlet((1, 1, 1), 120))
    lens = lens_at(eye=(0, 0, 0.5), near=0.05, orthographic=orthographic)
    sighting = look(lens, vertices, triangles, points, own)
    towards = facing(Sight.of(lens), vertices, own)
    for index, point in enumerate(points):
        direction = np.array((0, 0, -1.0)) if orthographic else point - lens.eye
        depth = lens.eye[2] - point[2]
        xy = point[:2] if orthographic else point[:2] / max(depth, 1e-9)
        expected = depth >= 0.05 and (np.abs(xy) <= 1).all()
        origin = np.array((*point[:2], lens.eye[2])) if orthographic else lens.eye
        tolerance = TOLERANCE if towards[index] else TOLERANCE_BEHIND
        for corners in vertices[triangles].astype(float):
            if np.array_equal(corners, vertices[own[index]]):
                continue
            reach = plain_hit(origin, direction, corners)
            far = reach * (1 if orthographic else depth)  # depth of the hit
            if reach > 0 and far >= 0.05 and far < depth * (1 - tolerance):
                expected = False
        assert sighting.visible[index] == expected
    assert 0.05 < sighting.visible.mean() < 0.95


def plain_hit(origin: np.ndarray, direction: np.ndarray, corners: np.ndarray) -> float:
    """How far along the direction a ray meets a triangle; -1 for never."""
    one, two = corners[1] - corners[0], corners[2] - corners[0]
    across = np.cross(direction, two)
    scale = one @ across
    if abs(scale) < 1e-12:
        return -1.0
    offset = origin - corners[0]
    u = offset @ across / scale
    turned = np.cross(offset, one)
    v = direction @ turned / scale
    return float(two @ turned / scale) if u >= 0 and v >= 0 and u + v <= 1 else -1.0


# Against Blender ------------------------------------------------------------------------------------------------------

CASES = {
    "knight": ("Knight.glb", "Walking_A"),
    "fan": ("desk_fan/vintageFan_animated.gltf", None),
    "morph": ("MorphStressTest.gltf", None),
    "cabinet": None,
    "scissors": None,
}


def playback(case: str, shared) -> Playback:
    if CASES[case] is None:
        return RigSource(case, 3, 5).play(0)
    path, animation = CASES[case]
    source = open_asset(shared / "assets" / path)
    return source.play(source.animations().index(animation) if animation else 0)


def cast(scene: bpy.types.Scene, lens: Lens, point: np.ndarray) -> float:
    """By how much of the distance the first thing on the way to a point lies before it; 0 where nothing does."""
    away = point - lens.eye
    distance = np.linalg.norm(away)
    graph = bpy.context.evaluated_depsgraph_get()
    hit, place, *_ = scene.ray_cast(graph, Vector(lens.eye), Vector(away / distance))
    return max(0.0, 1 - float(np.linalg.norm(np.array(place) - lens.eye)) / distance) if hit else 0.0


@pytest.mark.parametrize("case", CASES)
def test_visibility_equals_a_plain_ray_cast(case, request):
    """Every point whose ray is not within rounding of an edge or of the tolerance must agree."""
    shared = request.getfixturevalue("shared") if CASES[case] else None
    playing = playback(case, shared)
    scene = playing.scene
    recording = record(playing, np.linspace(playing.first, playing.last, 3).tolist())
    points = sample_points(recording, 700, np.random.default_rng(0))
    place_camera(scene, recording.positions.reshape(-1, 3), Viewpoint(30, 20, angle=35, fill=1.05))
    scene.render.resolution_x = scene.render.resolution_y = 128
    lens = Lens.of(scene, bpy.context.evaluated_depsgraph_get())
    tracks = follow(points, recording, [lens] * 3)
    world = positions_of(points, recording)
    agree = explained = 0
    for column, time in enumerate(recording.times):
        set_time(scene, float(time))
        towards = facing(Sight.of(lens), recording.positions[column], points.corners)
        for row in range(len(points)):
            inside = ((tracks.xy[row, column] >= 0) & (tracks.xy[row, column] <= 1)).all()
            tolerance = TOLERANCE if towards[row] else ROUNDING
            gap = cast(scene, lens, world[row, column])
            if (inside and gap <= tolerance) == tracks.visible[row, column]:
                agree += 1
                continue
            assert is_rounding(scene, lens, world[row, column], gap, tolerance), (
                f"point {row} on {recording.names[points.owner[row]]} at frame {time}: gap {gap}"
            )
            explained += 1
    assert agree + explained == tracks.visible.size
    assert agree / tracks.visible.size >= 0.998
    assert 0.05 < tracks.visible.mean() < 0.95


def is_rounding(scene, lens: Lens, point: np.ndarray, gap: float, tolerance: float) -> bool:
    """Whether a ray's answer hangs on rounding: its gap is about the tolerance, or rays close by answer otherwise."""
    if abs(gap - tolerance) < ROUNDING:
        return True
    distance = np.linalg.norm(point - lens.eye)
    shifts = np.concatenate((np.eye(3), -np.eye(3))) * 1e-5 * distance
    return any((cast(scene, lens, point + shift) <= tolerance) != (gap <= tolerance) for shift in shifts)


def test_an_absent_item_hides_nothing_and_is_not_seen():
    vertices = np.concatenate((board(2, 0), board(1, 2))).astype(np.float32)
    recording = Recording(
        times=np.array([1.0, 2.0]),
        positions=np.stack((vertices, vertices)),
        triangles=np.arange(12, dtype=np.int32).reshape(-1, 3),
        owner=np.array([0, 0, 1, 1], np.int32),
        names=("floor", "lid"),
        vertex_owner=np.repeat(np.arange(2, dtype=np.int32), 6),
        present=np.array([[True, True], [True, False]]),
    )
    points = sample_points(recording, 200, np.random.default_rng(0))
    tracks = follow(points, recording, [lens_at(), lens_at()])
    lid = points.owner == 1
    assert tracks.visible[lid, 0].all() and not tracks.visible[lid, 1].any()
    assert not tracks.visible[~lid, 0].all() and tracks.visible[~lid, 1].all()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes: exact on scenes with known answers, equal to Blender's own passes, and of one mind with the tracks."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from puppet_master.backend.clips import PASSES
from puppet_master.data_gen import passes as module
from puppet_master.data_gen.cameras import Lens, Viewpoint, place_camera
from puppet_master.data_gen.passes import look_at_pixels, render_passes
from puppet_master.data_gen.points import SurfacePoints
from puppet_master.data_gen.procedural import RigSource
from puppet_master.data_gen.recording import Recording, record
from puppet_master.data_gen.scene import set_time
from puppet_master.data_gen.tracks import follow

ALL = tuple(PASSES)


def lens_down(height: float = 4.0) -> Lens:
    """A camera at a height that looks down with a field of view of 90 degrees."""
    world = np.eye(4)
    world[2, 3] = height
    near, far = 0.1, 100.0
    window = np.zeros((4, 4))
    window[0, 0] = window[1, 1] = 1.0
    window[2, 2:] = -(far + near) / (far - near), -2 * far * near / (far - near)
    window[3, 2] = -1.0
    return Lens(window @ np.linalg.inv(world), np.array((0, 0, height)), near)


def scene_of(*moments: np.ndarray, present: np.ndarray | None = None) -> Recording:
    """Squares `[items, 4, 3]` at each moment, an item each."""
    count = len(moments[0])
    faces = np.concatenate([np.array([(0, 1, 2), (0, 2, 3)]) + 4 * item for item in range(count)])
    return Recording(
        np.arange(len(moments), dtype=float), np.reshape(moments, (len(moments), -1, 3)).astype(np.float32),
        faces.astype(np.int32), np.repeat(np.arange(count, dtype=np.int32), 2),
        tuple(f"square {item}" for item in range(count)), np.repeat(np.arange(count, dtype=np.int32), 4),
        np.ones((len(moments), count), bool) if present is None else present,
    )  # fmt: skip


def square(side: float, height: float, x: float = 0.0, tilt: float = 0.0) -> np.ndarray:
    corners = np.array([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)], float) * side / 2
    corners[:, 2] = tilt * corners[:, 0]
    return corners + np.array((x, 0, height))


def test_depth_parts_and_normals_of_squares_are_exact():
    recording = scene_of(np.stack((square(20, 0), square(1, 2), square(1, 3, x=5))))
    found = render_passes(ALL, recording, [lens_down()], 16, scale=2.0)
    # At depth 2 a side of 1 covers a quarter of the frame's width: pixels 6 to 9.
    inside = np.zeros((16, 16), bool)
    inside[6:10, 6:10] = True
    np.testing.assert_array_equal(found["depth"][0], np.where(inside, 1.0, 2.0))
    np.testing.assert_array_equal(found["part"][0], np.where(inside, 2, 1))
    np.testing.assert_array_equal(found["normal"][0], np.broadcast_to((128, 128, 255), (16, 16, 3)))
    assert found["flow"].shape == (0, 16, 16, 2)
    for name, values in found.items():
        assert values.dtype == PASSES[name][1]


def test_where_nothing_is_the_passes_say_so():
    recording = scene_of(np.stack((square(1, 2),)), np.stack((square(1, 2),)))
    found = render_passes(ALL, recording, [lens_down()] * 2, 8)
    assert np.isinf(found["depth"][0, 0]).all() and np.isnan(found["flow"][0, 0]).all()
    assert not found["part"][0, 0].any() and not found["normal"][0, 0].any()
    np.testing.assert_array_equal(found["flow"][0, 3:5, 3:5], 0.0)


def test_flow_of_a_square_that_moves_is_exact():
    still, moved = np.stack((square(20, 0), square(1, 2))), np.stack((square(20, 0), square(1, 2, x=0.5)))
    found = render_passes(("flow",), scene_of(still, moved), [lens_down()] * 2, 16)["flow"][0]
    expected = np.zeros((16, 16, 2))
    expected[6:10, 6:10, 0] = 0.5 / 4 * 16  # half a unit of the four that the frame spans at that depth
    np.testing.assert_array_equal(found, expected)


def test_flow_follows_the_camera_and_what_goes_behind_it_has_none():
    recording = scene_of(np.stack((square(8, 0),)), np.stack((square(8, 0),)))
    closer = render_passes(("flow",), recording, [lens_down(4), lens_down(2)], 8)["flow"][0]
    centre = (np.arange(8) + 0.5) / 8 - 0.5
    np.testing.assert_allclose(closer[..., 0], np.broadcast_to(centre * 8, (8, 8)))  # twice as large
    assert np.isnan(render_passes(("flow",), recording, [lens_down(4), lens_down(-1)], 8)["flow"]).all()


def test_normals_are_in_camera_axes_on_the_side_seen():
    recording = scene_of(np.stack((square(2, 0, tilt=1.0)[::-1],)))  # seen from behind
    found = render_passes(("normal",), recording, [lens_down()], 32)["normal"][0, 16, 16]
    expected = np.array((-1, 0, 1)) / np.sqrt(2)
    np.testing.assert_allclose(found / 127.5 - 1, expected, atol=0.005)


def test_absent_items_are_not_seen():
    squares = np.stack((square(20, 0), square(1, 2)))
    recording = scene_of(squares, squares, present=np.array([[True, True], [True, False]]))
    found = render_passes(("part",), recording, [lens_down()] * 2, 8)["part"]
    assert (found[0] == 2).any() and (found[1] == 1).all()


def test_part_ids_may_be_given_and_sizes_need_not_be_square():
    recording = scene_of(np.stack((square(20, 0), square(1, 2))))
    found = render_passes(("part",), recording, [lens_down()], (12, 6), part=np.array([7, 7, 3, 3]))["part"]
    assert found.shape == (1, 6, 12) and set(np.unique(found)) == {4, 8}


def test_bands_give_the_same(monkeypatch):
    recording = scene_of(np.stack((square(3, 0), square(1, 2))), np.stack((square(3, 0), square(1, 2, x=0.3))))
    whole = render_passes(ALL, recording, [lens_down()] * 2, 20)
    monkeypatch.setattr(module, "BAND", 37)
    for name, values in render_passes(ALL, recording, [lens_down()] * 2, 20).items():
        np.testing.assert_array_equal(values, whole[name])


def test_no_pass_asked_for_gives_none():
    assert render_passes((), scene_of(np.stack((square(3, 0),))), [lens_down()], 8) == {}


@pytest.fixture
def robot(scene) -> tuple[Recording, Lens]:
    playback = RigSource("robot_arm", 2, 4).play(0)
    recording = record(playback, [1, 2, 3, 4])
    place_camera(scene, recording.positions.reshape(-1, 3), Viewpoint(25, 25, angle=35, fill=0.9))
    scene.render.resolution_x = scene.render.resolution_y = 64
    return recording, Lens.of(scene, bpy.context.evaluated_depsgraph_get())


def test_flow_and_depth_agree_with_tracks_of_the_same_points(robot):
    recording, lens = robot
    found = render_passes(("depth", "flow"), recording, [lens] * 4, 64)
    for index in range(3):
        triangle, corners, hit = look_at_pixels(recording, index, lens, (64, 64))
        points = SurfacePoints(triangle.astype(np.int32), corners, hit.weights, recording.owner[triangle])
        tracks = follow(points, recording, [lens] * 4)
        assert len(triangle) > 200 and tracks.visible[:, index].mean() > 0.999
        rows, columns = np.divmod(hit.place, 64)
        centre = np.stack((columns + 0.5, rows + 0.5), 1)
        np.testing.assert_allclose(tracks.xy[:, index] * 64, centre, atol=1e-4)
        flow = tracks.xy[:, index + 1] * 64 - centre
        np.testing.assert_allclose(found["flow"][index, rows, columns], flow, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(found["depth"][index, rows, columns], tracks.depth[:, index], rtol=1e-3)


def test_passes_equal_plain_rays_through_the_pixels_centres(robot, scene):
    recording, lens = robot
    found = render_passes(("depth", "part", "normal"), recording, [lens] * 4, 64)
    set_time(scene, 3)
    graph = bpy.context.evaluated_depsgraph_get()
    world = np.array(scene.camera.matrix_world)
    frame = np.array([tuple(corner) for corner in scene.camera.data.view_frame(scene=scene)])
    right, up = (frame[0] - frame[3]), (frame[0] - frame[1])
    differing = 0
    for row in range(64):
        for column in range(64):
            place = frame[2] + right * (column + 0.5) / 64 + up * (63.5 - row) / 64
            ray = world[:3, :3] @ place
            hit, met, normal, _, item, _ = scene.ray_cast(graph, lens.eye.tolist(), ray.tolist())
            number = recording.names.index(item.name) + 1 if hit else 0
            if found["part"][2, row, column] != number:
                differing += 1  # a ray along an edge may go either way
                continue
            if not hit:
                continue
            depth = (np.array(met) - lens.eye) @ -world[:3, 2]
            turned = world[:3, :3].T @ np.array(normal)
            turned *= np.sign(-(turned @ place))
            good = abs(found["depth"][2, row, column] / depth - 1) < 1e-3
            good &= np.abs(found["normal"][2, row, column] / 127.5 - 1 - turned).max() < 0.006
            differing += not good
    assert differing <= 4


def test_paths_lead_where_a_square_moves_and_stay_known_where_it_is_covered():
    under = square(20, 0)
    moments = [np.stack((under, square(1, 2, x=shift))) for shift in (0.0, 0.25, 1.0)]
    paths = render_passes(["paths"], scene_of(*moments), [lens_down()] * 3, 16, scale=2.0)["paths"]
    assert paths.shape == (2, 16, 16, 3)
    # At depth 2 a unit is 4 pixels; the ground lies at depth 4 and stays, under the square as well.
    np.testing.assert_array_equal(paths[:, 8, 8], [(1, 0, 1), (4, 0, 1)])
    np.testing.assert_array_equal(paths[:, 8, 12], [(0, 0, 2), (0, 0, 2)])


def test_the_first_steps_of_paths_and_flow_are_one():
    recording = scene_of(*[np.stack((square(3, 0, x=shift, tilt=0.2),)) for shift in (0.0, 0.3, 0.5)])
    found = render_passes(["paths", "flow"], recording, [lens_down()] * 3, 16)
    np.testing.assert_array_equal(found["paths"][0, ..., :2], found["flow"][0])
    assert np.isnan(found["paths"][:, 0, 0]).all()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras frame what they are asked to and project as Blender does."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector
from puppet_master.data_gen.cameras import Lens, Viewpoint, look_rotation, place_camera, random_viewpoint
from puppet_master.data_gen.rigs import View

CORNERS = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.3, 0.3) for z in (0, 1.2)], float)


def lens_of(scene) -> Lens:
    scene.render.resolution_x = scene.render.resolution_y = 128
    bpy.context.view_layer.update()
    return Lens.of(scene, bpy.context.evaluated_depsgraph_get())


@pytest.mark.parametrize("azimuth", [-70, 0, 50, 180])
@pytest.mark.parametrize("elevation", [0, 35, 80])
def test_the_object_fills_the_asked_share_and_sits_in_the_asked_place(scene, azimuth, elevation):
    place_camera(scene, CORNERS, Viewpoint(azimuth, elevation, angle=30, fill=0.7, shift=(0.05, -0.03)))
    image, in_front = lens_of(scene).project(CORNERS)
    assert in_front.all()
    assert np.ptp(image, axis=0).max() == pytest.approx(0.7, abs=0.01)
    np.testing.assert_allclose((image.min(0) + image.max(0)) / 2, (0.55, 0.47), atol=0.01)


def test_projection_equals_blenders_own(scene):
    place_camera(scene, CORNERS, Viewpoint(35, 20, angle=40, fill=0.9))
    points = np.random.default_rng(0).uniform(-1, 1.5, (200, 3))
    image, in_front = lens_of(scene).project(points)
    expected = np.array([world_to_camera_view(scene, scene.camera, Vector(point)) for point in points])
    np.testing.assert_array_equal(in_front, expected[:, 2] > 0.01)
    seen = expected[in_front]
    np.testing.assert_allclose(image[in_front], np.stack((seen[:, 0], 1 - seen[:, 1]), 1), atol=2e-5)


def test_image_axes_run_right_and_down(scene):
    place_camera(scene, CORNERS, Viewpoint(0, 0, angle=30, fill=0.7))
    image, _ = lens_of(scene).project(np.array([(0.0, 0, 0.6), (0.3, 0, 0.6), (0, 0, 1.0)]))
    assert image[1, 0] > image[0, 0]  # world right is image right, seen from the front
    assert image[2, 1] < image[0, 1]  # world up is image up


def test_points_behind_the_camera_are_said_to_be(scene):
    camera = place_camera(scene, CORNERS, Viewpoint(0, 0, angle=30, fill=0.7))
    behind = np.array(camera.location) - np.array((0, 1, 0))
    assert not lens_of(scene).project(behind[None])[1][0]


def test_look_rotation_is_a_rotation():
    rotation = look_rotation(33, 21)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_random_viewpoints_stay_in_the_view():
    rng = np.random.default_rng(0)
    for _ in range(50):
        viewpoint = random_viewpoint(rng, View((-10, 10), (5, 6)), (0.5, 0.6))
        assert -10 <= viewpoint.azimuth <= 10 and 5 <= viewpoint.elevation <= 6
        assert 0.5 <= viewpoint.fill <= 0.6

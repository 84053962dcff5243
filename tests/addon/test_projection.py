# SPDX-License-Identifier: GPL-3.0-or-later
"""The camera's projection, against Blender's own numbers and against rendered pixels."""

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Euler, Vector
from puppet_master.addon.projection import border_region, camera_view, render_view
from puppet_master.backend.errors import InputError


def random_camera(scene, rng, kind):
    """Turn the scene's camera and render settings into random ones."""
    camera, render = scene.camera, scene.render
    camera.location = rng.uniform(-5, 5, 3)
    camera.rotation_euler = Euler(rng.uniform(-3, 3, 3))
    camera.scale = rng.uniform(0.5, 2.0, 3)
    data = camera.data
    data.type = kind
    data.lens = rng.uniform(12, 120)
    data.ortho_scale = rng.uniform(0.5, 12)
    data.sensor_width, data.sensor_height = rng.uniform(10, 50, 2)
    data.sensor_fit = str(rng.choice(["AUTO", "HORIZONTAL", "VERTICAL"]))
    data.shift_x, data.shift_y = rng.uniform(-0.5, 0.5, 2)
    render.resolution_x, render.resolution_y = (int(side) for side in rng.integers(40, 900, 2))
    render.pixel_aspect_x, render.pixel_aspect_y = ((1.0, 1.0), (1.0, 1.7), (1.3, 1.0))[rng.integers(3)]
    bpy.context.view_layer.update()


@pytest.mark.parametrize("kind", ["PERSP", "ORTHO"])
def test_points_fall_where_blender_says(scene, kind):
    rng = np.random.default_rng(3)
    for _ in range(40):
        random_camera(scene, rng, kind)
        world = np.array(scene.camera.matrix_world.normalized())
        local = rng.uniform((-3, -3, -9), (3, 3, -0.5), (12, 3))
        points = local @ world[:3, :3].T + world[:3, 3]
        expected = np.array([world_to_camera_view(scene, scene.camera, Vector(point)) for point in points])
        positions, depths = render_view(scene, scene.camera).project(points)
        np.testing.assert_allclose(positions[:, 0], expected[:, 0], atol=2e-4, rtol=1e-5)
        np.testing.assert_allclose(positions[:, 1], 1.0 - expected[:, 1], atol=2e-4, rtol=1e-5)
        np.testing.assert_allclose(depths, expected[:, 2], atol=1e-4)


@pytest.mark.parametrize("kind", ["PERSP", "ORTHO"])
def test_a_ray_meets_the_points_that_are_seen_at_its_place(scene, kind):
    rng = np.random.default_rng(5)
    for _ in range(20):
        random_camera(scene, rng, kind)
        scene.render.use_border = scene.render.use_crop_to_border = True
        scene.render.border_min_x, scene.render.border_max_x = 0.2, 0.7
        scene.render.border_min_y, scene.render.border_max_y = 0.1, 0.85
        view = render_view(scene, scene.camera)
        place = rng.uniform(0, 1, 2)
        ray = view.ray(*place)
        along = ray.origin + ray.direction * np.array([[0.0], [0.1], [1.0]]) * ray.length
        positions, depths = view.project(along)
        np.testing.assert_allclose(positions, np.tile(place, (3, 1)), atol=1e-6)
        assert depths[0] == pytest.approx(scene.camera.data.clip_start, rel=1e-4)
        assert depths[2] == pytest.approx(scene.camera.data.clip_end, rel=1e-4)


def test_a_point_behind_a_perspective_camera_has_no_place(scene):
    view = camera_view(scene.camera, 64, 48)
    positions, depths = view.project(np.array([[0.0, -5.0, 0.0], [0.0, 0.0, 0.0]]))
    assert np.isnan(positions[0]).all()
    assert depths[0] == pytest.approx(-1.0, abs=1e-5)
    np.testing.assert_allclose(positions[1], [0.5, 0.5], atol=1e-6)


def test_a_cropped_border_is_the_whole_still(scene, tmp_path):
    """The small ball's middle in the render's pixels lies where the projection puts it."""
    scene.render.resolution_x, scene.render.resolution_y = 200, 150
    scene.render.use_border = scene.render.use_crop_to_border = True
    scene.render.border_min_x, scene.render.border_max_x = 0.333, 0.9
    scene.render.border_min_y, scene.render.border_max_y = 0.1, 0.777
    bpy.data.objects["Cube"].hide_render = True
    bpy.ops.mesh.primitive_uv_sphere_add(radius=0.06, location=(0.3, 0.0, -0.2))
    place = bpy.context.object.matrix_world.translation
    scene.render.film_transparent = True
    scene.render.filepath = str(tmp_path / "cropped.png")
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(scene.render.filepath)
    width, height = image.size
    alpha = np.array(image.pixels[:]).reshape(height, width, 4)[::-1, :, 3]
    rows, columns = np.nonzero(alpha > 0.5)
    seen = ((columns.mean() + 0.5) / width, (rows.mean() + 0.5) / height)
    left, top, right, bottom = border_region(scene.render)
    assert ((right - left) * 200, (bottom - top) * 150) == pytest.approx((width, height))
    positions, _ = render_view(scene, scene.camera).project(np.array([place]))
    assert positions[0] == pytest.approx(seen, abs=0.7 / width)


def test_a_panoramic_camera_is_refused_by_name(scene):
    scene.camera.data.type = "PANO"
    with pytest.raises(InputError, match='camera "Camera" is panoramic; handles need a perspective or orthographic'):
        render_view(scene, scene.camera)
    with pytest.raises(InputError, match='"Cube" is no camera'):
        camera_view(bpy.data.objects["Cube"], 10, 10)

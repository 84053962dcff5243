# SPDX-License-Identifier: GPL-3.0-or-later
"""Stills from a camera, an image and the render result, and what the panel says when the scene changes."""

import bpy
import numpy as np
import pytest
from PIL import Image
from puppet_master.addon import preview_operators, still_status, stills
from puppet_master.backend.errors import InputError

ops = bpy.ops.puppet_master


def pixels(path):
    with Image.open(path) as image:
        assert image.mode == "RGBA"
        return np.asarray(image)


def new_image(name="Painting", size=(20, 30), colour=(1.0, 0.5, 0.0, 1.0), **options):
    image = bpy.data.images.new(name, *size, alpha=True, **options)
    values = np.tile(np.array(colour, np.float32), (size[1], size[0], 1))
    values[-1, 0] = (0.0, 0.0, 1.0, 1.0)  # top left
    image.pixels.foreach_set(values.ravel())
    return image


def test_an_image_becomes_the_still_pixel_by_pixel(scene, tmp_path):
    new_image()
    ops.use_image(image="Painting")
    settings = scene.puppet_master
    assert (settings.still_source, settings.still.image_name) == ("IMAGE", "Painting")
    assert (settings.still.width, settings.still.height) == (20, 30)
    shown = pixels(settings.still_path)
    assert shown.shape == (30, 20, 4)
    assert shown[0, 0].tolist() == [0, 0, 255, 255]
    assert shown[15, 10].tolist() == [255, 128, 0, 255]


def test_a_linear_premultiplied_image_becomes_srgb_with_straight_alpha(scene):
    image = new_image(float_buffer=True, colour=(0.5 * 0.5, 0.0, 2.0, 0.5))
    shown = stills.pixels_of(image)
    assert shown[15, 10].tolist() == [188, 0, 255, 128]  # linear 0.5 is 188 in sRGB


def test_the_render_result_becomes_the_still(scene):
    with pytest.raises(RuntimeError, match=r"there is no Render Result to copy; render the scene \(F12\) first"):
        ops.use_render_result()
    assert scene.puppet_master.still_source == "CAMERA"
    scene.render.resolution_percentage = 50
    scene.render.film_transparent = True
    bpy.ops.render.render()
    ops.use_render_result()
    settings = scene.puppet_master
    assert (settings.still.width, settings.still.height) == (32, 24)
    alpha = pixels(settings.still_path)[..., 3]
    assert alpha[12, 16] >= 254 and alpha[0, 0] == 0  # Blender 4.5 rounds down
    assert still_status.note(scene) == ""


def test_the_still_remembers_what_it_was_seen_from(scene):
    scene.frame_set(7)
    ops.make_still()
    record = scene.puppet_master.still
    assert (record.source, record.camera, record.frame) == ("CAMERA", scene.camera, 7)
    assert (record.width, record.height, tuple(record.resolution)) == (64, 48, (64, 48))
    expected = np.array(scene.camera.matrix_world.inverted())
    assert np.array(record.view).reshape(4, 4) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s.frame_set(9), "The still shows frame 1, not 9"),
        (lambda s: setattr(s.camera, "location", (0.1, -4, 0)), "The camera has moved since the still"),
        (lambda s: setattr(s.camera.data, "lens", 80), "The camera's lens or frame has changed since the still"),
        (lambda s: setattr(s.camera.data, "shift_x", 0.1), "The camera's lens or frame has changed since the still"),
        (lambda s: setattr(s.render, "resolution_x", 80), "The still was made at 64 x 48 pixels"),
        (lambda s: setattr(s, "camera", another_camera()), 'The still shows camera "Camera", not "Camera.001"'),
        (lambda s: bpy.data.objects.remove(s.camera), 'The still\'s camera "Camera" is gone'),
        (lambda s: setattr(s, "camera", None), "No active camera"),
    ],
)
def test_a_change_since_the_still_is_told_and_a_new_still_is_up_to_date(scene, change, expected):
    ops.make_still()
    assert still_status.note(scene) == ""
    change(scene)
    bpy.context.view_layer.update()
    assert still_status.note(scene) == expected
    if scene.camera is not None:
        ops.make_still()
        assert still_status.note(scene) == ""


def another_camera():
    bpy.ops.object.camera_add()
    return bpy.context.object


def test_the_note_outlives_undo_and_opening_the_file(scene, tmp_path):
    ops.make_still()
    scene.frame_set(5)
    path = str(tmp_path / "shot.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_empty=True)
    assert still_status.note(bpy.context.scene) == ""
    bpy.ops.wm.open_mainfile(filepath=path)
    assert still_status.note(bpy.context.scene) == "The still shows frame 1, not 5"


def test_a_camera_moved_by_its_parent_counts_as_moved(scene):
    parent = bpy.data.objects.new("Rig", None)
    scene.collection.objects.link(parent)
    scene.camera.parent = parent
    bpy.context.view_layer.update()
    ops.make_still()
    parent.location.z = 0.2
    bpy.context.view_layer.update()
    assert still_status.note(scene) == "The camera has moved since the still"


def test_a_camera_scaled_to_nothing_is_told_and_breaks_nothing(scene):
    ops.add_drag()
    scene.camera.scale = (0.0, 0.0, 0.0)
    bpy.context.view_layer.update()
    ops.make_still()
    assert "is scaled to nothing" in still_status.note(scene)
    scene.camera.scale = (1.0, 1.0, 1.0)
    scene.camera.data.type, scene.camera.data.ortho_scale = "ORTHO", 0.0
    bpy.context.view_layer.update()
    assert "its orthographic scale is 0" in still_status.note(scene)
    ops.add_pin(position=(0.5, 0.5), stick=True)
    assert scene.puppet_master.drags[-1].anchor_state == "NONE"


def test_the_engine_is_a_choice_and_the_scenes_own_stays(scene, tmp_path):
    scene.render.engine = "CYCLES"
    scene.puppet_master.still_engine = "WORKBENCH"
    assert stills.make_still(scene, tmp_path / "still.png").engine == "BLENDER_WORKBENCH"
    assert scene.render.engine == "CYCLES"


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda s: None, "no image is chosen for the still"),
        (lambda s: setattr(s, "still_image", new_image(size=(8, 200))), "size 8x200 lies outside 16 to 4096"),
        (lambda s: setattr(s, "still_image", broken_image()), 'image "gone.png" has no pixels; check its file'),
    ],
)
def test_an_image_that_cannot_be_the_still_is_refused(scene, tmp_path, prepare, message):
    settings = scene.puppet_master
    settings.still_source = "IMAGE"
    prepare(settings)
    with pytest.raises(InputError, match=message):
        stills.make_still(scene, tmp_path / "still.png")
    assert not (tmp_path / "still.png").exists()


def broken_image():
    image = bpy.data.images.new("gone.png", 4, 4)
    image.source, image.filepath = "FILE", "//gone.png"
    return image


def test_an_image_that_is_not_there_is_refused_and_the_source_stays(scene):
    with pytest.raises(RuntimeError, match='there is no image "nothing" in this file'):
        ops.use_image(image="nothing")
    new_image("tiny", (4, 4))
    with pytest.raises(RuntimeError, match="size 4x4 lies outside"):
        ops.use_image(image="tiny")
    assert scene.puppet_master.still_source == "CAMERA"


def test_drags_on_an_image_still_do_not_stick_to_surfaces(scene):
    new_image()
    ops.use_image(image="Painting")
    ops.add_drag(start=(0.5, 0.5), stick=True)
    assert scene.puppet_master.drags[0].anchor_state == "NONE"


def test_the_still_gets_the_size_of_the_chosen_model(scene, embedded_model):
    scene.puppet_master.still_size = 100
    ops.match_model_size()
    assert scene.puppet_master.still_size == 256
    scene.puppet_master.model = "no such model"
    with pytest.raises(RuntimeError, match="no such model"):
        ops.match_model_size()


def test_the_chosen_background_goes_to_the_backend(scene):
    scene.puppet_master.background = (0.2, 0.4, 0.6)
    assert preview_operators.request_of(scene, b"png").background == pytest.approx((0.2, 0.4, 0.6))

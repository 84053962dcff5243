# SPDX-License-Identifier: GPL-3.0-or-later
"""A preview shown on the camera: the right file at each scene frame."""

from pathlib import Path

import bpy
import pytest
from PIL import Image
from puppet_master.addon import playback
from puppet_master.backend.errors import InputError


@pytest.fixture
def make_result(tmp_path):
    def make(name, frames):
        folder = tmp_path / name
        (folder / "frames").mkdir(parents=True)
        for index in range(frames):
            shade = 10 + 50 * index
            Image.new("RGB", (16, 12), (shade, 0, 0)).save(folder / "frames" / f"{index:04d}.png")
        return folder

    return make


def shown_at(scene, frame):
    """The file that the camera's background shows at a scene frame.

    Blender works a background's frame out when it draws, so ask a material with the same image user.
    """
    entry = scene.camera.data.background_images[0]
    material = bpy.data.materials.new("probe")
    material.use_nodes = True
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = entry.image
    for name in ("frame_duration", "frame_start", "frame_offset", "use_cyclic", "use_auto_refresh"):
        setattr(node.image_user, name, getattr(entry.image_user, name))
    bpy.data.objects["Cube"].data.materials.append(material)
    scene.frame_set(frame)
    evaluated = material.evaluated_get(bpy.context.evaluated_depsgraph_get())
    user = evaluated.node_tree.nodes[node.name].image_user
    return Path(entry.image.filepath_from_user(image_user=user)).name


def test_the_preview_starts_at_the_frame_its_still_was_rendered_at(scene, make_result):
    image = playback.load_result(scene, make_result("one", 4), first_frame=20)
    assert (image.source, tuple(image.size)) == ("SEQUENCE", (16, 12))
    assert scene.camera.data.show_background_images
    shown = [shown_at(scene, frame) for frame in (20, 21, 22, 23)]
    assert shown == ["0000.png", "0001.png", "0002.png", "0003.png"]
    # Before and after the preview its first and last frame stay.
    assert shown_at(scene, 1) == "0000.png"
    assert shown_at(scene, 40) == "0003.png"


def test_a_new_preview_takes_the_place_of_the_one_before(scene, make_result):
    playback.load_result(scene, make_result("one", 4), first_frame=1)
    playback.load_result(scene, make_result("two", 3), first_frame=5)
    assert len(scene.camera.data.background_images) == 1
    assert [image.name for image in bpy.data.images if image.source == "SEQUENCE"] == ["Puppet Preview"]
    entry = scene.camera.data.background_images[0]
    assert Path(entry.image.filepath).parts[-3:] == ("two", "frames", "0000.png")
    assert entry.image_user.frame_duration == 3
    assert shown_at(scene, 7) == "0002.png"


def test_background_images_of_the_artist_are_left_alone(scene, make_result):
    mine = scene.camera.data.background_images.new()
    mine.image = bpy.data.images.new("reference", 8, 8)
    playback.load_result(scene, make_result("one", 4), first_frame=1)
    assert [entry.image.name for entry in scene.camera.data.background_images] == [
        "reference",
        "Puppet Preview",
    ]


def test_a_folder_without_frames_is_refused_by_name(scene, tmp_path):
    with pytest.raises(InputError, match="holds no preview"):
        playback.load_result(scene, tmp_path / "gone", first_frame=1)
    assert len(scene.camera.data.background_images) == 0


def test_a_scene_without_camera_is_refused_by_name(scene, make_result):
    scene.camera = None
    with pytest.raises(InputError, match='scene "Scene" has no camera to show the preview on'):
        playback.load_result(scene, make_result("one", 4), first_frame=1)


def test_the_operator_loads_the_last_result(scene, make_result):
    assert not bpy.ops.puppet_master.load_result.poll()
    scene.puppet_master.result_folder = str(make_result("one", 4))
    scene.puppet_master.result_frame = 3
    bpy.ops.puppet_master.load_result()
    assert shown_at(scene, 5) == "0002.png"
    scene.puppet_master.result_folder = "/gone"
    with pytest.raises(RuntimeError, match="holds no preview"):
        bpy.ops.puppet_master.load_result()

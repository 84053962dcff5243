# SPDX-License-Identifier: GPL-3.0-or-later
"""A preview shown on the camera: the right file at each scene frame."""

from pathlib import Path

import av
import bpy
import numpy as np
import pytest
from PIL import Image
from puppet_master.addon import compat, history, playback, preferences, preview_operators, sequencer
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


def test_a_camera_of_another_file_is_left_as_it_is_and_the_preview_becomes_an_image(scene, make_result, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "layout.blend"), copy=True)
    scene.camera.name = "Own"
    with bpy.data.libraries.load(str(tmp_path / "layout.blend"), link=True) as (_, wanted):
        wanted.objects = ["Camera"]
    scene.collection.objects.link(wanted.objects[0])
    scene.camera = wanted.objects[0]
    folder = make_result("one", 4)
    note = preview_operators.show_result(scene, folder, 1, "Camera")
    assert 'camera "Camera" is linked from another file' in note
    assert len(scene.camera.data.background_images) == 0
    assert bpy.path.abspath(playback.preview_image().filepath) == str(folder / "frames" / "0000.png")


def test_a_copied_scene_shows_previews_of_its_own(scene, make_result):
    playback.load_result(scene, make_result("one", 4), first_frame=1)
    bpy.ops.scene.new(type="FULL_COPY")
    copied = bpy.context.scene
    assert copied.camera.data.background_images[0].image == scene.camera.data.background_images[0].image
    for name in ("two", "three"):
        playback.load_result(copied, make_result(name, 4), first_frame=1)
    shows = [Path(each.camera.data.background_images[0].image.filepath).parts[-3] for each in (scene, copied)]
    assert shows == ["one", "three"]
    assert len([image for image in bpy.data.images if image.source == "SEQUENCE"]) == 2
    bpy.context.window.scene = scene


def test_a_preview_of_an_image_needs_no_camera(scene, make_result):
    scene.camera = None
    folder = make_result("one", 4)
    assert "has no camera" in preview_operators.show_result(scene, folder, 1, "")
    assert playback.preview_image().source == "SEQUENCE"
    preview_operators.show_result(scene, make_result("two", 4), 1, "")
    assert Path(playback.preview_image().filepath).parts[-3] == "two"


def test_a_shown_preview_moves_along_with_the_file(scene, make_result, tmp_path):
    (tmp_path / "show").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "show" / "shot.blend"))
    folder = make_result("show/shot_previews/one", 4)
    playback.load_result(scene, folder, first_frame=1)
    sequencer.add_strip(scene, folder, "one", 1)
    bpy.ops.wm.save_mainfile()
    (tmp_path / "show").rename(tmp_path / "moved")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "moved" / "shot.blend"))
    image = playback.preview_image()
    assert image.filepath == "//shot_previews/one/frames/0000.png"
    assert tuple(image.size) == (16, 12)
    (strip,) = compat.strips_of(bpy.context.scene.sequence_editor)
    assert strip.directory == "//shot_previews/one/frames/"


def test_the_operator_loads_the_last_result(scene, make_result):
    assert not bpy.ops.puppet_master.load_result.poll()
    scene.puppet_master.result_folder = str(make_result("one", 4))
    scene.puppet_master.result_frame = 3
    bpy.ops.puppet_master.load_result()
    assert shown_at(scene, 5) == "0002.png"
    scene.puppet_master.result_folder = "/gone"
    with pytest.raises(RuntimeError, match="holds no preview"):
        bpy.ops.puppet_master.load_result()


def shown(scene):
    """Which of our images lie over the camera's view."""
    entries = scene.camera.data.background_images
    return [entry.image.name for entry in entries if entry.show_background_image]


def test_the_preview_and_its_still_take_turns(scene, make_result):
    folder = make_result("one", 4)
    Image.new("RGB", (16, 12), "blue").save(folder / "still.png")
    history.add(scene, folder, 1)
    bpy.ops.puppet_master.load_result()
    assert shown(scene) == ["Puppet Preview"]
    bpy.ops.puppet_master.compare()
    assert shown(scene) == ["Puppet Still"]
    bpy.ops.puppet_master.compare()
    assert shown(scene) == ["Puppet Preview"]
    scene.puppet_master_preview.shown = "NOTHING"
    assert shown(scene) == []


def test_it_lies_over_the_camera_that_saw_its_still(scene, make_result):
    first = scene.camera
    bpy.ops.object.camera_add()
    scene.camera = bpy.context.object
    history.add(scene, make_result("one", 4), 1, first.name)
    bpy.ops.puppet_master.load_result()
    assert len(first.data.background_images) == 1
    assert len(scene.camera.data.background_images) == 0


def test_playing_sets_the_timelines_preview_range(scene, make_result):
    history.add(scene, make_result("one", 4), 20)
    bpy.ops.puppet_master.play()
    assert scene.use_preview_range
    assert (scene.frame_preview_start, scene.frame_preview_end, scene.frame_current) == (20, 23, 20)


def test_strips_go_to_free_channels_of_the_sequencer(scene, make_result):
    history.add(scene, make_result("one", 4), 10)
    bpy.ops.puppet_master.send_to_sequencer()
    bpy.ops.puppet_master.send_to_sequencer()
    history.add(scene, make_result("two", 3), 14)
    bpy.ops.puppet_master.send_to_sequencer()
    strips = [
        (strip.channel, strip.frame_final_start, strip.frame_final_duration, len(strip.elements))
        for strip in compat.strips_of(scene.sequence_editor)
    ]
    assert sorted(strips) == [(1, 10, 4, 4), (1, 14, 3, 3), (2, 10, 4, 4)]
    first = next(strip for strip in compat.strips_of(scene.sequence_editor) if strip.channel == 2)
    assert [element.filename for element in first.elements] == [f"{index:04d}.png" for index in range(4)]


def test_saving_is_done_by_the_backends_python(scene, make_result, tmp_path):
    history.add(scene, make_result("one", 4), 1)
    scene.render.fps = 10
    bpy.ops.puppet_master.export(filepath=str(tmp_path / "Türe"), file_format="GIF")
    with Image.open(tmp_path / "Türe.gif") as image:
        assert (image.n_frames, image.size, image.info["duration"]) == (4, (16, 12), 100)
    bpy.ops.puppet_master.export(filepath=str(tmp_path / "clip.gif"), file_format="MP4", loops=2)
    with av.open(tmp_path / "clip.mp4") as container:
        reds = [int(frame.to_ndarray(format="rgb24")[6, 8, 0]) for frame in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 10
    np.testing.assert_allclose(reds, [10, 60, 110, 160] * 2, atol=6)
    bpy.ops.puppet_master.export(filepath=str(tmp_path / "sequence"), file_format="PNG")
    assert len(list((tmp_path / "sequence").iterdir())) == 4
    with pytest.raises(RuntimeError, match="holds a PNG sequence already"):
        bpy.ops.puppet_master.export(filepath=str(tmp_path / "sequence"), file_format="PNG")


def test_what_cannot_be_saved_says_why(scene, make_result, tmp_path):
    folder = make_result("one", 4)
    history.add(scene, folder, 1)
    with pytest.raises(RuntimeError, match="say where to save"):
        bpy.ops.puppet_master.export()
    (tmp_path / "file").write_text("")
    with pytest.raises(RuntimeError, match=r"cannot write .*file/clip\.mp4"):
        bpy.ops.puppet_master.export(filepath=str(tmp_path / "file" / "clip"))
    preferences.own().backend_python = "/gone/python"
    with pytest.raises(RuntimeError, match="cannot start /gone/python"):
        bpy.ops.puppet_master.export(filepath=str(tmp_path / "clip"))


def test_without_an_image_editor_it_says_what_to_do(scene, make_result):
    history.add(scene, make_result("one", 4), 1)
    with pytest.raises(RuntimeError, match="turn an area into one"):
        bpy.ops.puppet_master.show_in_image_editor()

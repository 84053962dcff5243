# SPDX-License-Identifier: GPL-3.0-or-later
"""A .blend taken as one shot: what plays, over which frames, as rendered rather than as the viewport shows it."""

import bpy
import numpy as np
import pytest
from puppet_master.data_gen.geometry import Geometry
from puppet_master.data_gen.open_scene import OpenScene, is_simulated, open_scene, stretches
from puppet_master.data_gen.reasons import Damaged, Rejection
from puppet_master.data_gen.scene import set_time


def cube(name="Cube", location=(0.0, 0.0, 0.0)):
    bpy.ops.mesh.primitive_cube_add(size=1.0, location=location)
    bpy.context.object.name = name
    return bpy.context.object


def saved(tmp_path):
    path = tmp_path / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return path


def geometry(playback, time):
    set_time(playback.scene, time)
    return Geometry.of(playback.objects, bpy.context.evaluated_depsgraph_get())


def test_the_scenes_frame_range_and_rate_are_the_animation(scene, tmp_path):
    cube()
    bpy.ops.object.camera_add()
    scene.name, scene.camera = "shot 7", bpy.context.object
    scene.frame_start, scene.frame_end = 11, 40
    scene.render.fps, scene.render.fps_base = 30, 1.001
    source = open_scene(saved(tmp_path))
    assert source.animations() == ["shot 7"]
    playback = source.play(0)
    assert (playback.first, playback.last) == (11, 40)
    assert playback.fps == pytest.approx(29.97, abs=0.001)
    assert [item.name for item in playback.objects] == ["Cube"]
    assert playback.camera.name == "Camera"
    assert playback.meta == {"scene": "shot 7", "scene_camera": "Camera"}


def test_everything_plays_together(scene, tmp_path):
    left, right = cube("left"), cube("right", (3, 0, 0))
    for item, axis in ((left, 2), (right, 1)):
        item.keyframe_insert("location", index=axis, frame=1)
        item.location[axis] += 5
        item.keyframe_insert("location", index=axis, frame=10)
    scene.frame_start, scene.frame_end = 1, 10
    playback = open_scene(saved(tmp_path)).play(0)
    moved = geometry(playback, 10).vertices - geometry(playback, 1).vertices
    assert np.allclose(sorted(moved.tolist()), [[0, 0, 5]] * 8 + [[0, 5, 0]] * 8, atol=1e-5)


def test_what_the_viewport_hides_or_simplifies_is_there_as_rendered(scene, tmp_path):
    item = cube()
    item.hide_viewport = True
    levels = item.modifiers.new("levels", "SUBSURF")
    levels.levels, levels.render_levels = 0, 2
    off = item.modifiers.new("off", "ARRAY")
    off.show_viewport, off.show_render = True, False
    away = cube("away", (5, 0, 0))
    away.hide_render = True
    ghost = cube("ghost", (0, 5, 0))
    ghost.hide_set(True)
    playback = open_scene(saved(tmp_path)).play(0)
    found = geometry(playback, 1)
    assert sorted(found.names) == ["Cube", "ghost"]
    assert len(found.vertices) == 8 + 98


def test_a_file_saved_in_edit_mode_opens_in_object_mode(scene, tmp_path):
    cube()
    bpy.ops.object.mode_set(mode="EDIT")
    open_scene(saved(tmp_path))
    assert bpy.context.mode == "OBJECT"


def test_a_simulation_is_the_same_whatever_frame_is_looked_at_first(scene, tmp_path):
    item = cube()
    bpy.ops.rigidbody.world_add()
    bpy.ops.rigidbody.object_add(type="ACTIVE")
    scene.frame_start, scene.frame_end = 1, 24
    assert is_simulated([item], scene)
    playback = open_scene(saved(tmp_path)).play(0)
    late, early = geometry(playback, 24).vertices[:, 2].mean(), geometry(playback, 1).vertices[:, 2].mean()
    fallen = 0.5 * 9.81 * (23 / 24) ** 2
    assert early == pytest.approx(0, abs=0.05)
    assert late == pytest.approx(-fallen, rel=0.15)


def test_keyframes_alone_are_no_simulation(scene):
    item = cube()
    item.keyframe_insert("location", frame=1)
    item.modifiers.new("nodes", "NODES")
    assert not is_simulated([item], scene)


def camera(name, kind="PERSP"):
    bpy.ops.object.camera_add()
    bpy.context.object.name, bpy.context.object.data.type = name, kind
    return bpy.context.object


def test_cuts_between_cameras_make_an_animation_of_each_stretch(scene, tmp_path):
    cube()
    wide, close = camera("wide"), camera("close")
    scene.name, scene.camera = "shot", wide
    scene.frame_start, scene.frame_end = 10, 60
    for frame, bound in ((5, wide), (30, close), (50, wide), (90, close)):
        scene.timeline_markers.new("cut", frame=frame).camera = bound
    source = open_scene(saved(tmp_path))
    assert source.animations() == ["shot wide", "shot close", "shot wide"]
    played = [source.play(index) for index in range(3)]
    assert [(one.first, one.last, one.camera.name) for one in played] == [
        (10, 29, "wide"), (30, 49, "close"), (50, 60, "wide"),
    ]  # fmt: skip
    scene = bpy.context.scene
    scene.camera = played[1].camera
    set_time(scene, 12.0)
    assert scene.camera == played[1].camera  # no marker takes it back


def test_the_only_marker_is_no_cut(scene):
    close = camera("close")
    scene.camera = camera("wide")
    scene.frame_start, scene.frame_end = 1, 20
    scene.timeline_markers.new("beat", frame=4)
    scene.timeline_markers.new("cut", frame=8).camera = close
    scene.frame_set(1)
    assert scene.camera == close  # so does Blender itself
    assert [(one.camera.name, one.first, one.last) for one in stretches(scene)] == [("close", 1, 20)]


def test_a_panorama_is_no_camera_to_see_clips_from(scene):
    cube()
    scene.camera = camera("dome", "PANO")
    playback = OpenScene(scene).play(0)
    assert playback.camera is None
    assert playback.meta["scene_camera"] == "dome"


@pytest.mark.parametrize("hidden", [False, True])
def test_a_scene_with_a_lamp_brings_its_own_light(scene, hidden):
    cube()
    assert not OpenScene(scene).play(0).lit
    bpy.ops.object.light_add()
    bpy.context.object.hide_render = hidden
    assert OpenScene(scene).play(0).lit is not hidden


def test_a_collection_instance_belongs_to_the_shot(scene, tmp_path):
    item = cube()
    hidden = bpy.data.collections.new("kit")
    hidden.objects.link(item)
    scene.collection.objects.unlink(item)
    bpy.ops.object.collection_instance_add(collection="kit", location=(0, 0, 4))
    playback = open_scene(saved(tmp_path)).play(0)
    assert geometry(playback, 1).vertices[:, 2].mean() == pytest.approx(4)


def test_textures_that_are_not_found_are_named(scene, tmp_path):
    cube()
    image = bpy.data.images.new("wood", 4, 4)
    image.source, image.filepath = "FILE", "//wood.png"
    image.use_fake_user = True
    assert open_scene(saved(tmp_path)).meta["missing_textures"] == ["wood"]


def test_a_shot_in_a_set_is_about_what_moves(scene, tmp_path):
    lid = cube("lid", (0, 0, 1))
    cube("box")
    lid.keyframe_insert("location", frame=1)
    lid.location.x = 0.7
    lid.keyframe_insert("location", frame=24)
    bpy.ops.mesh.primitive_plane_add(size=60)
    scene.frame_start, scene.frame_end = 1, 24
    assert open_scene(saved(tmp_path)).play(0).focus == {"lid", "box"}


def test_a_scene_with_nothing_to_see_is_turned_away(scene):
    bpy.ops.object.empty_add()
    with pytest.raises(Rejection, match="no mesh: nothing in scene"):
        OpenScene(scene).play(0)


def test_a_single_frame_is_no_animation(scene):
    cube()
    scene.frame_start = scene.frame_end = 5
    with pytest.raises(Rejection, match=r"single pose: .* frame 5 alone"):
        OpenScene(scene).play(0)


def test_what_is_no_whole_blend_file_is_damaged(scene, tmp_path):
    with pytest.raises(Damaged, match="missing"):
        open_scene(tmp_path / "gone.blend")
    (tmp_path / "text.blend").write_text("not a blend")
    with pytest.raises(Damaged, match="is called Blender"):
        open_scene(tmp_path / "text.blend")
    whole = saved(tmp_path).read_bytes()
    (tmp_path / "half.blend").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Damaged, match="truncated"):
        open_scene(tmp_path / "half.blend")


@pytest.mark.parametrize("allowed", [False, True])
def test_drivers_in_python_run_only_where_that_is_allowed(scene, tmp_path, allowed):
    item = cube()
    item.driver_add("location", 2).driver.expression = "__import__('math').floor(frame)"
    scene.frame_start, scene.frame_end = 1, 24
    source = open_scene(saved(tmp_path), use_scripts=allowed)
    assert ("scripts_refused" in source.meta) is not allowed
    assert geometry(source.play(0), 20).vertices[:, 2].mean() == pytest.approx(20 if allowed else 0)

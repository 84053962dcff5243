# SPDX-License-Identifier: GPL-3.0-or-later
"""Animations of .blend files: what plays, NLA tracks, actions and slots that play nowhere, drivers, constraints."""

from __future__ import annotations

import bpy
import pytest
from damaged_files import add_box, turn
from puppet_master.data_gen.assets import open_asset
from puppet_master.data_gen.reasons import Rejection
from puppet_master.data_gen.scene import set_time


def lift(item, name, heights=(1.0, 2.0), frames=(1, 10), path="location"):
    """An action that lifts an object, assigned to it."""
    data = item.animation_data or item.animation_data_create()
    data.action = bpy.data.actions.new(name)
    old = item.location.copy()
    for frame, height in zip(frames, heights, strict=True):
        item.location.z = height
        item.keyframe_insert(path, frame=frame)
    item.location = old
    return data.action


def spare(item, name, **more):
    """An action that is not assigned to anything."""
    action = lift(item, name, **more)
    action.use_fake_user = True
    item.animation_data.action = None
    return action


def reopen(tmp_path, name="scene.blend"):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / name))
    return open_asset(tmp_path / name)


def height(playback, name, frame):
    set_time(playback.scene, frame)
    depsgraph = bpy.context.evaluated_depsgraph_get()
    return bpy.data.objects[name].evaluated_get(depsgraph).matrix_world.translation.z


def test_what_plays_comes_first_then_spare_actions_that_fit(tmp_path):
    lid = add_box("lid")
    spare(lid, "lidClose", heights=(5.0, 7.0), frames=(3, 6))
    lift(lid, "open")
    source = reopen(tmp_path)
    assert source.animations() == ["open", "lidClose"]
    for _ in range(2):
        opening = source.play(0)
        assert (opening.first, opening.last) == (1, 10)
        assert height(opening, "lid", 10) == pytest.approx(2)
        closing = source.play(1)
        assert (closing.first, closing.last) == (3, 6)
        assert height(closing, "lid", 6) == pytest.approx(7)


def test_an_action_that_fits_nothing_by_name_is_left_out(tmp_path):
    first, second = add_box("first"), add_box("second")
    spare(first, "whose?").slots[0].identifier = "OBnobody"
    lift(second, "run")
    assert reopen(tmp_path).animations() == ["run"]


def test_one_action_with_a_slot_for_each_object_is_one_animation(tmp_path):
    left, right = add_box("left"), add_box("right")
    action = spare(left, "both")
    right.animation_data_create()
    right.animation_data.action = action
    right.animation_data.action_slot = action.slots.new("OBJECT", "right")
    for frame, place in ((1, 3.0), (20, 9.0)):
        right.location.z = place
        right.keyframe_insert("location", frame=frame)
    right.animation_data.action = None
    right.location.z = 0
    source = reopen(tmp_path)
    assert source.animations() == ["both"]
    playback = source.play(0)
    assert (playback.first, playback.last) == (1, 20)
    assert (height(playback, "left", 20), height(playback, "right", 20)) == (pytest.approx(2), pytest.approx(9))


def test_several_slots_for_the_same_armature_are_several_animations(tmp_path):
    bpy.ops.object.armature_add()
    rig = bpy.context.object
    body = add_box("body")
    body.parent, body.parent_type, body.parent_bone = rig, "BONE", "Bone"
    bone = rig.pose.bones["Bone"]
    action = bpy.data.actions.new("moves")
    action.use_fake_user = True
    rig.animation_data_create().action = action
    for number, name in enumerate(("walk", "run")):
        rig.animation_data.action_slot = action.slots.new("OBJECT", name)
        for frame, shift in ((1, 0.0), (10 + number, 1.0 + number)):
            bone.location = (0, shift, 0)
            bone.keyframe_insert("location", frame=frame)
    rig.animation_data.action = None
    bone.location = (0, 40, 0)  # as saved, and no part of any animation
    source = reopen(tmp_path)
    assert source.animations() == ["moves/walk", "moves/run"]
    rest = height(source.play(0), "body", 1)
    assert height(source.play(0), "body", 10) - rest == pytest.approx(1)
    running = source.play(1)
    assert running.last == 11 and height(running, "body", 11) - rest == pytest.approx(2)


def test_nla_tracks_are_animations_and_so_is_their_sum(tmp_path):
    lid, hand = add_box("lid"), add_box("hand")
    for item, name, first in ((lid, "up", 1), (hand, "up", 1), (lid, "later", 20)):
        action = spare(item, f"{name} {item.name}", heights=(1.0, 3.0))
        track = item.animation_data.nla_tracks.new()
        track.name = name
        strip = track.strips.new(name, first, action)
        strip.action_slot, strip.extrapolation = action.slots[0], "HOLD_FORWARD"
    bpy.context.scene.frame_end = 40
    source = reopen(tmp_path)
    assert source.animations() == ["Scene", "up", "later"]
    both = source.play(1)
    assert (both.first, both.last) == (1, 10)
    assert (height(both, "lid", 10), height(both, "hand", 10)) == (pytest.approx(3), pytest.approx(3))
    later = source.play(2)
    assert height(later, "lid", 10) == pytest.approx(3)
    assert height(later, "hand", 1) == height(later, "hand", 10)
    whole = source.play(0)
    assert (whole.first, whole.last) == (1, 40)
    assert height(whole, "lid", 15) == pytest.approx(3)
    assert height(whole, "lid", 20) == pytest.approx(1)
    assert height(whole, "lid", 29) == pytest.approx(3)


def test_drivers_and_constraints_follow_what_is_played(tmp_path):
    lid, hand, shadow = add_box("lid"), add_box("hand"), add_box("shadow")
    driver = hand.driver_add("location", 2).driver
    driver.type = "SUM"
    target = driver.variables.new().targets[0]
    target.id, target.data_path = lid, "location.z"
    shadow.constraints.new("COPY_LOCATION").target = lid
    lift(lid, "open")
    playback = reopen(tmp_path).play(0)
    assert [height(playback, name, 10) for name in ("lid", "hand", "shadow")] == [pytest.approx(2)] * 3


def test_a_driver_on_the_frame_alone_is_an_animation(tmp_path):
    lid = add_box("lid")
    lid.driver_add("location", 2).driver.expression = "frame / 10"
    bpy.context.scene.frame_end = 50
    source = reopen(tmp_path)
    playback = source.play(0)
    assert (source.animations(), playback.first, playback.last) == (["Scene"], 1, 50)
    assert height(playback, "lid", 30) == pytest.approx(3)


def test_a_file_whose_own_scene_is_empty_shows_another(tmp_path):
    lift(add_box("lid"), "open")
    bpy.context.window.scene = bpy.data.scenes.new("title card")
    playback = reopen(tmp_path).play(0)
    assert playback.scene.name == "Scene" == bpy.context.scene.name
    assert height(playback, "lid", 10) == pytest.approx(2)


def test_scripts_of_a_file_do_not_run(tmp_path):
    lid = add_box("lid")
    lift(lid, "open")
    text = bpy.data.texts.new("start.py")
    text.use_module = True
    text.write("import bpy\nbpy.data.objects['lid'].name = 'ran'\n")
    lid.driver_add("location", 0).driver.expression = "__import__('os').getpid()"
    source = reopen(tmp_path)
    assert "ran" not in bpy.data.objects
    assert "__import__" in source.meta["scripts_refused"]
    assert bpy.data.objects["lid"].location.x == 0


def test_keys_beyond_the_scenes_range_are_not_looked_at(tmp_path):
    lift(add_box("lid"), "open", frames=(1, 200))
    bpy.context.scene.frame_start, bpy.context.scene.frame_end = 10, 60
    playback = reopen(tmp_path).play(0)
    assert (playback.first, playback.last) == (10, 60)


@pytest.mark.parametrize("last", [2, 100_000])
def test_actions_of_any_length_play(tmp_path, last):
    lift(add_box("lid"), "long", frames=(1, last), heights=(0.0, 3.0))
    bpy.context.scene.frame_end = last
    playback = reopen(tmp_path).play(0)
    assert (playback.first, playback.last) == (1, last)
    assert height(playback, "lid", last) == pytest.approx(3)


def test_an_action_of_one_key_is_a_pose(tmp_path):
    lid = add_box("lid")
    spare(lid, "lid pose", frames=(4, 4))
    lift(lid, "open")
    source = reopen(tmp_path)
    with pytest.raises(Rejection, match="single pose: 'lid pose' has keys at frame 4 alone"):
        source.play(source.animations().index("lid pose"))
    assert height(source.play(0), "lid", 10) == pytest.approx(2)


def test_the_next_file_finds_nothing_of_the_one_before(tmp_path):
    turn(add_box("first"))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    turn(add_box("second"))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "b.blend"))
    for _ in range(2):
        for name, own in (("a.blend", "first"), ("b.blend", "second")):
            assert [item.name for item in open_asset(tmp_path / name).objects] == [own]
            assert [item.name for item in bpy.data.objects] == [own]


def test_geometry_nodes_are_an_animation_where_they_ask_for_the_time(tmp_path):
    for number, timed in enumerate((False, True)):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        lid = add_box("lid")
        group = bpy.data.node_groups.new("moves", "GeometryNodeTree")
        for direction in ("INPUT", "OUTPUT"):
            group.interface.new_socket("Geometry", in_out=direction, socket_type="NodeSocketGeometry")
        place, into, out = (
            group.nodes.new(kind) for kind in ("GeometryNodeTransform", "NodeGroupInput", "NodeGroupOutput")
        )
        group.links.new(into.outputs[0], place.inputs["Geometry"])
        group.links.new(place.outputs["Geometry"], out.inputs[0])
        if timed:
            clock = group.nodes.new("GeometryNodeInputSceneTime")
            group.links.new(clock.outputs["Seconds"], place.inputs["Translation"])
        lid.modifiers.new("nodes", "NODES").node_group = group
        bpy.context.scene.frame_end = 48
        if not timed:
            with pytest.raises(Rejection, match="no animation"):
                reopen(tmp_path, f"{number}.blend")
            continue
        playback = reopen(tmp_path, f"{number}.blend").play(0)
        assert (playback.first, playback.last) == (1, 48)
        assert playback.meta["size"] > 3.5  # two seconds are two units

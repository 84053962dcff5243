# SPDX-License-Identifier: GPL-3.0-or-later
"""The same motion through every format: points come back where the keys put them."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from damaged_files import add_box
from glb_files import box
from puppet_master.data_gen.assets import open_asset
from puppet_master.data_gen.geometry import seen
from puppet_master.data_gen.reasons import Damaged, Rejection
from puppet_master.data_gen.scene import set_time

FIRST, LAST, ANGLE = 1, 24, 2.0
LID, HINGE = box((-1, 0, 0), (1, 2, 0.2))[0], np.array([0.0, -1.0, 1.0])


def lid_at(frame):
    """The lid's corners while it turns evenly about x."""
    angle = ANGLE * (frame - FIRST) / (LAST - FIRST)
    x, y, z = LID.T.astype(np.float64)
    turned = np.stack([x, y * np.cos(angle) - z * np.sin(angle), y * np.sin(angle) + z * np.cos(angle)], -1)
    return turned + HINGE


def swell_at(frame):
    """The corners of a box at (5, 0, 0) that a shape key moves up."""
    return box()[0] + (5, 0, 0) + np.array([0, 0, 3.0]) * (frame - FIRST) / (LAST - FIRST)


def make_linear():
    for action in bpy.data.actions:
        for curve in action.layers[0].strips[0].channelbags[0].fcurves:
            for key in curve.keyframe_points:
                key.interpolation = "LINEAR"


def moving_scene():
    """A still box, a turning lid, and a box with a moving shape key."""
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = FIRST, LAST
    add_box("body")
    lid = add_box("lid", (-1, 0, 0), (1, 2, 0.2))
    lid.location = HINGE
    swell = add_box("swell")
    swell.location = (5, 0, 0)
    swell.shape_key_add(name="Basis")
    up = swell.shape_key_add(name="up")
    for point in up.data:
        point.co.z += 3
    for frame, share in ((FIRST, 0.0), (LAST, 1.0)):
        lid.rotation_euler.x = share * ANGLE
        lid.keyframe_insert("rotation_euler", frame=frame)
        up.value = share
        up.keyframe_insert("value", frame=frame)
    make_linear()


def save(path):
    name = str(path)
    if path.suffix in (".usda", ".usdc"):
        bpy.ops.wm.usd_export(filepath=name, export_animation=True)
    elif path.suffix == ".abc":
        bpy.ops.wm.alembic_export(filepath=name, start=FIRST, end=LAST, as_background_job=False)
    elif path.suffix == ".fbx":
        bpy.ops.export_scene.fbx(filepath=name, bake_anim_use_all_actions=False, bake_anim_use_nla_strips=False)
    elif path.suffix in (".glb", ".gltf"):
        kind = "GLB" if path.suffix == ".glb" else "GLTF_SEPARATE"
        how = {"export_animation_mode": "SCENE", "export_anim_scene_split_object": False}
        bpy.ops.export_scene.gltf(filepath=name, export_format=kind, **how)
    else:
        bpy.ops.wm.save_as_mainfile(filepath=name)


def all_points(playback, frame):
    set_time(playback.scene, frame)
    found = seen(playback.objects, bpy.context.evaluated_depsgraph_get())
    return np.concatenate([surface.placed(matrix) for _, surface, matrix in found])


def assert_same_places(found, expected):
    """Both hold the same places; how often is the format's own affair."""
    distances = np.linalg.norm(found[:, None] - expected[None], axis=-1)
    assert distances.min(1).max() < 1e-4, "a point where none should be"
    assert distances.min(0).max() < 1e-4, "no point where one should be"


@pytest.mark.parametrize("suffix", [".glb", ".gltf", ".fbx", ".usda", ".usdc", ".abc", ".blend"])
def test_points_are_where_the_keys_put_them(tmp_path, suffix):
    moving_scene()
    path = tmp_path / f"Bewegung öffnen{suffix}"
    save(path)
    source = open_asset(path)
    assert len(source.animations()) == 1
    playback = source.play(0)
    assert (playback.last - playback.first, playback.fps) == (LAST - FIRST, 24)
    later = playback.first - FIRST  # Blender writes FBX from frame 0 on and reads it from frame 1 on
    assert later in (0, 1)
    for frame in (FIRST, 8, 17, LAST, 8):
        expected = np.concatenate([box()[0], lid_at(frame), swell_at(frame)])
        assert_same_places(all_points(playback, frame + later), expected)
    assert "anchor" not in playback.meta
    assert (source.meta["triangles"], source.meta["parts"], source.meta["missing_textures"]) == (36, 3, 0)


@pytest.mark.parametrize("suffix", [".glb", ".fbx", ".usdc", ".abc", ".blend"])
@pytest.mark.parametrize("scale, shift", [(1e-5, 0.0), (1e6, 0.0), (1.0, 2e4)])
def test_extreme_scenes_are_brought_near_as_a_whole(tmp_path, suffix, scale, shift):
    moving_scene()
    holder = bpy.data.objects.new("holder", None)
    bpy.context.scene.collection.objects.link(holder)
    for item in list(bpy.context.scene.objects):
        if item is not holder:
            item.parent = holder
    holder.scale = (scale,) * 3
    holder.location = (shift, -shift, 0)
    path = tmp_path / f"extreme{suffix}"
    save(path)
    playback = open_asset(path).play(0)
    assert playback.meta["anchor"]["scale"] * playback.meta["size"] == pytest.approx(1)
    expected = np.concatenate([box()[0], lid_at(17), swell_at(17)])
    both = np.concatenate([box()[0], *[part for frame in (1, 12.5, 24) for part in (lid_at(frame), swell_at(frame))]])
    low, high = both.min(0), both.max(0)
    near = (expected - (low + high) / 2) / (high - low).max()
    found = all_points(playback, playback.first + 17 - FIRST)
    distances = np.linalg.norm(found[:, None] - near[None], axis=-1)
    # Far from the origin single precision itself leaves this much.
    assert max(distances.min(1).max(), distances.min(0).max()) < (2e-3 if shift else 1e-4)


def two_stacks(path):
    """An FBX file of two actions, each of which moves one object."""
    for name, frames in (("left", (1, 10)), ("right", (1, 30))):
        item = add_box(name)
        item.location = (0, 5, 0)
        for frame, height in zip(frames, (2.0, 4.0), strict=True):
            item.location.z = height
            item.keyframe_insert("location", frame=frame)
        item.animation_data.action.name = f"lift {name}"
        item.animation_data.action.use_fake_user = True
        item.animation_data.action = None
        item.location.z = 0
    bpy.ops.export_scene.fbx(filepath=str(path), bake_anim_use_all_actions=True, bake_anim_use_nla_strips=False)


def test_fbx_stacks_play_one_at_a_time_from_where_the_file_has_things(tmp_path):
    two_stacks(tmp_path / "two.fbx")
    source = open_asset(tmp_path / "two.fbx")
    names = source.animations()
    assert {"left|lift left", "right|lift right"} <= set(names)
    for _ in range(2):
        for moved, still, last in (("left", "right", 10), ("right", "left", 30)):
            playback = source.play(names.index(f"{moved}|lift {moved}"))
            assert (playback.first, playback.last) == (1, last)
            set_time(playback.scene, last)
            assert bpy.data.objects[moved].matrix_world.translation.z == pytest.approx(4, abs=1e-5)
            assert bpy.data.objects[still].matrix_world.translation.z == pytest.approx(0, abs=1e-5)


def test_animated_skeletons_come_through_usd(tmp_path):
    bpy.ops.object.armature_add()
    rig = bpy.context.object
    body = add_box("body")
    body.parent = rig
    body.modifiers.new("rig", "ARMATURE").object = rig
    body.vertex_groups.new(name="Bone").add(range(8), 1, "REPLACE")
    bone = rig.pose.bones["Bone"]
    for frame, shift in ((1, 0.0), (20, 2.0)):
        bone.location = (0, shift, 0)  # along the bone, which points up
        bone.keyframe_insert("location", frame=frame)
    bpy.context.scene.frame_end = 20
    bpy.ops.wm.usd_export(filepath=str(tmp_path / "rig.usdc"), export_animation=True)
    playback = open_asset(tmp_path / "rig.usdc").play(0)
    assert_same_places(all_points(playback, 20), box()[0] + (0, 0, 2))


@pytest.mark.parametrize("suffix", [".usda", ".abc", ".fbx", ".glb"])
def test_a_still_scene_is_turned_away(tmp_path, suffix):
    add_box("body")
    save(tmp_path / f"still{suffix}")
    with pytest.raises(Rejection, match="no animation"):
        open_asset(tmp_path / f"still{suffix}")


@pytest.mark.parametrize("suffix", [".usda", ".abc", ".fbx", ".blend"])
def test_a_scene_with_nothing_to_see_is_turned_away(tmp_path, suffix):
    eye = bpy.data.objects.new("eye", bpy.data.cameras.new("eye"))
    bpy.context.scene.collection.objects.link(eye)
    for frame, place in ((1, 0.0), (20, 2.0)):
        eye.location.x = place
        eye.keyframe_insert("location", frame=frame)
    save(tmp_path / f"eye{suffix}")
    with pytest.raises(Rejection, match="no mesh"):
        open_asset(tmp_path / f"eye{suffix}")


def test_an_importer_that_gives_up_says_so_by_name(tmp_path):
    path = tmp_path / "odd.usda"
    path.write_text('#usda 1.0\ndef Mesh "a" { int[] what = }\n')
    with pytest.raises(Damaged, match=r"unreadable: odd\.usda: USD Import: unable to open") as caught:
        open_asset(path)
    assert "\n" not in str(caught.value)

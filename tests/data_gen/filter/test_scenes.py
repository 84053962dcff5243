# SPDX-License-Identifier: GPL-3.0-or-later
"""Motions sampled from Blender: scenes made here, procedural rigs, real assets."""

from __future__ import annotations

import time

import bpy
import numpy as np
import pytest
from puppet_master.data_gen.assets import open_asset
from puppet_master.data_gen.filter.features import measure
from puppet_master.data_gen.filter.motion import MOST_TIMES, most_times, sample_motion
from puppet_master.data_gen.filter.thresholds import decide
from puppet_master.data_gen.kinds import WEIGHTS
from puppet_master.data_gen.playback import Playback
from puppet_master.data_gen.procedural import RigSource
from puppet_master.data_gen.reasons import Rejection


def cube(name="cube", size=1.0, at=(0.0, 0.0, 0.0)):
    bpy.ops.mesh.primitive_cube_add(size=size, location=at)
    item = bpy.context.object
    item.name = name
    return item


def key(item, path, *values):
    """Keys `(frame, value)`, straight between them."""
    for frame, value in values:
        setattr(item, path, value)
        item.keyframe_insert(path, frame=frame)
    slot_curves = item.animation_data.action.layers[0].strips[0].channelbags[0].fcurves
    for curve in slot_curves:
        for point in curve.keyframe_points:
            point.interpolation = "LINEAR"


def sample(items, first=1.0, last=25.0):
    return sample_motion(Playback(bpy.context.scene, tuple(items), first, last), np.random.default_rng(0))


def test_points_lie_on_the_surface_and_follow_it():
    item = cube()
    key(item, "location", (1, (0, 0, 0)), (25, (2.4, 0, 0)))
    motion = sample([item])
    assert motion.times.tolist() == list(range(1, 26)) and motion.present.all()
    np.testing.assert_allclose(np.abs(motion.points[0]).max(1), 0.5, atol=1e-6)
    shift = motion.points - motion.points[:1]
    np.testing.assert_allclose(shift[..., 0], 0.1 * np.arange(25)[:, None] * np.ones((1, shift.shape[1])), atol=1e-5)
    assert motion.vertices == 8 and motion.triangles == 12
    assert motion.area.tolist() == pytest.approx([6.0])
    # Normals point outwards.
    assert ((motion.normals[0] * motion.points[0]).sum(1) > 0.49).all()


def test_a_mirrored_object_keeps_its_outside():
    item = cube()
    item.scale = (-1, 1, 1)
    key(item, "location", (1, (0, 0, 0)), (25, (0, 0, 1)))
    motion = sample([item])
    assert ((motion.normals[0] * motion.points[0]).sum(1) > 0.49).all()


def test_the_same_rng_gives_the_same_motion():
    item = cube()
    key(item, "location", (1, (0, 0, 0)), (25, (0, 0, 1)))
    np.testing.assert_array_equal(sample([item]).points, sample([item]).points)


def test_small_items_get_points_too():
    big, small = cube("big", 10.0), cube("small", 0.05, (8, 0, 0))
    key(small, "location", (1, (8, 0, 0)), (25, (8, 0, 2)))
    motion = sample([big, small])
    assert (motion.owner == 1).sum() >= 6 and motion.area[1] == pytest.approx(6 * 0.05**2, rel=1e-4)


def test_hidden_and_shown_items_pop():
    still, blinking = cube("still"), cube("blinking", at=(2, 0, 0))
    key(blinking, "hide_render", (1, False), (12, True), (20, False))
    motion = sample([still, blinking])
    assert motion.present[:, 0].all() and 0 < motion.present[:, 1].sum() < 25
    assert decide(measure(motion)).reason == "pops"


def test_an_item_that_shows_up_only_in_between_pops():
    still, brief = cube("still"), cube("brief", at=(2, 0, 0))
    key(brief, "hide_render", (1, True), (5, False), (8, True))
    motion = sample([still, brief])
    assert len(motion.area) == 2 and motion.present[:, 1].sum() in (3, 4)
    assert measure(motion).pop == pytest.approx(0.5)


def test_an_item_scaled_up_from_nothing_pops():
    still, growing = cube("still", 2.0), cube("growing", at=(3, 0, 0))
    key(growing, "scale", (1, (0, 0, 0)), (25, (1, 1, 1)))
    assert decide(measure(sample([still, growing]))).reason == "pops"


def test_a_modifier_that_changes_the_vertices_is_a_rejection():
    item = cube()
    item.modifiers.new("build", "BUILD").frame_duration = 20
    key(item, "location", (1, (0, 0, 0)), (25, (0, 0, 1)))
    with pytest.raises(Rejection, match=r"topology changes.*cube"):
        sample([item])


def test_nothing_to_see_is_a_rejection():
    with pytest.raises(Rejection, match="degenerate geometry"):
        sample([bpy.data.objects.new("empty", None)])


def test_a_place_that_is_no_number_is_a_rejection():
    item = cube()
    for vertex in item.data.vertices:
        vertex.co.x = float("nan")
    with pytest.raises(Rejection, match="degenerate geometry"):
        sample([item])


def test_an_extent_of_zero_is_a_rejection():
    item = cube()
    item.scale = (0, 0, 0)
    with pytest.raises(Rejection, match="degenerate geometry"):
        measure(sample([item]))


def test_a_teleport_amid_ten_thousand_frames_is_found():
    item = cube()
    key(item, "location", (1, (0, 0, 0)), (6000, (0, 0, 0.2)), (6001, (0, 0, 1.5)), (10_000, (0, 0, 1.7)))
    began = time.perf_counter()
    found = measure(sample([item, cube("floor", 1.0, (0, 2, 0))], 1.0, 10_000.0))
    assert found.jump > 0.4 and decide(found).reason == "teleport"
    assert time.perf_counter() - began < 5


def test_heavy_assets_are_looked_at_less_often():
    assert most_times(10_000) == MOST_TIMES > most_times(300_000) > most_times(5_000_000) >= 24


def test_missing_textures_are_taken_over():
    item = cube()
    key(item, "location", (1, (0, 0, 0)), (25, (0, 0, 1)))
    for stated, count in ((2, 2), (["a.png", "b.png", "c.png"], 3)):
        playback = Playback(bpy.context.scene, (item,), 1.0, 25.0, meta={"missing_textures": stated})
        assert sample_motion(playback, np.random.default_rng(0)).missing_textures == count


@pytest.mark.parametrize("kind", list(WEIGHTS))
def test_procedural_rigs_are_accepted(kind):
    """Unless what is drawn moves next to nothing, such as the wheel of a safe, or two blades turn as one."""
    accepted = 0
    for seed in range(500, 503):
        features = measure(sample_motion(RigSource(kind, seed, 14).play(0), np.random.default_rng(seed)))
        rejection = decide(features)
        accepted += rejection is None
        if rejection is not None:
            assert rejection.reason in ("static", "global only"), (seed, rejection)
            assert min(features.displacement, features.relative_displacement) < 0.06, (seed, rejection)
        assert features.global_travel < 0.1 and features.parts <= 4 and features.rigid_share > 0.98
    assert accepted


def decisions(path, wanted=None):
    """Animation -> reason, None for accepted."""
    source = open_asset(path)
    found = {}
    for index, name in enumerate(source.animations()):
        if wanted is None or name in wanted:
            try:
                rejection = decide(measure(sample_motion(source.play(index), np.random.default_rng(0))))
                found[name] = rejection and rejection.reason
            except Rejection as rejection:
                found[name] = rejection.reason
    return found


def test_a_fan_is_accepted_while_it_runs(shared):
    found = decisions(shared / "assets" / "desk_fan" / "vintageFan_animated.gltf")
    assert found == {"startFan": None, "fanRunning": None, "off": "static", "fanStop": None}


def test_morphs_are_accepted(shared):
    assert set(decisions(shared / "assets" / "MorphStressTest.gltf").values()) == {None}


@pytest.mark.parametrize("character", ["Knight", "Barbarian"])
def test_a_character_is_accepted_where_it_moves(shared, character):
    """As a person decided who looked at film strips of all 76 animations."""
    expected = {
        "Idle": "static", "Unarmed_Idle": "static", "Lie_Idle": "static", "Blocking": "static",
        "T-Pose": "single pose", "Death_A_Pose": "single pose", "2H_Melee_Attack_Spinning": "drastic change",
        "Walking_A": None, "Running_B": None, "Walking_Backwards": None, "1H_Melee_Attack_Slice_Diagonal": None,
        "Throw": None, "Death_A": None, "Lie_Down": None, "Jump_Full_Long": None, "Sit_Floor_Idle": None,
    }  # fmt: skip
    assert decisions(shared / "assets" / f"{character}.glb", set(expected)) == expected

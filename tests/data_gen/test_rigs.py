# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigs: every kind builds, is decided by its generator alone, and moves as its joints say."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from puppet_master.backend.errors import InputError
from puppet_master.data_gen.geometry import Geometry
from puppet_master.data_gen.kinds import WEIGHTS
from puppet_master.data_gen.rigs import BUILDERS, Joint, Rig, build_rig
from puppet_master.data_gen.rigs.shapes import Shape
from puppet_master.data_gen.scene import empty_scene


def world(part) -> np.ndarray:
    depsgraph = bpy.context.evaluated_depsgraph_get()
    depsgraph.update()
    return Geometry.of([part.object], depsgraph).vertices.astype(float)


def drawer_rig(finish) -> Rig:
    rig = Rig("test")
    rig.add_part("body", Shape().box((0, 0, 0), (1, 1, 1), finish))
    joint = Joint("prismatic", "-y", (0.5, 0.0, 0.5), (0.0, 0.8))
    rig.add_part("drawer", Shape().box((0.1, -0.1, 0.4), (0.9, 0.9, 0.6), finish), joint=joint)
    return rig


def test_the_command_line_and_the_rigs_know_the_same_kinds():
    assert set(WEIGHTS) == set(BUILDERS)


@pytest.mark.parametrize("kind", BUILDERS)
def test_every_kind_has_a_body_first_and_joints_with_a_range(kind):
    for seed in range(3):
        empty_scene()
        rig = build_rig(kind, np.random.default_rng(seed))
        assert rig.parts[0].joint is None and rig.parts[0].parent is None
        assert [part.id for part in rig.parts] == list(range(len(rig.parts)))
        assert rig.joints
        for part in rig.joints:
            low, high = part.joint.limits
            assert low <= 0.0 < high
            assert part.object.data.uv_layers and part.object.data.materials[0]


@pytest.mark.parametrize("kind", BUILDERS)
def test_every_kind_is_about_one_unit_large_and_stands_on_the_floor(kind):
    rig = build_rig(kind, np.random.default_rng(5))
    points = np.concatenate([world(part) for part in rig.parts])
    assert 0.5 < np.ptp(points, axis=0).max() < 2.5
    assert points[:, 2].min() > -0.05


@pytest.mark.parametrize("kind", BUILDERS)
def test_a_seed_decides_shape_and_pixels(kind):
    found = []
    for _ in range(2):
        empty_scene()
        rig = build_rig(kind, np.random.default_rng(11))
        image = bpy.data.images[0]
        pixels = np.empty(len(image.pixels), np.float32)
        image.pixels.foreach_get(pixels)
        found.append((np.concatenate([world(part) for part in rig.parts]), pixels))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_seeds_differ():
    first = build_rig("cabinet", np.random.default_rng(1)).parts[0].object.dimensions[:]
    second = build_rig("cabinet", np.random.default_rng(2)).parts[0].object.dimensions[:]
    assert first != second


def test_unknown_kind_is_named():
    with pytest.raises(InputError, match=r"'sofa'.*cabinet"):
        build_rig("sofa", np.random.default_rng(0))


def test_a_drawer_slides_along_its_axis_by_its_state(finish):
    rig = drawer_rig(finish)
    before = world(rig.parts[1])
    rig.pose(rig.parts[1], 0.5)
    np.testing.assert_allclose(world(rig.parts[1]) - before, [(0, -0.5, 0)] * len(before), atol=1e-6)


def test_a_hinge_turns_about_its_axis(finish):
    rig = Rig("test")
    rig.add_part("body", Shape().box((0, 0, 0), (1, 1, 1), finish))
    joint = Joint("revolute", "-z", (0.0, 0.0, 0.0), (0.0, 2.0))
    door = rig.add_part("door", Shape().box((0, -0.1, 0), (1, 0, 1), finish), joint=joint)
    rig.pose(door, np.pi / 2)
    points = world(door)
    np.testing.assert_allclose(points.min(0), (-0.1, -1, 0), atol=1e-6)
    np.testing.assert_allclose(points.max(0), (0, 0, 1), atol=1e-6)


def test_keys_hold_the_states_at_their_frames(scene, finish):
    rig = drawer_rig(finish)
    drawer = rig.parts[1]
    at_rest = world(drawer)
    rig.animate(drawer, (0.2, 0.6), (1, 11))
    for frame, state in ((1, 0.2), (6, 0.4), (11, 0.6)):
        scene.frame_set(frame)
        np.testing.assert_allclose(world(drawer)[:, 1], at_rest[:, 1] - state, atol=1e-6)


def test_smooth_keys_start_slowly(scene, finish):
    rig = drawer_rig(finish)
    drawer = rig.parts[1]
    at_rest = world(drawer)
    rig.animate(drawer, (0.0, 0.8), (1, 11), "BEZIER")
    scene.frame_set(2)
    assert 0 < (at_rest - world(drawer))[0, 1] < 0.04
    scene.frame_set(11)
    assert (at_rest - world(drawer))[0, 1] == pytest.approx(0.8, abs=1e-6)


def test_a_part_carries_what_hangs_on_it(finish):
    rig = drawer_rig(finish)
    joint = Joint("revolute", "y", (0.5, -0.1, 0.5), (0.0, 1.0))
    knob = rig.add_part("knob", Shape().box((0.45, -0.2, 0.45), (0.55, -0.1, 0.55), finish), rig.parts[1], joint)
    label = rig.add_part("label", Shape().box((0.2, -0.11, 0.45), (0.3, -0.1, 0.5), finish), rig.parts[1])
    before = world(knob), world(label)
    np.testing.assert_allclose(before[0].min(0), (0.45, -0.2, 0.45), atol=1e-6)
    np.testing.assert_allclose(before[1].min(0), (0.2, -0.11, 0.45), atol=1e-6)
    rig.pose(rig.parts[1], 0.3)
    np.testing.assert_allclose(world(knob) - before[0], [(0, -0.3, 0)] * 8, atol=1e-6)
    np.testing.assert_allclose(world(label) - before[1], [(0, -0.3, 0)] * 8, atol=1e-6)
    assert rig.subtree(rig.parts[1]) == [rig.parts[1], knob, label]


def test_the_body_cannot_be_posed(finish):
    rig = drawer_rig(finish)
    with pytest.raises(ValueError, match='"body" has no joint'):
        rig.pose(rig.parts[0], 1.0)


def test_states_and_frames_must_pair_up(finish):
    rig = drawer_rig(finish)
    with pytest.raises(ValueError, match="3 states for 2 frames"):
        rig.animate(rig.parts[1], (0, 1, 2), (1, 2))


def test_a_buckets_handle_swings_from_one_side_to_the_other_outside_the_body():
    for seed in range(6):
        empty_scene()
        rig = build_rig("bucket", np.random.default_rng(seed))
        body, handle = rig.parts
        low, high = handle.joint.limits
        assert low == -high and 1.7 < high < 2.2
        top = world(handle)[:, 2].max()
        for state in (low, high):
            rig.pose(handle, state)
            points = world(handle)
            middle = points[np.argmax(np.abs(points[:, 1]))]
            assert np.abs(middle[1]) > np.abs(world(body)[:, 1]).max() * 0.9
            assert middle[2] < handle.joint.origin[2] < top


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("fan", ["blades"]),
        ("fish", ["segment.2", "tail"]),
        ("quadruped", ["neck", "head", "tail.0", "thigh.fore.left", "shin.hind.right"]),
        ("humanoid", ["head", "shoulder.left", "arm.right", "forearm.left", "thigh.right", "shin.left"]),
    ],
)
def test_living_things_and_fans_have_their_joints(kind, names):
    for seed in range(4):
        empty_scene()
        rig = build_rig(kind, np.random.default_rng(seed))
        assert set(names) <= {part.name for part in rig.joints}


@pytest.mark.parametrize("kind", ["quadruped", "humanoid"])
def test_a_limb_carries_the_one_below_it_and_no_gap_opens_at_the_joint(kind):
    rig = build_rig(kind, np.random.default_rng(4))
    for name in [part.name for part in rig.joints if part.name.startswith("thigh")]:
        thigh = next(part for part in rig.parts if part.name == name)
        shin = next(part for part in rig.parts if part.name == name.replace("thigh", "shin"))
        assert shin.parent is thigh
        for part, state in ((thigh, 0.5), (shin, 0.9)):
            rig.pose(part, state)
        upper, lower = world(thigh), world(shin)
        apart = np.linalg.norm(upper[:, None] - lower[None], axis=2).min()
        assert apart < 0.03


def test_an_opening_door_keeps_its_hinge_and_clears_its_frame():
    for seed in range(8):
        empty_scene()
        rig = build_rig("door", np.random.default_rng(seed))
        for leaf in rig.joints:
            closed = world(leaf)
            rig.pose(leaf, np.pi / 2)
            opened = world(leaf)
            width = np.ptp(closed[:, 0])
            assert np.ptp(opened[:, 1]) == pytest.approx(width, rel=1e-4)
            assert np.ptp(opened[:, 0]) == pytest.approx(np.ptp(closed[:, 1]), rel=1e-4)
            hinge = np.array(leaf.joint.origin)
            before, after = (np.linalg.norm((points - hinge)[:, :2], axis=1) for points in (closed, opened))
            np.testing.assert_allclose(before, after, atol=1e-5)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves stay within limits, are large enough to see, and open as well as close."""

from __future__ import annotations

import numpy as np
import pytest
from puppet_master.data_gen.motion import FAR_SHARE, MIN_SHARE, apply_moves, choose_moves, moved_groups
from puppet_master.data_gen.rigs import BUILDERS, build_rig
from puppet_master.data_gen.scene import empty_scene


@pytest.mark.parametrize("kind", ["cabinet", "robot_arm", "oven"])
def test_moves_stay_within_limits_and_travel_far_enough(kind):
    rig = build_rig(kind, np.random.default_rng(0))
    for seed in range(40):
        moves = choose_moves(rig, np.random.default_rng(seed))
        assert 1 <= len(moves) <= 3
        for move in moves:
            low, high = move.part.joint.limits
            assert low <= min(move.start, move.end) and max(move.start, move.end) <= high + 1e-9
            assert abs(move.end - move.start) >= MIN_SHARE * (high - low) - 1e-9


def test_about_half_of_the_joints_travel_far_and_they_begin_anywhere():
    rig = build_rig("bucket", np.random.default_rng(0))
    low, high = rig.joints[0].joint.limits
    moves = [choose_moves(rig, np.random.default_rng(seed))[0] for seed in range(200)]
    shares = np.array([abs(move.end - move.start) / (high - low) for move in moves])
    assert 0.4 < (shares >= FAR_SHARE).mean() < 0.7
    assert shares.min() < 0.25 and shares.max() > 0.9
    starts = np.array([move.start for move in moves]) / high
    assert (np.histogram(starts, 4, (-1, 1))[0] > 15).all()


def test_both_directions_occur():
    rig = build_rig("laptop", np.random.default_rng(0))
    moves = [choose_moves(rig, np.random.default_rng(seed))[0] for seed in range(40)]
    opening = sum(move.end > move.start for move in moves)
    assert 10 <= opening <= 30


def test_what_is_behind_a_door_moves_only_while_the_door_stands_open():
    seen = 0
    for seed in range(30):
        empty_scene()
        rng = np.random.default_rng(seed)
        rig = build_rig("oven", rng)
        moves = choose_moves(rig, rng)
        moving = {move.part for move in moves}
        for rack, door in rig.gates.items():
            if rack in moving:
                seen += 1
                assert door not in moving
                angle = max(abs(value) for value in door.object.rotation_euler)
                assert angle == pytest.approx(door.joint.limits[1])
    assert seen


def test_groups_leave_each_part_to_the_last_joint_that_carries_it():
    rig = build_rig("robot_arm", np.random.default_rng(3))
    turret, link = rig.joints[0], rig.joints[1]
    moves = [move for seed in range(200) for move in choose_moves(rig, np.random.default_rng(seed))]
    chosen = [next(m for m in moves if m.part is turret), next(m for m in moves if m.part is link)]
    groups = moved_groups(rig, chosen)
    assert turret.id in groups[0] and link.id in groups[1]
    assert not set(groups[0]) & set(groups[1])


@pytest.mark.parametrize("kind", BUILDERS)
def test_only_the_moving_joints_are_keyed(kind):
    rig = build_rig(kind, np.random.default_rng(1))
    moves = choose_moves(rig, np.random.default_rng(1))
    apply_moves(rig, moves, 14)
    keyed = {part for part in rig.parts if part.object.animation_data}
    assert keyed == {move.part for move in moves}


def test_a_chain_mostly_bends_as_a_whole_and_within_limits():
    rig = build_rig("fish", np.random.default_rng(2))
    chain = set(rig.chains[0])
    draws = [choose_moves(rig, np.random.default_rng(seed)) for seed in range(60)]
    bending = [moves for moves in draws if moves[0].part in chain]
    whole = [moves for moves in bending if chain <= {move.part for move in moves}]
    assert 0.5 < len(whole) / len(bending) < 0.95
    for moves in whole:
        assert len({move.part for move in moves}) == len(moves)
        for move in moves:
            low, high = move.part.joint.limits
            assert low <= min(move.start, move.end) and max(move.start, move.end) <= high

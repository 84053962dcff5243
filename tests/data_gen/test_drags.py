# SPDX-License-Identifier: GPL-3.0-or-later
"""Drags start on visible moving points, explain every motion, and do not repeat each other."""

from __future__ import annotations

import numpy as np
from puppet_master.data_gen.drags import (
    MAX_DRAGS,
    MIN_DISPLACEMENT,
    NEAR,
    REACH,
    STILL,
    Drags,
    choose_drags,
    displacement,
    straighten,
)
from puppet_master.data_gen.tracks import Tracks


def make_tracks(shifts, starts=None, visible=None, part=None) -> Tracks:
    """Straight tracks that move right by the given shifts over five frames."""
    shifts = np.asarray(shifts, float)
    count = len(shifts)
    if starts is None:
        starts = np.stack((np.full(count, 0.2), np.linspace(0.05, 0.95, count)), 1)
    xy = np.repeat(np.asarray(starts, float)[:, None], 5, axis=1)
    xy[..., 0] += shifts[:, None] * np.linspace(0, 1, 5)
    seen = np.ones((count, 5), bool) if visible is None else visible
    parts = (shifts > 0).astype(np.int16) if part is None else np.asarray(part, np.int16)
    return Tracks(xy.astype(np.float32), seen, parts)


def many(tracks: Tracks, count: int = 60, **options) -> list[Drags]:
    return [choose_drags(tracks, np.random.default_rng(seed), **options) for seed in range(count)]


def test_between_one_and_five_drags_the_first_of_which_moves():
    tracks = make_tracks([0.0] * 20 + [0.3] * 20)
    found = many(tracks, 200)
    for drags in found:
        assert 1 <= len(drags) <= MAX_DRAGS
        assert displacement(tracks.xy)[drags.index[0]] >= MIN_DISPLACEMENT
        np.testing.assert_array_equal(drags.smooth, tracks.xy[drags.index])
        assert drags.smooth.shape == drags.straight.shape == (len(drags), 5, 2)
        assert drags.smooth.dtype == drags.straight.dtype == np.float32
    assert {len(drags) for drags in found} == {1, 2, 3, 4, 5}


def test_points_hidden_at_the_start_are_not_dragged():
    visible = np.ones((40, 5), bool)
    visible[::2, 0] = False
    for drags in many(make_tracks([0.0] * 20 + [0.3] * 20, visible=visible)):
        assert (drags.index % 2 == 1).all()


def test_pins_occur_on_still_parts_and_come_last():
    tracks = make_tracks([0.0] * 20 + [0.3] * 20)
    pinned = 0
    for drags in many(tracks):
        moves = displacement(tracks.xy)[drags.index] > STILL
        pinned += not moves.all()
        assert (np.diff(moves.astype(int)) <= 0).all()
        np.testing.assert_allclose(drags.straight[~moves], drags.smooth[~moves])
    assert 5 < pinned < 40


def test_no_motion_or_small_motion_gives_no_drag():
    for shifts in ([0.5 * MIN_DISPLACEMENT] * 30, [0.0] * 30, []):
        drags = choose_drags(make_tracks(shifts), np.random.default_rng(0))
        assert len(drags) == 0 and drags.smooth.shape == drags.straight.shape == (0, 5, 2)


def test_nearly_equal_drags_are_dropped():
    starts = 0.5 + 0.1 * NEAR * np.random.default_rng(0).random((30, 2))
    for drags in many(make_tracks([0.3] * 30, starts=starts)):
        assert len(drags) == 1


def test_drags_that_only_part_on_the_way_are_kept():
    tracks = make_tracks([0.3, 0.3], starts=[(0.2, 0.5), (0.2, 0.5)])
    tracks.xy[1, 2, 1] += 5 * NEAR
    assert max(len(drags) for drags in many(tracks)) == 2


def test_every_moving_part_gets_a_drag_while_there_is_room():
    tracks = make_tracks([0.05] * 10 + [0.3] * 10 + [0.5] * 10, part=[1] * 10 + [2] * 10 + [3] * 10)
    for drags in many(tracks):
        assert {1, 2, 3} <= set(tracks.part[drags.index])
    crowd = make_tracks(np.repeat(np.linspace(0.05, 0.6, 8), 5), part=np.repeat(np.arange(1, 9), 5))
    found = many(crowd, 300)
    for drags in found:
        assert len(set(crowd.part[drags.index])) == len(drags) == MAX_DRAGS
    counts = np.bincount(np.concatenate([crowd.part[drags.index] for drags in found]), minlength=9)
    assert counts[8] > 1.5 * counts[1] > 0


def test_every_cause_of_motion_gets_a_drag():
    tracks = make_tracks([0.05] * 10 + [0.5] * 30, part=[1] * 10 + [2] * 15 + [3] * 15)
    for drags in many(tracks, groups=[[1], [2, 3]]):
        assert 1 in tracks.part[drags.index] and {2, 3} & set(tracks.part[drags.index])
    assert min(len(drags) for drags in many(tracks, groups=[[1], [2, 3]])) == 2


def test_chances_within_a_part_grow_with_displacement():
    tracks = make_tracks([0.1] * 20 + [0.4] * 20, part=[1] * 40)
    first = np.array([drags.index[0] for drags in many(tracks, 600)])
    assert abs((first >= 20).mean() - 0.8) < 0.05


def test_points_that_leave_the_frame_by_far_are_not_dragged():
    tracks = make_tracks([1.0 + REACH, 0.5])
    for drags in many(tracks):
        np.testing.assert_array_equal(drags.index, [1])


def test_the_generator_decides():
    tracks = make_tracks(np.linspace(0.05, 0.5, 40), part=np.arange(40) // 10)
    again = choose_drags(tracks, np.random.default_rng(7)).index
    np.testing.assert_array_equal(choose_drags(tracks, np.random.default_rng(7)).index, again)


def test_a_bent_track_becomes_one_straight_stroke_travelled_at_its_own_pace():
    angle = np.linspace(0, 1, 9) ** 2 * np.pi / 2
    arc = np.stack((np.sin(angle), 1 - np.cos(angle)), 1)[None].astype(np.float32)
    straight = straighten(arc)[0]
    np.testing.assert_allclose(straight[[0, -1]], arc[0, [0, -1]], atol=1e-6)
    np.testing.assert_allclose(straight[:, 0], straight[:, 1], atol=1e-6)
    np.testing.assert_allclose(straight[:, 0], angle / angle[-1], atol=0.02)


def test_a_track_that_turns_back_becomes_two_strokes():
    there = np.array([(0, 0), (0.2, 0.1), (0.4, 0.0), (0.2, -0.1), (0.1, 0)], np.float32)[None]
    straight = straighten(there)[0]
    np.testing.assert_allclose(straight[:, 1], 0, atol=1e-7)
    np.testing.assert_allclose(straight[[0, 2, 4], 0], (0, 0.4, 0.1), atol=1e-6)
    assert 0.1 < straight[3, 0] < 0.4

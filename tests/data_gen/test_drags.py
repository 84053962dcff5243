# SPDX-License-Identifier: GPL-3.0-or-later
"""Drags start on visible moving points, explain every motion, and do not repeat each other."""

from __future__ import annotations

import numpy as np
from puppet_master.data_gen.drags import MAX_DRAGS, MIN_DISPLACEMENT, NEAR, STILL, choose_drags, displacement
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


def many(tracks: Tracks, count: int = 60, **options) -> list[np.ndarray]:
    return [choose_drags(tracks, np.random.default_rng(seed), **options) for seed in range(count)]


def test_between_one_and_five_drags_the_first_of_which_moves():
    tracks = make_tracks([0.0] * 20 + [0.3] * 20)
    for chosen in many(tracks):
        assert 1 <= len(chosen) <= MAX_DRAGS
        assert displacement(tracks.xy)[chosen[0]] >= MIN_DISPLACEMENT


def test_points_hidden_at_the_start_are_not_dragged():
    visible = np.ones((40, 5), bool)
    visible[::2, 0] = False
    for chosen in many(make_tracks([0.0] * 20 + [0.3] * 20, visible=visible)):
        assert (chosen % 2 == 1).all()


def test_pins_occur_on_still_parts_and_come_last():
    tracks = make_tracks([0.0] * 20 + [0.3] * 20)
    pinned = 0
    for chosen in many(tracks):
        moves = displacement(tracks.xy)[chosen] > STILL
        pinned += not moves.all()
        assert (np.diff(moves.astype(int)) <= 0).all()
    assert 5 < pinned < 40


def test_small_motion_gives_no_drag():
    assert len(choose_drags(make_tracks([0.5 * MIN_DISPLACEMENT] * 30), np.random.default_rng(0))) == 0


def test_nearly_equal_drags_are_dropped():
    starts = 0.5 + 0.1 * NEAR * np.random.default_rng(0).random((30, 2))
    for chosen in many(make_tracks([0.3] * 30, starts=starts)):
        assert len(chosen) == 1


def test_every_cause_of_motion_gets_a_drag():
    tracks = make_tracks([0.05] * 10 + [0.5] * 30, part=[1] * 10 + [2] * 30)
    for chosen in many(tracks, groups=[[1], [2]]):
        assert {1, 2} <= set(tracks.part[chosen])


def test_larger_motions_are_dragged_more_often():
    tracks = make_tracks([0.05] * 20 + [0.5] * 20)
    first = np.array([chosen[0] for chosen in many(tracks, 200)])
    assert (first >= 20).mean() > 0.8

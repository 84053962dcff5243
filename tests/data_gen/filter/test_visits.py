# SPDX-License-Identifier: GPL-3.0-or-later
"""Which moments of an animation are looked at."""

from __future__ import annotations

import numpy as np
import pytest
from puppet_master.data_gen.filter.motion import FEWEST_POINTS, MOST_TIMES, share_out, visit_times

POINTS = np.random.default_rng(0).normal(size=(60, 3))


class Looked:
    """A motion that counts how often it is looked at."""

    def __init__(self, shift):
        self.shift, self.times = shift, []

    def __call__(self, time):
        self.times.append(time)
        return (POINTS + np.array((self.shift(time), 0.0, 0.0))).astype(np.float32)


@pytest.mark.parametrize(("first", "last"), [(1.0, 14.0), (0.0, 50.0), (2.5, 30.5)])
def test_every_frame_of_a_short_animation_is_looked_at(first, last):
    seen = visit_times(Looked(lambda time: time), first, last)
    assert list(seen) == pytest.approx(np.arange(first, last + 0.5))


def test_an_end_between_two_frames_is_looked_at():
    assert list(visit_times(Looked(lambda time: time), 0.0, 9.6))[-2:] == [9.0, 9.6]


@pytest.mark.parametrize("length", [200, 1000, 100_000])
def test_a_long_animation_costs_no_more(length):
    looked = Looked(lambda time: np.sin(time / 50))
    seen = visit_times(looked, 0.0, float(length))
    assert len(looked.times) == len(set(looked.times)) == len(seen) <= MOST_TIMES
    assert list(seen) == sorted(seen) and next(iter(seen)) == 0 and list(seen)[-1] == length
    assert np.diff(list(seen)).max() <= 2 * length / (MOST_TIMES / 2)


@pytest.mark.parametrize("jump", [3.0, 487.0, 998.0])
def test_a_jump_in_a_long_animation_is_found_to_the_frame(jump):
    seen = list(visit_times(Looked(lambda time: 0.1 * np.sin(time / 40) + (time >= jump)), 0.0, 1000.0))
    place = seen.index(jump)
    assert seen[place - 1] == jump - 1
    assert jump - 2 in seen and jump + 1 in seen  # and its neighbours, to tell it from fast motion


def test_fast_motion_in_a_long_animation_is_looked_at_frame_by_frame():
    seen = np.array(list(visit_times(Looked(lambda time: np.tanh((time - 600) / 20)), 0.0, 1000.0)))
    pairs = seen[:-1][np.diff(seen) == 1]
    assert len(pairs) >= 3 and (np.abs(pairs - 600) < 40).any()


def test_absent_points_do_not_hide_a_jump():
    def look(time):
        places = (POINTS + np.array((time >= 321, 0, 0))).astype(np.float32)
        places[:20] = np.nan
        return places

    seen = list(visit_times(look, 0.0, 900.0))
    assert seen[seen.index(321.0) - 1] == 320


def test_points_are_shared_out_by_area_with_some_for_every_item():
    counts = share_out(np.array([1000.0, 10.0, 0.0]), 500)
    assert counts[0] == pytest.approx(495, abs=1) and counts[1] == counts[2] == FEWEST_POINTS


def test_more_items_than_points_leave_out_the_smallest():
    area = np.arange(1.0, 1001.0)
    counts = share_out(area, 400)
    assert counts.sum() == 400 and counts[600:].all() and not counts[:600].any()


def test_a_swing_in_a_very_long_animation_is_seen_within_a_clip():
    window = 52.0
    seen = visit_times(Looked(lambda time: np.sin(time / 24 * 2 * np.pi)), 0.0, 100_000.0, window=window)
    assert len(seen) <= MOST_TIMES and list(seen)[-1] == 100_000
    times, shifts = np.array(list(seen)), np.array([places[0, 0] for places in seen.values()])
    near = (np.abs(times[:, None] - times) <= window) & (times[:, None] != times)
    assert (np.abs(shifts[:, None] - shifts)[near]).max() > 1.5

# SPDX-License-Identifier: GPL-3.0-or-later
"""Which stretch of an animation a clip shows."""

from __future__ import annotations

import numpy as np
from puppet_master.data_gen.window import LONGEST_STEP, choose_times


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_short_animation_is_shown_whole():
    np.testing.assert_allclose(choose_times(1, 14, 24, 14, rng()), np.arange(1, 15))
    np.testing.assert_allclose(choose_times(0, 6.5, 24, 14, rng()), np.arange(14) / 2)


def test_a_long_animation_is_cut_not_sped_up():
    for seed in range(50):
        times = choose_times(10, 500, 30, 14, rng(seed))
        np.testing.assert_allclose(np.diff(times), LONGEST_STEP * 30)
        assert times[0] >= 10 and times[-1] <= 500


def test_without_knowledge_all_stretches_are_drawn():
    starts = [choose_times(0, 1000, 24, 14, rng(seed))[0] for seed in range(200)]
    assert min(starts) < 100 and max(starts) > 850


def test_where_things_move_is_drawn_far_more_often():
    times = np.arange(0.0, 1001.0, 10.0)
    places = np.zeros((len(times), 5, 3), np.float32)
    places[times >= 600, :, 0] = 1.0  # all that happens is between 590 and 600
    starts = np.array([choose_times(0, 1000, 24, 14, rng(seed), (times, places))[0] for seed in range(200)])
    shows = (starts <= 600) & (starts + LONGEST_STEP * 24 * 13 >= 590)
    assert shows.mean() > 0.9


def test_absent_points_do_not_count():
    times = np.arange(0.0, 1001.0, 10.0)
    places = np.zeros((len(times), 2, 3), np.float32)
    places[:, 1] = np.nan
    places[times >= 600, 0, 2] = 1.0
    starts = np.array([choose_times(0, 1000, 24, 14, rng(seed), (times, places))[0] for seed in range(50)])
    assert ((starts <= 600) & (starts >= 540)).mean() > 0.8

# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion as drags of few points: how many they need, and that they keep to the motion at every time."""

import itertools

import numpy as np
from puppet_master.addon.fewest_points import fewest_points
from puppet_master.backend.protocol import Drag, DragPoint

TIMES = np.linspace(0.0, 1.0, 25)


def fitted(times, path, tolerance):
    """How many points the drag has, its ease, and how far it is from the path at most."""
    rows, ease = fewest_points(times, path, tolerance)
    points = tuple(DragPoint(float(times[row]), *map(float, path[row])) for row in rows)
    return len(rows), ease, np.hypot(*(Drag("d", points, ease).at(times) - path).T).max()


def straight(u):
    return np.stack([0.2 + 0.5 * u, 0.3 + 0.3 * u], axis=1)


def arc(u):
    return np.stack([0.5 - 0.3 * np.cos(np.pi / 2 * u), 0.5 - 0.3 * np.sin(np.pi / 2 * u)], axis=1)


def eased(t):
    return 3 * t**2 - 2 * t**3


def test_a_straight_path_at_even_speed_needs_its_ends_alone():
    assert fitted(TIMES, straight(TIMES), 1e-9)[:2] == (2, "linear")


def test_a_straight_path_from_rest_to_rest_is_a_smooth_drag_of_two_points():
    assert fitted(TIMES, straight(eased(TIMES)), 1e-9)[:2] == (2, "smooth")


def test_a_straight_path_that_speeds_up_gets_points_for_its_time_and_not_its_place():
    count, _, off = fitted(TIMES, straight(TIMES**2), 0.01)
    assert (count, off <= 0.01) == (5, True)


def test_an_arc_at_even_speed_gets_few_points_that_keep_to_it():
    count, ease, off = fitted(TIMES, arc(TIMES), 0.01)
    assert (count, ease) == (5, "linear")  # even a chord of 29 degrees would leave it by a hundredth
    assert off <= 0.01


def test_an_arc_from_rest_to_rest_needs_fewer_points_as_a_smooth_drag():
    count, ease, off = fitted(TIMES, arc(eased(TIMES)), 0.01)
    assert (count, ease) == (5, "smooth")
    assert off <= 0.01


def test_what_stands_still_is_a_pin():
    path = np.full((25, 2), 0.4)
    assert fitted(TIMES, path, 0.0) == (2, "linear", 0.0)


def test_no_linear_drag_keeps_to_a_path_with_fewer_points():
    rng = np.random.default_rng(4)
    for _ in range(20):
        times = np.concatenate([[0.0], np.sort(rng.uniform(0.05, 0.95, 6)), [1.0]])
        path = 0.5 + rng.uniform(-0.04, 0.04, (8, 2))
        count, _, off = fitted(times, path, 0.03)
        assert off <= 0.03
        for between in itertools.combinations(range(1, 7), max(count - 3, 0)):
            rows = [0, *between, 7]
            line = np.stack([np.interp(times, times[rows], path[rows, axis]) for axis in (0, 1)], axis=1)
            assert len(rows) >= count or np.hypot(*(path - line).T).max() > 0.03


def test_a_jittering_path_longer_than_what_is_looked_at_first_is_kept_to_as_well():
    rng = np.random.default_rng(1)
    times = np.sort(rng.permutation(np.linspace(0.0, 1.0, 2001))[:400])
    times[[0, -1]] = 0.0, 1.0
    path = 0.5 + np.cumsum(rng.normal(0, 0.02, (400, 2)), axis=0)
    path[0] = 0.5
    for tolerance in (0.0, 0.02):
        count, _, off = fitted(times, path, tolerance)
        assert off <= tolerance + 1e-12
    assert count < 300

# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes whose motions are known."""

from __future__ import annotations

import numpy as np
import pytest
from known_motions import turn_about_z


@pytest.fixture
def ball():
    """300 points spread evenly over a sphere of diameter 1."""
    count = 300
    height = 1 - 2 * (np.arange(count) + 0.5) / count
    round_ = np.pi * (1 + np.sqrt(5)) * np.arange(count)
    flat = np.sqrt(1 - height**2)
    return 0.5 * np.stack((flat * np.cos(round_), flat * np.sin(round_), height), axis=1)


@pytest.fixture
def cabinet(ball):
    """A still body and a door, 20 % of the points, that opens by 90 degrees in 24 frames: places and owners."""
    door = np.stack(np.meshgrid([0.0], np.linspace(0, 0.4, 10), np.linspace(-0.3, 0.3, 10)), -1).reshape(-1, 3)
    body = np.concatenate((ball, ball * 0.9 + 0.01))[:400]
    states = np.linspace(0, 90, 25)
    opened = np.einsum("fij,pj->fpi", turn_about_z(states), door) + np.array((0.5, 0.0, 0.0))
    places = np.concatenate((np.broadcast_to(body, (25, 400, 3)), opened), axis=1)
    return places, np.repeat((0, 1), (400, len(door)))

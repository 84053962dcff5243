# SPDX-License-Identifier: GPL-3.0-or-later
"""Sample grids: film strips below each other with drags on them."""

from __future__ import annotations

import numpy as np
from puppet_master.training.grids import COLOURS, Strip, draw_grid


def test_drags_are_drawn_where_they_are_in_each_frame():
    frames = np.full((3, 64, 64, 3), 255, dtype=np.uint8)
    path = np.array([[[0.25, 0.5], [0.5, 0.5], [0.75, 0.5]]], dtype=np.float32)
    grid = np.asarray(draw_grid([Strip(frames, path), Strip(frames[:2], path[:0])]))
    assert grid.shape == (2 * 64 + 4, 3 * 64 + 2 * 4, 3)
    for index, x in enumerate((16, 32, 48)):
        frame = grid[:64, index * 68 : index * 68 + 64]
        rows = np.nonzero((frame == COLOURS[0]).all(axis=-1).sum(axis=1) == 1)[0]
        assert tuple(frame[32, 20]) == COLOURS[0]  # the path
        assert tuple(frame[31, x]) == COLOURS[0] and len(rows) <= 4  # the dot
    assert (grid[68:] == 255).all()


def test_small_frames_are_enlarged():
    frames = np.zeros((1, 16, 32, 3), dtype=np.uint8)
    assert draw_grid([Strip(frames, np.zeros((0, 1, 2), np.float32))]).size == (128, 64)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The window about the object: where it lies, what it shows, and how motion comes back from it."""

from __future__ import annotations

import pytest
import torch
from puppet_master.backend.model.motion_field import Motion
from puppet_master.backend.object_window import FACTOR, FAR, SMALLEST, ObjectWindow

WHITE = torch.ones(3)
NO_STARTS = torch.zeros(0, 2)


def plain_but(rows: slice, columns: slice, size: tuple[int, int] = (64, 64)) -> torch.Tensor:
    plain = torch.ones(size, dtype=torch.bool)
    plain[rows, columns] = False
    return plain


def test_the_window_lies_about_the_object():
    window = ObjectWindow.about(plain_but(slice(16, 48), slice(8, 24)), NO_STARTS)
    assert window.side == pytest.approx(FACTOR * 0.5)
    assert (window.left + window.side / 2, window.top + window.side / 2) == pytest.approx((0.25, 0.5))


def test_where_drags_start_is_shown_even_on_what_looks_like_background():
    window = ObjectWindow.about(plain_but(slice(16, 48), slice(16, 48)), torch.tensor([(0.95, 0.5)]))
    assert window.side == pytest.approx(FACTOR * 0.7)
    assert window.left < 0.25 and window.left + window.side > 0.95


@pytest.mark.parametrize("object_", [(slice(0, 64), slice(20, 30)), (slice(0, 0), slice(0, 0))])
def test_the_whole_still_is_seen_where_nothing_or_all_of_it_is_background(object_):
    assert ObjectWindow.about(plain_but(*object_), NO_STARTS) == ObjectWindow(0.0, 0.0, 1.0)


def test_a_speck_is_not_magnified_beyond_measure():
    assert ObjectWindow.about(plain_but(slice(30, 32), slice(30, 32)), NO_STARTS).side == SMALLEST


def test_beside_the_still_the_window_shows_background():
    still = torch.zeros(3, 64, 64)
    shown = ObjectWindow(-0.5, 0.0, 1.0).cut(still, 64, WHITE)
    assert (shown[:, :, :32] == 1).all() and (shown[:, :, 32:] == 0).all()


def test_what_is_cut_out_is_where_its_places_say():
    still = torch.zeros(3, 64, 64)
    still[:, 40, 20] = 1
    window = ObjectWindow(0.25, 0.5, 0.25)  # pixels 16 to 32 and 32 to 48, four times as large
    shown = window.cut(still, 64, WHITE)
    row, column = divmod(int(shown[0].argmax()), 64)
    x, y = window.points_in(torch.tensor((20.5 / 64, 40.5 / 64))) * 64
    assert abs(column + 0.5 - x) <= 1 and abs(row + 0.5 - y) <= 1
    assert (x, y) == (18, 34)


def test_motion_comes_back_at_the_stills_scale_and_place():
    size = (64, 32)  # a still twice as high as wide
    window = ObjectWindow(0.5, 0.25, 0.5)
    moved = torch.full((1, 3, 2, 16, 16), 0.2)
    placed = window.place(Motion(moved, torch.zeros(1, 3, 16, 16), torch.ones(1, 16, 16)), size)
    inside = torch.zeros(size, dtype=torch.bool)
    inside[16:48, 16:32] = True
    assert placed.displacement.shape == (1, 3, 2, 64, 32)
    assert torch.allclose(placed.displacement[..., inside], torch.tensor(0.1))
    assert (placed.displacement[..., ~inside] == 0).all() and (placed.moving[0] == inside).all()
    assert (placed.depth[..., inside] == 0).all() and (placed.depth[..., ~inside] == FAR).all()


def test_a_window_that_reaches_beyond_the_still_keeps_what_lies_within():
    columns = torch.arange(16.0).expand(1, 1, 1, 16, 16)
    motion = Motion(columns.expand(1, 1, 2, 16, 16), columns[:, 0], columns[:, 0, 0])
    placed = ObjectWindow(-0.5, -0.5, 1.0).place(motion, (16, 16))
    assert torch.equal(placed.moving[0, 0, :8], torch.arange(8.0, 16.0)) and (placed.moving[0, 8:] == 0).all()
    assert (placed.moving[0, :, 8:] == 0).all()

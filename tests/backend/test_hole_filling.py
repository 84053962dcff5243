# SPDX-License-Identifier: GPL-3.0-or-later
"""Holes take the colour of what lies around and behind; cracks are closed from their surface."""

from __future__ import annotations

import torch
from puppet_master.backend.hole_filling import fill


def test_holes_take_the_colour_around_them_and_the_rest_is_left_alone():
    image = torch.full((1, 3, 32, 32), 0.25)
    image[..., 16:] = 0.75
    covered = torch.ones(1, 1, 32, 32)
    covered[..., 4:9, 4:9] = 0
    torn = torch.where(covered > 0, image, torch.zeros(()))
    filled = fill(torn, covered, torch.zeros(1, 1, 32, 32))
    torch.testing.assert_close(filled[covered.expand_as(filled) > 0], image[covered.expand_as(image) > 0])
    assert (filled[0, :, 4:9, 4:9] - 0.25).abs().max() < 0.02


def test_an_empty_frame_is_filled_with_nothing():
    assert (fill(torch.zeros(1, 3, 16, 16), *torch.zeros(2, 1, 1, 16, 16)) == 0).all()


def test_holes_are_filled_from_what_is_farther():
    image, depth = torch.full((1, 3, 32, 32), 0.2), torch.zeros(1, 1, 32, 32)
    image[..., :16], depth[..., :16] = 0.8, 1.0
    covered = torch.ones(1, 1, 32, 32)
    covered[..., 14:18] = 0
    filled = fill(torch.where(covered > 0, image, torch.zeros(())), covered, depth)
    assert (filled[..., 14:18] - 0.8).abs().max() < 0.05


def test_cracks_in_a_surface_are_closed_from_it_and_not_from_what_lies_far_behind():
    image, depth = torch.full((1, 3, 32, 32), 0.9), torch.full((1, 1, 32, 32), 4.0)
    image[..., 8:24, 8:24], depth[..., 8:24, 8:24] = 0.2, 0.0
    cracked = torch.ones(1, 1, 32, 32)
    cracked[..., 12, 9:23] = 0  # a line
    cracked[..., 18:21:2, 10:22:3] = 0  # single pixels
    closed = fill(torch.where(cracked > 0, image, torch.zeros(())), cracked, depth)
    torch.testing.assert_close(closed, image)


def test_the_border_of_a_hole_is_no_crack():
    image, depth = torch.full((1, 3, 32, 32), 0.9), torch.full((1, 1, 32, 32), 4.0)
    image[..., 16:], depth[..., 16:] = 0.2, 0.0
    covered = torch.ones(1, 1, 32, 32)
    covered[..., 4:28, 10:16] = 0  # what was in front has gone to the right
    filled = fill(torch.where(covered > 0, image, torch.zeros(())), covered, depth)
    assert (filled[..., 4:28, 10:16] - 0.9).abs().max() < 0.05

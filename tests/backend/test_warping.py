# SPDX-License-Identifier: GPL-3.0-or-later
"""Moving pixels: exact for whole steps, nearer in front, holes filled from around."""

from __future__ import annotations

import torch
from puppet_master.backend.warping import fill, splat


def still(size: int = 16) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(3, size, size)


def test_what_does_not_move_is_the_still_itself():
    image, covered, _ = splat(still(), torch.zeros(2, 2, 16, 16), torch.zeros(2, 16, 16))
    torch.testing.assert_close(image, still().expand(2, -1, -1, -1))
    assert (covered == 1).all()


def test_a_whole_step_moves_every_pixel_there_and_uncovers_the_border():
    shift = torch.zeros(1, 2, 16, 16)
    shift[:, 0], shift[:, 1] = 3 / 16, -2 / 16
    image, covered, _ = splat(still(), shift, torch.zeros(1, 16, 16))
    torch.testing.assert_close(image[0, :, :14, 3:], still()[:, 2:, :13])
    assert (covered[0, 0, :14, 3:] == 1).all()
    assert covered[0, 0, :, :3].sum() == 0 and covered[0, 0, 14:].sum() == 0


def test_what_is_nearer_covers_what_is_farther():
    picture = torch.zeros(1, 8, 8)
    picture[0, 2, 2] = 1.0
    shift = torch.zeros(1, 2, 8, 8)
    shift[0, 0, 2, 2] = 3 / 8
    depth = torch.zeros(1, 8, 8)
    for nearer, expected in ((-0.5, 1.0), (0.5, 0.0)):
        depth[0, 2, 2] = nearer
        # Between a pixel that moves and one that stays the displacement is blended: look at the middle of what moves.
        image, _, _ = splat(picture.repeat_interleave(4, 1).repeat_interleave(4, 2), *(
            part.repeat_interleave(4, -2).repeat_interleave(4, -1) for part in (shift, depth)
        ))  # fmt: skip
        assert abs(float(image[0, 0, 9:11, 21:23].mean()) - expected) < 0.01


def test_a_surface_that_grows_does_not_tear():
    centre = (torch.arange(32) + 0.5) / 32 - 0.5
    shift = torch.stack([centre.expand(32, 32), centre[:, None].expand(32, 32)])[None] * 0.8
    _, covered, _ = splat(still(32), shift, torch.zeros(1, 32, 32))
    assert (covered > 0).all()


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


def test_the_depth_of_what_arrives_comes_along():
    depth = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(3))
    _, _, arrived = splat(still(), torch.zeros(1, 2, 16, 16), depth)
    torch.testing.assert_close(arrived[:, 0], depth)

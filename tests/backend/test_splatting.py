# SPDX-License-Identifier: GPL-3.0-or-later
"""Moving pixels: exact for whole steps, nearer in front, whole where a surface grows, parted where surfaces part."""

from __future__ import annotations

import numpy as np
import plain_splat
import pytest
import torch
from puppet_master.backend.hole_filling import COVERED
from puppet_master.backend.splatting import STRETCH, splat
from torch.nn import functional as F


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


@pytest.mark.parametrize("times", [1.8, 4.0, 11.0, 30.0])
def test_a_surface_that_grows_does_not_tear(times):
    centre = (torch.arange(32) + 0.5) / 32 - 0.5
    shift = torch.stack([centre.expand(32, 32), centre[:, None].expand(32, 32)])[None] * (times - 1)
    image, covered, _ = splat(still(32), shift, torch.zeros(1, 32, 32))
    assert covered.min() > COVERED
    middle = still(32)[:, 15:17, 15:17]  # at 30 times each of these is a large square
    assert abs(float(image[0, 0, 16, 16]) - float(middle[0, 1, 1])) < 0.5 / times + 1e-5


def test_pixels_that_part_too_far_belong_to_different_surfaces_in_every_frame():
    shift = torch.zeros(2, 2, 8, 128)
    shift[0, 0, :, 8:16], shift[1, 0, :, 8:16] = 6 / 128, (STRETCH + 9) / 128
    _, covered, _ = splat(torch.rand(3, 8, 128), shift, torch.zeros(2, 8, 128))
    assert covered[0, 0, :, 8:14].sum() == 0  # behind the part lies a gap, not a surface drawn out
    shift[1] = shift[0]
    _, covered, _ = splat(torch.rand(3, 8, 128), shift, torch.zeros(2, 8, 128))
    assert (covered[0, 0, :, 8:14] > 0.8).all()


def test_plain_background_is_not_drawn_out_with_what_lies_before_it():
    shift, depth = torch.zeros(1, 2, 8, 32), torch.full((1, 8, 32), 4.0)
    shift[0, 0, :, 8:16], depth[..., 8:16] = 6 / 32, 0.0
    _, covered, _ = splat(torch.rand(3, 8, 32), shift, depth)
    assert covered[0, 0, :, 8:14].sum() == 0


def test_it_equals_the_plain_computation():
    generator = torch.Generator().manual_seed(4)
    picture = torch.rand(3, 24, 20, generator=generator)
    flow = F.interpolate(torch.randn(3, 2, 5, 4, generator=generator) * 0.2, size=(24, 20), mode="bicubic")
    flow[:, :, :6], flow[..., 15:] = 0, 0  # much rests
    flow[2, 0, 12:, 8:] += 1.6  # a part leaves the others for good
    depth = torch.rand(3, 24, 20, generator=generator) * 0.05
    depth[:, :, :3] = 4.0
    found = splat(picture, flow, depth)
    expected = plain_splat.splat(picture.numpy(), flow.numpy(), depth.numpy())
    for ours, plain in zip(found, expected, strict=True):
        # A piece that ends within a rounding error of a pixel's border may fall on either side of it.
        differs = np.abs(ours.numpy() - plain) > 1e-4
        assert differs.mean() < 0.005


def test_the_depth_of_what_arrives_comes_along():
    depth = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(3))
    _, _, arrived = splat(still(), torch.zeros(1, 2, 16, 16), depth)
    torch.testing.assert_close(arrived[:, 0], depth)

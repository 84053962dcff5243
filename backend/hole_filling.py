# SPDX-License-Identifier: GPL-3.0-or-later
"""Filling what moved pixels uncover, and closing the cracks between them."""

from __future__ import annotations

import torch
from torch.nn import functional as F

COVERED = 0.3  # of a pixel must be covered for it to count
CRACK = 0.6  # share of the 3 x 3 pixels about a hole that must be covered for it to be a crack in one surface
FARNESS = 20.0  # how steeply the say of what lies around a hole falls towards the camera, in asset sizes
COARSER = 1e-3  # the say of a coarser level beside what is known near by
COARSEST = 4  # pixels a side at which holes are filled from everything


def fill(image: torch.Tensor, covered: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
    """Fill what is not covered from around it, coarse to fine, from what is farther rather than from what is nearer.

    Cracks, which a surface gets where it is stretched, are closed first, from all sides alike: nothing behind them
    shows.

    Args:
        image: `[N, C, H, W]`.
        covered: `[N, 1, H, W]`, 0 to 1.
        depth: of what the image shows, `[N, 1, H, W]`.
    """
    image, known, depth = _close_cracks(image, covered > COVERED, depth)
    behind = depth.masked_fill(~known, -torch.inf).amax((-2, -1), keepdim=True).clamp(min=torch.finfo(depth.dtype).min)
    weight = torch.exp(FARNESS * (depth - behind)).clamp(1e-9, 1) * known
    levels = [torch.cat([image * weight, weight], dim=1)]
    while min(levels[-1].shape[-2:]) > COARSEST:
        levels.append(F.avg_pool2d(levels[-1], 2, ceil_mode=True, count_include_pad=False))
    total = levels.pop().mean((-2, -1), keepdim=True)
    for level in reversed(levels):
        total = level + COARSER * F.interpolate(total, size=level.shape[-2:], mode="bilinear", align_corners=False)
    around = total[:, :-1] / total[:, -1:].clamp(min=1e-30)
    return torch.where(known, image, around)


def _close_cracks(
    image: torch.Tensor, known: torch.Tensor, depth: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Give single pixels and lines that nothing arrives at the mean of their neighbours.

    Sides and corners of larger holes stay as they are.

    Returns:
        image, known and depth with those pixels.
    """
    share = F.avg_pool2d(known.to(image.dtype), 3, stride=1, padding=1, count_include_pad=False)
    crack = ~known & (share > CRACK)
    about = torch.cat([image, depth], dim=1) * known
    mean = F.avg_pool2d(about, 3, stride=1, padding=1, count_include_pad=False) / share.clamp(min=1e-6)
    return torch.where(crack, mean[:, :-1], image), known | crack, torch.where(crack, mean[:, -1:], depth)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Moving the pixels of a still: forward warping with what is nearer in front, and filling what is uncovered.

Softmax splatting (Niklaus and Liu 2020): where several pixels arrive, they are averaged with weights that fall
steeply with depth. Each pixel is cut into smaller ones first, so that surfaces that grow do not tear.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

CUTS = 2  # pieces along each side of a pixel
STEEPNESS = 60.0  # how steeply weights fall with depth, in asset sizes: half a hundredth of it halves and more
TEAR = 0.4  # pixels that a piece's displacement may differ from its pixel's
COVERED = 0.3  # of a pixel's pieces must arrive for it to count as covered
CRACK = 0.6  # share of the 3 x 3 pixels about a hole that must be covered for it to be a crack in one surface
FARNESS = 20.0  # how steeply the say of what lies around a hole falls towards the camera, in asset sizes
COARSER = 1e-3  # the say of a coarser level beside what is known near by
COARSEST = 4  # pixels a side at which holes are filled from everything


def splat(
    still: torch.Tensor, displacement: torch.Tensor, depth: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Move a still's pixels.

    Args:
        still: `[C, H, W]`.
        displacement: shares of the width and height, `[N, 2, H, W]`.
        depth: smaller is nearer, `[N, H, W]`.

    Returns:
        the moved stills `[N, C, H, W]`, 0 where nothing arrives; how much of each pixel is covered `[N, 1, H, W]`; and
        the depth of what arrives `[N, 1, H, W]`.
    """
    count, _, height, width = displacement.shape
    channels = len(still)
    pieces = still.repeat_interleave(CUTS, 1).repeat_interleave(CUTS, 2).flatten(1)
    moved = _cut(displacement, displacement.new_tensor((width, height)).reshape(1, 2, 1, 1))
    near = F.interpolate(depth[:, None], scale_factor=CUTS, mode="nearest")[:, 0].flatten(1)
    weight = torch.exp(-STEEPNESS * (near - near.amin(1, keepdim=True))).clamp(min=1e-9)
    y, x = torch.meshgrid(
        (torch.arange(height * CUTS, device=still.device) + 0.5) / CUTS,
        (torch.arange(width * CUTS, device=still.device) + 0.5) / CUTS,
        indexing="ij",
    )
    column = (x + moved[:, 0] * width).floor().long().flatten(1)
    row = (y + moved[:, 1] * height).floor().long().flatten(1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = torch.where(inside, row * width + column, height * width)  # what leaves the frame goes to a spare pixel
    out = still.new_zeros(count, channels + 3, height * width + 1)
    for channel in range(channels):
        out[:, channel].scatter_add_(1, place, weight * pieces[channel])
    out[:, channels].scatter_add_(1, place, weight)
    out[:, channels + 1].scatter_add_(1, place, weight * near)
    out[:, channels + 2].scatter_add_(1, place, torch.ones_like(weight))
    out = out[..., :-1].reshape(count, channels + 3, height, width)
    whole = out[:, channels : channels + 1].clamp(min=1e-12)
    covered = (out[:, channels + 2 :] / CUTS**2).clamp(max=1)
    return out[:, :channels] / whole, covered, out[:, channels + 1 : channels + 2] / whole


def _cut(displacement: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    """The displacement of pixels' pieces: blended from pixel to pixel, but not across an edge of what moves."""
    blended = F.interpolate(displacement, scale_factor=CUTS, mode="bilinear", align_corners=False)
    own = F.interpolate(displacement, scale_factor=CUTS, mode="nearest")
    torn = ((blended - own) * size).abs().amax(1, keepdim=True) > TEAR
    return torch.where(torn, own, blended)


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

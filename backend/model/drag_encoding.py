# SPDX-License-Identifier: GPL-3.0-or-later
"""Drags as images: the input of the adaptive normalisation (paper, section 3.2).

`drags` is `[B, N, K, 4]`: for each frame and drag (x_start, y_start, x_now, y_now), normalised image
coordinates. `valid` is `[B, N, K] bool`.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

LOCATION_CHANNELS = 2  # x and y
DENSE_CHANNELS = 6  # per bandwidth: displacement x, y and density around the starts, the same around "now"
COORDINATE_CHANNELS = 2
EMPTY = -1.0
# Displacements are a fraction of the image; this brings the usual ones near one.
DISPLACEMENT_GAIN = 4.0
# Where no drag is near, the interpolated displacement fades to zero instead of dividing by nothing.
DENSITY_FLOOR = 1e-2


def cell_maps(
    drags: torch.Tensor, valid: torch.Tensor, height: int, width: int, end_location: bool = True
) -> torch.Tensor:
    """One cell per location holds the sub-cell offset, everything else is -1 (as published).

    Args:
        drags: `[B, N, K, 4]`.
        valid: `[B, N, K] bool`.
        height: of the grid.
        width: of the grid.
        end_location: say in every frame where a drag ends, as published; without, 4 channels a drag, not 6.

    Returns:
        `[B, N, 6K, height, width]` like `drags`. Drag k owns channels 6k to 6k + 5: start, current and final
        location, x then y. Each location writes, at its cell `round(x * s - 0.5)` clipped to the grid, the
        offsets `x * s - cell`. Slots that are not valid stay -1.
    """
    places = [drags[..., :2], drags[..., 2:]]
    if end_location:
        places.append(drags[:, -1:, :, 2:].expand_as(drags[..., 2:]))
    locations = torch.stack(places, dim=3)  # [B, N, K, 3, 2]
    size = torch.tensor([width, height], dtype=drags.dtype, device=drags.device)
    cells = (locations * size - 0.5).round().clamp(min=0)
    cells = torch.minimum(cells, size - 1)
    offsets = locations * size - cells  # [B, N, K, 3, 2]
    columns = torch.arange(width, dtype=drags.dtype, device=drags.device)
    rows = torch.arange(height, dtype=drags.dtype, device=drags.device)
    hit = (cells[..., 1, None] == rows)[..., :, None] & (cells[..., 0, None] == columns)[..., None, :]
    hit = hit & valid[..., None, None, None]  # [B, N, K, 3, H, W]
    empty = torch.full((), EMPTY, dtype=drags.dtype, device=drags.device)
    maps = torch.where(hit[:, :, :, :, None], offsets[..., None, None], empty)  # [B, N, K, 3, 2, H, W]
    return maps.flatten(2, 4)


def dense_maps(
    drags: torch.Tensor, valid: torch.Tensor, height: int, width: int, bandwidths: tuple[float, ...]
) -> torch.Tensor:
    """Drags splatted softly: what the sparse cells say, readable from afar and in any slot order.

    For each bandwidth (standard deviation of a Gaussian, in image sides) the displacements since the start
    are interpolated by kernel regression, once around the drags' starts ("what will leave from here") and
    once around their current places ("what has arrived here"), each with its kernel density. Two channels
    of coordinates in [-1, 1] close the stack; self-attention has no other notion of place.

    Returns:
        `[B, N, 6 * len(bandwidths) + 2, height, width]` like `drags`.
    """
    layers = []
    for place in (drags[..., :2], drags[..., 2:]):
        for bandwidth in bandwidths:
            layers.extend(_interpolated(drags, valid, place, height, width, bandwidth))
    x, y = _cell_places(drags, height, width)
    ones = torch.ones(*drags.shape[:2], 1, height, width, dtype=drags.dtype, device=drags.device)
    layers.append(ones * (x * 2 - 1))
    layers.append(ones * (y * 2 - 1)[:, None])
    return torch.cat(layers, dim=2)


def _cell_places(like: torch.Tensor, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised places of a grid's columns `[width]` and rows `[height]`."""
    columns = (torch.arange(width, dtype=like.dtype, device=like.device) + 0.5) / width
    rows = (torch.arange(height, dtype=like.dtype, device=like.device) + 0.5) / height
    return columns, rows


def _interpolated(
    drags: torch.Tensor, valid: torch.Tensor, place: torch.Tensor, height: int, width: int, bandwidth: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Displacements, times the gain, regressed around `place [B, N, K, 2]`: `[B, N, 2, H, W]`; and their density."""
    columns, rows = _cell_places(drags, height, width)
    displacement = (drags[..., 2:] - drags[..., :2]) * DISPLACEMENT_GAIN  # [B, N, K, 2]
    dx2 = (columns - place[..., 0, None]).square()[..., None, :]
    dy2 = (rows - place[..., 1, None]).square()[..., :, None]
    kernel = torch.exp((dx2 + dy2) * (-0.5 / bandwidth**2)) * valid.to(drags.dtype)[..., None, None]
    density = kernel.sum(dim=2)
    moved = torch.einsum("bnkhw,bnkc->bnchw", kernel, displacement)
    return moved / (density + DENSITY_FLOOR)[:, :, None], (density / (density + 1.0))[:, :, None]


def carried_still(
    image_latents: torch.Tensor,
    drags: torch.Tensor,
    valid: torch.Tensor,
    bandwidths: tuple[float, ...],
) -> torch.Tensor:
    """The still as the drags alone would carry it, one version per bandwidth: a hint, not an answer.

    Each place takes the still's latents from where the displacement interpolated around the drags' current
    places (as in `dense_maps`) says that its content came from. It knows no parts and no occlusion: a door drags
    its frame along. Which of it to believe, and what to put elsewhere, is what the network learns. Motion fields
    made of sparse drags carry features this way in MOFA-Video (arXiv 2405.20222).

    Args:
        image_latents: `[B, C, h, w]`.
        drags: `[B, N, K, 4]`.
        valid: `[B, N, K] bool`.
        bandwidths: Gaussian widths in image sides.

    Returns:
        Differences to the still, `[B, N, C * len(bandwidths), h, w]`; zero where nothing is carried.
    """
    batch, channels, height, width = image_latents.shape
    frames = drags.shape[1]
    x, y = _cell_places(drags, height, width)
    here = torch.stack(torch.meshgrid(x * 2 - 1, y * 2 - 1, indexing="xy"))
    still = image_latents[:, None].expand(batch, frames, channels, height, width)
    carried = []
    for bandwidth in bandwidths:
        displacement, _ = _interpolated(drags, valid, drags[..., 2:], height, width, bandwidth)
        source = (here - 2 * (displacement / DISPLACEMENT_GAIN)).permute(0, 1, 3, 4, 2).flatten(0, 1)
        moved = F.grid_sample(
            still.flatten(0, 1).float(), source, mode="bilinear", padding_mode="border", align_corners=False
        )
        carried.append(moved.unflatten(0, (batch, frames)).to(still.dtype) - still)
    return torch.cat(carried, dim=2)


def map_channels(num_drags: int, bandwidths: tuple[float, ...], end_location: bool = True) -> int:
    """Number of channels of the drag images for `num_drags` slots; see `cell_maps` and `dense_maps`."""
    channels = LOCATION_CHANNELS * (3 if end_location else 2) * num_drags
    if bandwidths:
        channels += DENSE_CHANNELS * len(bandwidths) + COORDINATE_CHANNELS
    return channels


class DragEmbedding(nn.Module):
    """Small conv net from drag images to the scale and shift, or the shift alone, of one layer (paper, eq. 5).

    3x3 convolutions with SiLU; the last one starts at zero, so that an untrained embedding changes nothing.
    """

    def __init__(self, in_channels: int, out_channels: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, hidden[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for here, there in pairwise(hidden):
            self.blocks.append(nn.Conv2d(here, here, 3, padding=1))
            self.blocks.append(nn.Conv2d(here, there, 3, padding=1))
        self.conv_out = nn.Conv2d(hidden[-1], out_channels, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """`maps [B·N, C, h, w]` to `[B·N, out_channels, h, w]`: scale and shift, one after the other."""
        hidden = F.silu(self.conv_in(maps))
        for block in self.blocks:
            hidden = F.silu(block(hidden))
        return self.conv_out(hidden)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Drags as tokens: extra keys and values of the cross-attention (paper, section 3.3)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class PositionEmbedding(nn.Module):
    """2-D sin-cos position embedding of a grid's cells, sampled bilinearly at any place.

    The embedding is separable: one half depends on the column, the other on the row. So it is interpolated
    along one axis each and needs no table per grid size; only the frequencies are kept, as a buffer.

    Args:
        dim: length of the embedding, a multiple of 4.
    """

    frequencies: torch.Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        quarter = dim // 4
        frequencies = 10000.0 ** -(torch.arange(quarter, dtype=torch.float64) / quarter)
        self.register_buffer("frequencies", frequencies.float(), persistent=False)

    def forward(self, places: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """`places [..., 2]` (x, y normalised) on a grid of `height` x `width` cells to `[..., dim]`, float32."""
        places = places.float()
        columns = self._along(places[..., 0], width)
        rows = self._along(places[..., 1], height)
        return torch.cat([columns, rows], dim=-1)

    def _along(self, place: torch.Tensor, cells: int) -> torch.Tensor:
        at = (place * cells - 0.5).clamp(0, cells - 1)
        low = at.floor()
        high = (low + 1).clamp(max=cells - 1)
        weight = (at - low)[..., None]
        return self._sincos(low) * (1 - weight) + self._sincos(high) * weight

    def _sincos(self, cell: torch.Tensor) -> torch.Tensor:
        angle = cell[..., None] * self.frequencies.float()
        return torch.cat([angle.sin(), angle.cos()], dim=-1)


def token_mlp(channels: int, position_dim: int, token_dim: int) -> nn.Sequential:
    """MLP from sampled features and positions to a token: 2C + 2P -> token_dim -> token_dim, SiLU."""
    return nn.Sequential(
        nn.Linear(2 * channels + 2 * position_dim, token_dim),
        nn.SiLU(),
        nn.Linear(token_dim, token_dim),
    )


def drag_tokens(
    mlp: nn.Module,
    hidden: torch.Tensor,
    drags: torch.Tensor,
    valid: torch.Tensor,
    position: PositionEmbedding,
) -> torch.Tensor:
    """What each drag finds at its start and at its current place, in each frame, as a token.

    Args:
        mlp: made by `token_mlp`.
        hidden: features of one layer, `[B·N, C, h, w]`.
        drags: `[B, N, K, 4]`.
        valid: `[B, K] bool`; the others' tokens are zero.
        position: embedding of the grid.

    Returns:
        `[B·N, K, token_dim]`.
    """
    batch, frames, count = drags.shape[:3]
    height, width = hidden.shape[-2:]
    places = drags.reshape(batch * frames, count, 2, 2).transpose(1, 2)  # [B·N, 2 (start, now), K, xy]
    # float16 has no CPU kernel for this, and the places deserve more than bfloat16's three digits.
    features = F.grid_sample(
        hidden.float(), places.float() * 2 - 1, mode="bilinear", padding_mode="border", align_corners=False
    )  # [B·N, C, 2, K]
    features = features.permute(0, 3, 2, 1).flatten(2)  # [B·N, K, (start, now) C]
    positions = position(places, height, width).transpose(1, 2).flatten(2)
    tokens = mlp(torch.cat([features, positions], dim=-1).to(hidden.dtype))
    keep = valid[:, None, :, None].expand(batch, frames, count, 1).reshape(batch * frames, count, 1)
    return torch.where(keep, tokens, torch.zeros((), dtype=tokens.dtype, device=tokens.device))

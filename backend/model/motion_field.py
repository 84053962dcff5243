# SPDX-License-Identifier: GPL-3.0-or-later
"""The motion field: from a still and drags to where every pixel of the still goes over the clip.

A 2-D network looks at the still once, for all frames, so it costs a few hundredths of what a video network does and
learns from as many times more clips. What it predicts has the form that motion of parts has:

    displacement(p, t) = (I + R0(p) + t R1(p)) · sum over drags k of a_k(p) · (x_k(t) - x_k(0))

`a_k(p)` is how much pixel p belongs to what drag k pulls (a softmax over the drags and over "nothing"), the 2 x 2
matrices say how p's motion differs from that of the dragged point: nearer to a hinge it is shorter, across it turned.
Hence by construction, not by training: with no drags nothing moves, what belongs to a pin stays, and the timing is the
drag's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn
from torch.nn import functional as F

GROUPS = 8
NEAR, AROUND = 0.03, 0.12  # of the image's side: widths of the drags' marks in the input
REACH = 0.1  # the same of the field of the nearest drag
PRIOR_WIDTH, PRIOR = 0.04, 2.0  # a pixel this near to a drag's start is taken for its part, by so much of a logit
PIN = 1e-4  # of the image's side: a drag that asks for less is a pin
OUTPUT_SCALE = 0.3  # of matrices and depths, so that they begin small


@dataclass(frozen=True)
class Motion:
    """What a motion field predicts, for B stills of S x S pixels and clips of N frames.

    Attributes:
        displacement: from the still's pixels to their places in frames 1 to N-1, in shares of the side,
            `[B, N-1, 2, S, S]` (x right, y down).
        depth: of the same points in frames 1 to N-1, `[B, N-1, S, S]`; smaller is nearer, the unit is the asset's size.
        moving: the share by which a pixel belongs to drags that move, `[B, S, S]`, 0 to 1.
    """

    displacement: torch.Tensor
    depth: torch.Tensor
    moving: torch.Tensor


class MotionField(ModelMixin, ConfigMixin):
    """See the module. Takes stills of any even size that `2 ** len(channels)` divides; trained at `size`."""

    @register_to_config
    def __init__(
        self,
        size: int = 128,
        channels: tuple[int, ...] = (32, 48, 96, 160),
        key_times: int = 13,
        token_channels: int = 64,
        embedding_channels: int = 24,
    ) -> None:
        """
        Args:
            size: side of the stills it was trained on, in pixels.
            channels: of each level, from half the size downwards.
            key_times: moments at which a drag's path is read.
            token_channels: width of a drag's token.
            embedding_channels: width in which pixels and drags are compared.
        """
        super().__init__()
        self.drags = DragTokens(key_times, token_channels)
        self.stem = nn.Conv2d(4 * 3 + DragMaps.CHANNELS, channels[0], 3, padding=1)
        down, up, before = [], [], channels[0]
        for level, width in enumerate(channels):
            down.append(_Level(before, width, token_channels, attend=level > 0))
            before = width
        self.down = nn.ModuleList(down)
        self.shrink = nn.ModuleList(nn.Conv2d(width, width, 3, stride=2, padding=1) for width in channels[:-1])
        self.middle = nn.Sequential(
            _SelfAttention(before), _Residual(before, before), _SelfAttention(before), _Residual(before, before)
        )
        for width in reversed(channels):
            up.append(_Level(before + width, width, token_channels, attend=True))
            before = width
        self.up = nn.ModuleList(up)
        self.head = _Head(before, token_channels, embedding_channels)

    def forward(
        self, still: torch.Tensor, drags: torch.Tensor, mask: torch.Tensor, frames: torch.Tensor | None = None
    ) -> Motion:
        """Predict motion.

        Args:
            still: `[B, 3, S, S]` in [-1, 1].
            drags: normalised places `[B, K, N, 2]`; slots that the mask leaves out may hold anything finite.
            mask: which slots are drags, bool `[B, K]`.
            frames: those to predict, of 1 to N-1, `[B, M]`; the motion has M then. All of them where none are given.
        """
        if frames is None:
            frames = torch.arange(1, drags.shape[2], device=drags.device).expand(len(drags), -1)
        drags = torch.where(mask[..., None, None], drags, torch.zeros_like(drags))
        tokens, starts = self.drags(drags, mask), drags[:, :, 0]
        x = self.stem(torch.cat([F.pixel_unshuffle(still, 2), DragMaps.draw(drags, mask, still.shape[-1] // 2)], 1))
        skipped = []
        for level, block in enumerate(self.down):
            x = block(x, tokens, starts, mask)
            skipped.append(x)
            if level < len(self.shrink):
                x = self.shrink[level](x)
        x = self.middle(x)
        for level, block in enumerate(self.up):
            if level:
                x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, skipped.pop()], 1), tokens, starts, mask)
        return self.head(x, tokens, drags, mask, frames)


class DragTokens(nn.Module):
    """A token for each drag: its path against its start, where it starts and ends."""

    OCTAVES = 4

    def __init__(self, key_times: int, width: int) -> None:
        super().__init__()
        self.key_times = key_times
        self.embed = nn.Sequential(
            nn.Linear(2 * key_times + 4 + 8 * self.OCTAVES, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, drags: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`[B, K, N, 2]` to `[B, K, width]`; 0 for slots that are no drags."""
        moved = _at(drags, torch.linspace(0, 1, self.key_times + 1, device=drags.device)[1:]) - drags[:, :, :1]
        ends = torch.stack([drags[:, :, 0], drags[:, :, -1]], dim=2)
        waves = ends[..., None] * (math.pi * 2.0 ** torch.arange(self.OCTAVES, device=drags.device))
        known = [4 * moved.flatten(2), ends.flatten(2)]
        known += [torch.sin(waves).flatten(2), torch.cos(waves).flatten(2)]
        return self.embed(torch.cat(known, dim=-1)) * mask[..., None]


class DragMaps:
    """Drags drawn as images: marks where they start, what the nearest one does at four moments, coordinates."""

    MOMENTS = (0.25, 0.5, 0.75, 1.0)
    CHANNELS = 2 + 2 * len(MOMENTS) + 2

    @classmethod
    def draw(cls, drags: torch.Tensor, mask: torch.Tensor, size: int) -> torch.Tensor:
        """`[B, CHANNELS, size, size]`."""
        centres = (torch.arange(size, device=drags.device) + 0.5) / size
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        grid = torch.stack([x, y])
        starts = drags[:, :, 0, :, None, None]
        distance = ((grid - starts) ** 2).sum(2)
        there = mask[:, :, None, None].to(drags.dtype)
        marks = [(torch.exp(-distance / (2 * width**2)) * there).sum(1, keepdim=True).clamp(max=1)
                 for width in (NEAR, AROUND)]  # fmt: skip
        nearest = torch.softmax(-distance / (2 * REACH**2) - 1e4 * (1 - there), dim=1) * there
        moved = 4 * (_at(drags, torch.tensor(cls.MOMENTS, device=drags.device)) - drags[:, :, :1])
        carried = torch.einsum("bkhw,bkmc->bmchw", nearest, moved).flatten(1, 2)
        return torch.cat([*marks, carried, (2 * grid - 1).expand(len(drags), -1, -1, -1)], dim=1)


class _Head(nn.Module):
    """From features at half the size to motion at the full size."""

    def __init__(self, width: int, token_channels: int, embedding: int) -> None:
        super().__init__()
        self.split = (embedding, 8, 3)
        self.norm = nn.GroupNorm(GROUPS, width)
        self.out = nn.Conv2d(width, 4 * sum(self.split), 3, padding=1)
        self.key = nn.Sequential(
            nn.Linear(embedding + width + token_channels, 96), nn.SiLU(), nn.Linear(96, embedding)
        )
        self.nothing = nn.Parameter(torch.zeros(embedding))
        self.nothing_bias = nn.Parameter(torch.ones(1))

    def forward(
        self, x: torch.Tensor, tokens: torch.Tensor, drags: torch.Tensor, mask: torch.Tensor, frames: torch.Tensor
    ) -> Motion:
        features = F.silu(self.norm(x))
        embedding, matrices, depth = F.pixel_shuffle(self.out(features), 2).split(self.split, dim=1)
        starts = drags[:, :, 0]
        known = [_sample(embedding, starts), _sample(features, starts), tokens]
        share = self._shares(embedding, self.key(torch.cat(known, dim=-1)), starts, mask)
        with torch.autocast(x.device.type, enabled=False):  # places are finer than bfloat16 is
            return _motion(share.float(), matrices.float(), depth.float(), drags, frames)

    def _shares(
        self, embedding: torch.Tensor, keys: torch.Tensor, starts: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """How much each pixel belongs to each drag, `[B, K, H, W]`; sums to 1 at most."""
        height, width = embedding.shape[-2:]
        logits = torch.einsum("bke,behw->bkhw", keys, embedding)
        y = (torch.arange(height, device=embedding.device) + 0.5) / height
        x = (torch.arange(width, device=embedding.device) + 0.5) / width
        away = (x - starts[..., 0, None, None]) ** 2 + (y[:, None] - starts[..., 1, None, None]) ** 2
        logits = logits + PRIOR * torch.exp(-away / (2 * PRIOR_WIDTH**2))
        logits = logits.masked_fill(~mask[..., None, None], float("-inf"))
        nothing = torch.einsum("e,behw->bhw", self.nothing, embedding)[:, None] + self.nothing_bias
        return torch.cat([logits, nothing], dim=1).softmax(dim=1)[:, :-1]


def _motion(
    share: torch.Tensor, matrices: torch.Tensor, depth: torch.Tensor, drags: torch.Tensor, frames: torch.Tensor
) -> Motion:
    """Motion in some frames `[B, M]` of what belongs to drags `[B, K, N, 2]` by shares `[B, K, H, W]`."""
    moved = drags - drags[:, :, :1]
    asked = moved.gather(2, frames[:, None, :, None].expand(-1, moved.shape[1], -1, 2))
    time = frames / (drags.shape[2] - 1)
    return Motion(
        displacement=_turned(torch.einsum("bkhw,bknc->bnchw", share, asked), OUTPUT_SCALE * matrices, time),
        depth=_depth_over_time(OUTPUT_SCALE * depth, time),
        moving=(share * (moved.norm(dim=-1).amax(-1) > PIN)[..., None, None]).sum(1),
    )


def _turned(carried: torch.Tensor, matrices: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """`(I + R0 + t R1) · carried`: `[B, M, 2, H, W]` with `matrices` `[B, 8, H, W]` and `time` `[B, M]`."""
    batch, _, height, width = matrices.shape
    still, over_time = matrices.reshape(batch, 2, 1, 2, 2, height, width).unbind(1)
    matrix = still + time[..., None, None, None, None] * over_time
    return carried + (matrix * carried[:, :, None]).sum(3)


def _depth_over_time(terms: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """`z0 + t z1 + t (1 - t) z2`: `[B, M, H, W]` from `terms` `[B, 3, H, W]` and `time` `[B, M]`."""
    powers = torch.stack([torch.ones_like(time), time, time * (1 - time)], dim=1)
    return torch.einsum("bjn,bjhw->bnhw", powers, terms)


def _at(drags: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """Places of drags `[B, K, N, 2]` at moments `[T]` of the clip, 0 to 1, between frames too: `[B, K, T, 2]`."""
    last = drags.shape[2] - 1
    before = (time * last).floor().clamp(max=max(last - 1, 0)).long()
    share = (time * last - before)[:, None]
    after = (before + 1).clamp(max=last)
    return drags[:, :, before] * (1 - share) + drags[:, :, after] * share


def _sample(image: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Values of `[B, C, H, W]` at normalised places `[B, K, 2]`: `[B, K, C]`."""
    grid = 2 * places[:, :, None] - 1
    return F.grid_sample(image, grid, padding_mode="border", align_corners=False)[..., 0].transpose(1, 2)


class _Level(nn.Module):
    """Two residual blocks, and between them the drags."""

    def __init__(self, before: int, width: int, token_channels: int, attend: bool) -> None:
        super().__init__()
        self.first, self.second = _Residual(before, width), _Residual(width, width)
        self.attention = _DragAttention(width, token_channels) if attend else None

    def forward(
        self, x: torch.Tensor, tokens: torch.Tensor, starts: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        x = self.first(x)
        if self.attention is not None:
            x = self.attention(x, tokens, starts, mask)
        return self.second(x)


class _Residual(nn.Module):
    """GroupNorm, SiLU, convolution, twice; the second convolution begins at zero."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, before), nn.GroupNorm(GROUPS, width)
        self.conv1, self.conv2 = nn.Conv2d(before, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.skip = nn.Conv2d(before, width, 1) if before != width else nn.Identity()
        _begin_at_zero(self.conv2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.conv1(F.silu(self.norm1(x)))
        return self.skip(x) + self.conv2(F.silu(self.norm2(inner)))


class _DragAttention(nn.Module):
    """Pixels attend to the drags (their tokens, and the features where they start) and to "nothing"."""

    HEADS = 4

    def __init__(self, width: int, token_channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width)
        self.query, self.out = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.token = nn.Sequential(nn.Linear(width + token_channels, width), nn.SiLU(), nn.Linear(width, width))
        self.key_value = nn.Linear(width, 2 * width)
        self.nothing = nn.Parameter(torch.zeros(1, 1, width))
        _begin_at_zero(self.out)

    def forward(
        self, x: torch.Tensor, tokens: torch.Tensor, starts: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        batch, width, height, breadth = x.shape
        normed = self.norm(x)
        seen = self.token(torch.cat([_sample(normed, starts), tokens], dim=-1))
        seen = torch.cat([seen, self.nothing.expand(batch, 1, width)], dim=1)
        key, value = (self._heads(part) for part in self.key_value(seen).chunk(2, dim=-1))
        query = self._heads(self.query(normed).flatten(2).transpose(1, 2))
        allowed = F.pad(mask, (0, 1), value=True)[:, None, None]
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        return x + self.out(found.transpose(-1, -2).reshape(batch, width, height, breadth))

    def _heads(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens.unflatten(-1, (self.HEADS, -1)).transpose(1, 2)


class _SelfAttention(nn.Module):
    """Every place attends to every other."""

    HEADS = 4

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width)
        self.query_key_value, self.out = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, width, 1)
        _begin_at_zero(self.out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.query_key_value(self.norm(x)).flatten(2).unflatten(1, (3, self.HEADS, -1)).transpose(-1, -2)
        found = F.scaled_dot_product_attention(*tokens.unbind(1))
        return x + self.out(found.transpose(-1, -2).reshape(x.shape))


def _begin_at_zero(layer: nn.Conv2d) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)

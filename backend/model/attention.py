# SPDX-License-Identifier: GPL-3.0-or-later
"""SVD's spatio-temporal transformer with all-to-first spatial attention and drag tokens as context.

The weights and their names are diffusers' `TransformerSpatioTemporalModel`; the computation is ours, so
that what is the same for many rows is computed once and not expanded:

- spatial self-attention takes keys and values from frame 0: once per clip, one call for all frames' queries;
- the temporal blocks' context is frame 0's: one call per clip instead of a copy per pixel;
- attention over a single context token is that token's value: no query, no softmax;
- attention over tokens that are all zero (the unconditional branch of guidance) gives the output's bias, whatever the
  queries: keys and values have no bias, so they are zero too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.attention import BasicTransformerBlock, TemporalBasicTransformerBlock
from diffusers.models.attention_processor import Attention
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch.nn import functional as F


@dataclass(frozen=True)
class Context:
    """Keys and values of the cross-attentions.

    Attributes:
        tokens: `[B, N, T, D]`: the image token, then the drags' tokens, of each frame.
        mask: `[B, T] bool`, False where a token must not be attended; None when all are.
        gate: `[1]`, how much the tokens beside the image's matter: 0 is as if they were not there, 1 as if there were
            no gate; None for no gate.
        blank: how many more clips there are, after those of `tokens`, whose tokens are all zero.
    """

    tokens: torch.Tensor
    mask: torch.Tensor | None
    gate: torch.Tensor | None = None
    blank: int = 0


class DragTransformer(TransformerSpatioTemporalModel):
    """A spatial and a temporal transformer block, mixed by a learned factor (SVD), over one clip's frames.

    Args:
        all_to_first: see `spatial_block`.
        sizes: of diffusers' transformer.
    """

    def __init__(self, *heads: int, all_to_first: bool = True, **sizes: Any) -> None:
        super().__init__(*heads, **sizes)
        self.all_to_first = all_to_first

    def forward(self, hidden: torch.Tensor, context: Context) -> torch.Tensor:
        """`hidden [B·N, C, h, w]` to the same shape."""
        batch, frames = context.tokens.shape[0] + context.blank, context.tokens.shape[1]
        height, width = hidden.shape[-2:]
        x = self.norm(hidden).flatten(2).transpose(1, 2)
        x = self.proj_in(x)
        frame_embedding = self._frame_embedding(frames, x)
        alpha = torch.sigmoid(self.time_mixer.mix_factor).to(x.dtype)
        for spatial, temporal in zip(self.transformer_blocks, self.temporal_transformer_blocks, strict=True):
            x = spatial_block(spatial, x, context, self.all_to_first)
            y = x.reshape(batch, frames, height * width, -1) + frame_embedding
            y = temporal_block(temporal, y, context)
            x = alpha * x + (1.0 - alpha) * y.reshape(x.shape)
        x = self.proj_out(x)
        return hidden + x.transpose(1, 2).reshape(hidden.shape)

    def _frame_embedding(self, frames: int, like: torch.Tensor) -> torch.Tensor:
        index = torch.arange(frames, device=like.device)
        return self.time_pos_embed(self.time_proj(index).to(like.dtype))[None, :, None]


def spatial_block(
    block: BasicTransformerBlock, x: torch.Tensor, context: Context, to_first: bool = True
) -> torch.Tensor:
    """All-to-first self-attention, cross-attention to each frame's own tokens, feed-forward.

    Args:
        block: holds the weights.
        x: `[B·N, S, C]`.
        context: of the same clips.
        to_first: whether all frames attend to frame 0, as published; otherwise each to itself, as in SVD.

    Returns:
        `[B·N, S, C]`.
    """
    batch, frames, count, dim = context.tokens.shape
    own = block.norm1(x)
    clips = batch + context.blank
    attended = all_to_first(block.attn1, own, clips, frames) if to_first else attention(block.attn1, own, own, None)
    x = x + attended
    tokens = context.tokens.reshape(batch * frames, count, dim)
    mask = None
    if context.mask is not None:
        mask = context.mask[:, None].expand(batch, frames, count).reshape(batch * frames, count)
    if context.blank:
        _add_cross_attention(block, x[: batch * frames], tokens, mask, context.gate)
        x[batch * frames :] += block.attn2.to_out[0].bias
    else:
        x = x + cross_attention(block.attn2, block.norm2(x), tokens, mask, context.gate)
    return x + block.ff(block.norm3(x))


def temporal_block(block: TemporalBasicTransformerBlock, x: torch.Tensor, context: Context) -> torch.Tensor:
    """Attention along time at each place, cross-attention to frame 0's tokens, feed-forwards.

    Args:
        block: holds the weights.
        x: `[B, N, S, C]`.
        context: of the same clips.

    Returns:
        `[B, N, S, C]`.
    """
    batch, frames, places, channels = x.shape
    x = x + block.ff_in(block.norm_in(x))
    along_time = block.norm1(x).transpose(1, 2).reshape(batch * places, frames, channels)
    attended = attention(block.attn1, along_time, along_time, None)
    x = x + attended.reshape(batch, places, frames, channels).transpose(1, 2)
    tokens = context.tokens[:, 0]
    if context.blank:
        flat = x.view(batch, frames * places, channels)
        _add_cross_attention(block, flat[: len(tokens)], tokens, context.mask, context.gate)
        flat[len(tokens) :] += block.attn2.to_out[0].bias
    else:
        flat = block.norm2(x).reshape(batch, frames * places, channels)
        x = x + cross_attention(block.attn2, flat, tokens, context.mask, context.gate).reshape(x.shape)
    return x + block.ff(block.norm3(x))


def _add_cross_attention(
    block: BasicTransformerBlock | TemporalBasicTransformerBlock,
    x: torch.Tensor,
    tokens: torch.Tensor,
    mask: torch.Tensor | None,
    gate: torch.Tensor | None,
) -> None:
    """Add the cross-attention to `x`, a part of the rows, in place: a copy of all rows would cost more."""
    if len(x):
        x += cross_attention(block.attn2, block.norm2(x), tokens, mask, gate)


def all_to_first(attn: Attention, x: torch.Tensor, batch: int, frames: int) -> torch.Tensor:
    """Every frame's queries attend to frame 0's keys and values (paper, section 3.4): one call per clip."""
    places, channels = x.shape[1:]
    clips = x.reshape(batch, frames, places, channels)
    queries = clips.reshape(batch, frames * places, channels)
    return attention(attn, queries, clips[:, 0], None).reshape(x.shape)


def cross_attention(
    attn: Attention,
    x: torch.Tensor,
    tokens: torch.Tensor,
    mask: torch.Tensor | None,
    gate: torch.Tensor | None = None,
) -> torch.Tensor:
    """`x [R, S, C]` attends to `tokens [R, T, D]`, the image's first; a softmax over one token is that token."""
    if tokens.shape[1] == 1 and mask is None:
        return attn.to_out[0](attn.to_v(tokens)).expand(x.shape)
    attended = attention(attn, x, tokens, mask)
    if gate is None:
        return attended
    image_alone = attn.to_out[0](attn.to_v(tokens[:, :1]))
    return image_alone + gate.to(attended.dtype) * (attended - image_alone)


def attention(
    attn: Attention, queries: torch.Tensor, source: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """Multi-head attention with `attn`'s projections.

    Args:
        attn: holds the weights.
        queries: `[R, S, C]`.
        source: keys' and values' source, `[R, T, D]`.
        mask: `[R, T] bool`, False where not to attend; at least one True per row.

    Returns:
        `[R, S, C]`.
    """
    q, k, v = (
        part.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        for part in (attn.to_q(queries), attn.to_k(source), attn.to_v(source))
    )
    attended = F.scaled_dot_product_attention(
        q, k, v, attn_mask=None if mask is None else mask[:, None, None, :]
    )
    return attn.to_out[0](attended.transpose(1, 2).flatten(2))

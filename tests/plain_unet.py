# SPDX-License-Identifier: GPL-3.0-or-later
"""The published computation, plain and slow: what our UNet must equal, and what it is timed against.

Same weights, none of the savings: drag images by loops and inside every call, K and V of all-to-first
expanded per frame, explicit softmax, the context copied to every pixel by diffusers' own transformer.
"""

from __future__ import annotations

from functools import partial

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from puppet_master.backend.model import DragSpatioTemporalUNet
from puppet_master.backend.model.blocks import DragDownBlock, DragUpBlock
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


def drag_image(drags: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The drag images of one grid, cell by cell; `drags [B, N, K, 4]`, a frame of zeros is unused there."""
    batch, frames, count, _ = drags.shape
    image = torch.full((batch, frames, 6 * count, height, width), -1.0)
    for b in range(batch):
        for n in range(frames):
            for k in range(count):
                if not drags[b, n, k].any():
                    continue
                places = [drags[b, n, k, :2], drags[b, n, k, 2:], drags[b, -1, k, 2:]]
                for which, (x, y) in enumerate(places):
                    column = min(max(int(torch.round(x * width - 0.5)), 0), width - 1)
                    row = min(max(int(torch.round(y * height - 0.5)), 0), height - 1)
                    image[b, n, 6 * k + 2 * which, row, column] = x * width - column
                    image[b, n, 6 * k + 2 * which + 1, row, column] = y * height - row
    return image


def modulate(hidden: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Adaptive normalisation."""
    return hidden * (1 + scale) + shift


def bilinear(grid: torch.Tensor, x: float, y: float) -> torch.Tensor:
    """`grid [C, h, w]` at a normalised place, cells' centres at (i + 0.5) / size, edges repeated: `[C]`."""
    height, width = grid.shape[-2:]
    column = min(max(x * width - 0.5, 0.0), width - 1.0)
    row = min(max(y * height - 0.5, 0.0), height - 1.0)
    left, top = int(column), int(row)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    u, v = column - left, row - top
    upper = grid[:, top, left] * (1 - u) + grid[:, top, right] * u
    lower = grid[:, bottom, left] * (1 - u) + grid[:, bottom, right] * u
    return upper * (1 - v) + lower * v


def position_table(dim: int, height: int, width: int) -> torch.Tensor:
    """2-D sin-cos position embedding `[dim, height, width]`: half of the column, half of the row."""
    frequencies = [1 / 10000 ** (i / (dim // 4)) for i in range(dim // 4)]
    table = torch.zeros(dim, height, width)
    for row in range(height):
        for column in range(width):
            values = []
            for cell in (column, row):
                angles = torch.tensor([cell * f for f in frequencies])
                values += [angles.sin(), angles.cos()]
            table[:, row, column] = torch.cat(values)
    return table


def tokens(mlp: torch.nn.Module, hidden: torch.Tensor, drags: torch.Tensor, dim: int) -> torch.Tensor:
    """Drag tokens `[B·N, K, D]` one by one; a drag that is zero in all frames has a zero token."""
    batch, frames, count, _ = drags.shape
    table = position_table(dim, *hidden.shape[-2:])
    rows = []
    for b in range(batch):
        for n in range(frames):
            for k in range(count):
                x0, y0, x1, y1 = drags[b, n, k].tolist()
                features = hidden[b * frames + n]
                parts = [bilinear(features, x0, y0), bilinear(features, x1, y1)]
                parts += [bilinear(table, x0, y0), bilinear(table, x1, y1)]
                token = mlp(torch.cat(parts))
                rows.append(token if drags[b, :, k].any() else torch.zeros_like(token))
    return torch.stack(rows).reshape(batch * frames, count, -1)


class AllToFirst:
    """diffusers attention processor: keys and values of frame 0 copied to every frame.

    Args:
        frames: of each clip.
        fused: torch's fused attention, which keeps no weights, as xformers' does in the published code; otherwise the
            softmax is spelled out.
    """

    def __init__(self, frames: int, fused: bool = False) -> None:
        self.frames, self.fused = frames, fused

    def __call__(self, attn: Attention, hidden_states: torch.Tensor, **_: object) -> torch.Tensor:
        first = hidden_states.unflatten(0, (-1, self.frames))[:, :1]
        source = first.expand(-1, self.frames, -1, -1).reshape(hidden_states.shape)
        query, key, value = (
            attn.head_to_batch_dim(projection(x))
            for projection, x in ((attn.to_q, hidden_states), (attn.to_k, source), (attn.to_v, source))
        )
        if self.fused:
            attended = F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None])[:, 0]
        else:
            attended = torch.softmax(query @ key.transpose(-1, -2) * attn.scale, dim=-1) @ value
        return attn.to_out[0](attn.batch_to_head_dim(attended))


def forward(
    unet: DragSpatioTemporalUNet,
    sample: torch.Tensor,
    timestep: torch.Tensor,
    encoder_hidden_states: torch.Tensor,
    image_latents: torch.Tensor,
    drags: torch.Tensor,
    fast_images: bool = False,
    fused_attention: bool = False,
    checkpointing: bool = False,
) -> torch.Tensor:
    """The published forward with `unet`'s weights.

    Args:
        unet: of the published behaviour (unused slots attended, no dense drag images).
        sample: and the rest: as for `unet` itself, with all K slots filled.
        fast_images: take drag images and token sampling from the vectorised code, for timing: the
            published code has no Python loop there either.
        fused_attention: see `AllToFirst`.
        checkpointing: compute a layer's activations anew in the backward pass.
    """
    batch, frames = sample.shape[:2]
    for module in unet.modules():
        if isinstance(module, TransformerSpatioTemporalModel):
            for block in module.transformer_blocks:
                block.attn1.set_processor(AllToFirst(frames, fused_attention))
    indicator = torch.zeros(batch, frames, device=sample.device, dtype=sample.dtype)
    context = encoder_hidden_states.repeat_interleave(frames, dim=0)
    temb = unet.time_embedding(unet.time_proj(timestep.expand(batch)).to(sample.dtype))
    temb = temb.repeat_interleave(frames, dim=0)
    hidden = torch.cat([sample, image_latents[:, None].repeat(1, frames, 1, 1, 1)], dim=2)
    hidden = unet.conv_in(hidden.flatten(0, 1))

    def transformer(module: TransformerSpatioTemporalModel, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return TransformerSpatioTemporalModel.forward(module, x, c, indicator, return_dict=False)[0]

    def layer(block: DragDownBlock | DragUpBlock, index: int, x: torch.Tensor) -> torch.Tensor:
        x = block.resnets[index](x, temb, indicator)
        if fast_images:
            used = (drags != 0).any(dim=-1)
            from puppet_master.backend.model.drag_encoding import cell_maps
            from puppet_master.backend.model.drag_tokens import drag_tokens

            image = cell_maps(drags, used, *x.shape[-2:])
        else:
            image = drag_image(drags, *x.shape[-2:])
        scale, shift = block.flow_convs[index](image.flatten(0, 1).to(x.dtype)).chunk(2, dim=1)
        x = modulate(x, scale, shift)
        mlp = block.drag_token_mlps[index]
        if fast_images:
            found = drag_tokens(mlp, x, drags, used.any(dim=1), unet.position)
        else:
            found = tokens(mlp, x, drags, unet.config.pos_embed_dim)
        return transformer(block.attentions[index], x, torch.cat([context, found], dim=1))

    run = partial(checkpoint, layer, use_reentrant=False) if checkpointing else layer
    skips = [hidden]
    for block in unet.down_blocks:
        for index, resnet in enumerate(block.resnets):
            conditioned = isinstance(block, DragDownBlock)
            hidden = run(block, index, hidden) if conditioned else resnet(hidden, temb, indicator)
            skips.append(hidden)
        if block.downsamplers is not None:
            hidden = block.downsamplers[0](hidden)
            skips.append(hidden)
    hidden = unet.mid_block.resnets[0](hidden, temb, indicator)
    hidden = transformer(unet.mid_block.attentions[0], hidden, context)
    hidden = unet.mid_block.resnets[1](hidden, temb, indicator)
    for block in unet.up_blocks:
        for index, resnet in enumerate(block.resnets):
            hidden = torch.cat([hidden, skips.pop()], dim=1)
            conditioned = isinstance(block, DragUpBlock)
            hidden = run(block, index, hidden) if conditioned else resnet(hidden, temb, indicator)
        if block.upsamplers is not None:
            hidden = block.upsamplers[0](hidden)
    hidden = unet.conv_out(F.silu(unet.conv_norm_out(hidden)))
    return hidden.reshape(batch, frames, *hidden.shape[1:])

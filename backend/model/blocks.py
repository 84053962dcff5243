# SPDX-License-Identifier: GPL-3.0-or-later
"""The UNet's blocks: diffusers' spatio-temporal ones, with drag conditioning between residual and attention.

Parameter names (`flow_convs`, `drag_token_mlps`) are those of the published weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers.models.resnet import Downsample2D, SpatioTemporalResBlock, Upsample2D
from torch import nn

from .attention import Context, DragTransformer
from .drag_encoding import DragEmbedding
from .drag_tokens import PositionEmbedding, drag_tokens, token_mlp


@dataclass(frozen=True)
class DragConditioning:
    """What the drags ask, as every layer needs it; `N` frames, `K` slots.

    Attributes:
        drags: `[B, N, K, 4]`.
        valid: `[B, K] bool`.
        attend_unused: keep unused slots' zero tokens among the keys, as published.
        image_tokens: `[B, N, 1, D]`, the image embedding repeated over frames.
        no_image_only: `[B + blank, N]` zeros; tells diffusers' blocks the number of frames.
        position: embedding of drag places.
        blank: how many more clips there are, after the B, that are told nothing: no image and no drags.
    """

    drags: torch.Tensor
    valid: torch.Tensor
    attend_unused: bool
    image_tokens: torch.Tensor
    no_image_only: torch.Tensor
    position: PositionEmbedding
    blank: int = 0

    def context(self, tokens: torch.Tensor | None = None, gate: torch.Tensor | None = None) -> Context:
        """The cross-attention's context: the image token, and the drag tokens `[B·N, K, D]` if given, gated."""
        if tokens is None or tokens.shape[1] == 0:
            return Context(self.image_tokens, None, blank=self.blank)
        batch, frames, count = self.drags.shape[:3]
        joined = torch.cat([self.image_tokens, tokens.reshape(batch, frames, count, -1)], dim=2)
        if self.attend_unused:
            return Context(joined, None, gate, self.blank)
        image_is_used = torch.ones_like(self.valid[:, :1])
        return Context(joined, torch.cat([image_is_used, self.valid], dim=1), gate, self.blank)


@dataclass(frozen=True)
class LayerSizes:
    """What a block with drag conditioning is built from."""

    temb_channels: int
    cross_attention_dim: int
    num_attention_heads: int
    transformer_layers: int
    map_channels: int
    embedding_channels: tuple[int, ...]
    position_dim: int
    use_tokens: bool
    gate_tokens: bool
    use_scale: bool
    all_to_first: bool


class DragLayers(nn.Module):
    """The repeated part of a conditioned block: residual block, adaptive normalisation, transformer."""

    def __init__(self, in_channels: list[int], out_channels: int, eps: float, sizes: LayerSizes) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            SpatioTemporalResBlock(
                in_channels=channels, out_channels=out_channels, temb_channels=sizes.temb_channels, eps=eps
            )
            for channels in in_channels
        )
        self.attentions = nn.ModuleList(_transformer(out_channels, sizes) for _ in in_channels)
        self.flow_convs = nn.ModuleList(
            DragEmbedding(
                sizes.map_channels, (2 if sizes.use_scale else 1) * out_channels, sizes.embedding_channels
            )
            for _ in in_channels
        )
        self.use_scale = sizes.use_scale
        if sizes.use_tokens:
            self.drag_token_mlps = nn.ModuleList(
                token_mlp(out_channels, sizes.position_dim, sizes.cross_attention_dim) for _ in in_channels
            )
        self.use_tokens, self.gate_tokens = sizes.use_tokens, sizes.use_tokens and sizes.gate_tokens
        if self.gate_tokens:
            self.token_gates = nn.ParameterList(torch.zeros(1) for _ in in_channels)
        self.gradient_checkpointing = False

    def encode_drags(self, maps: torch.Tensor) -> list[torch.Tensor]:
        """Scale and shift of each layer, `[B·N, 2C, h, w]`, from drag images `[B·N, C', h, w]`; or `C` shifts."""
        return [embedding(maps) for embedding in self.flow_convs]

    def layer(
        self,
        index: int,
        hidden: torch.Tensor,
        temb: torch.Tensor,
        modulation: torch.Tensor,
        conditioning: DragConditioning,
    ) -> torch.Tensor:
        """One residual block, its modulation by the drags and its transformer."""
        hidden = self._checkpointed(self.resnets[index], hidden, temb, conditioning.no_image_only)
        if self.use_scale:
            scale, shift = modulation.chunk(2, dim=1)
            hidden = hidden * (1 + scale) + shift
        else:
            hidden = hidden + modulation
        tokens = None
        told = conditioning.image_tokens.shape[0] * conditioning.image_tokens.shape[1]  # rows that are told the drags
        if self.use_tokens and told:
            tokens = drag_tokens(
                self.drag_token_mlps[index],
                hidden[:told],
                conditioning.drags,
                conditioning.valid,
                conditioning.position,
            )
        gate = self.token_gates[index] if self.gate_tokens else None
        return self._checkpointed(self.attentions[index], hidden, conditioning.context(tokens, gate))

    def _checkpointed(self, module: nn.Module, *inputs: object) -> torch.Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return torch.utils.checkpoint.checkpoint(module, *inputs, use_reentrant=False)
        return module(*inputs)


class DragDownBlock(DragLayers):
    """Layers with drag conditioning, then a downsampling by two unless it is the last block."""

    def __init__(
        self, in_channels: int, out_channels: int, layers: int, add_downsample: bool, sizes: LayerSizes
    ) -> None:
        super().__init__([in_channels] + [out_channels] * (layers - 1), out_channels, 1e-6, sizes)
        self.downsamplers = None
        if add_downsample:
            self.downsamplers = nn.ModuleList(
                [Downsample2D(out_channels, use_conv=True, out_channels=out_channels, padding=1, name="op")]
            )

    def forward(
        self,
        hidden: torch.Tensor,
        temb: torch.Tensor,
        modulations: list[torch.Tensor],
        conditioning: DragConditioning,
        downsample: bool = True,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """`hidden [B·N, C, h, w]` to the block's output and the skips for the way up.

        Without `downsample` the block ends before it, for when the levels below are not run.
        """
        skips: tuple[torch.Tensor, ...] = ()
        for index in range(len(self.resnets)):
            hidden = self.layer(index, hidden, temb, modulations[index], conditioning)
            skips += (hidden,)
        if self.downsamplers is not None and downsample:
            hidden = self.downsamplers[0](hidden)
            skips += (hidden,)
        return hidden, skips


class DragUpBlock(DragLayers):
    """Layers with drag conditioning that take the skips back, then an upsampling unless it is the last."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        previous_channels: int,
        layers: int,
        add_upsample: bool,
        sizes: LayerSizes,
    ) -> None:
        arriving = [previous_channels] + [out_channels] * (layers - 1)
        skipped = [out_channels] * (layers - 1) + [in_channels]
        joined = [a + s for a, s in zip(arriving, skipped, strict=True)]
        super().__init__(joined, out_channels, 1e-5, sizes)
        self.upsamplers = None
        if add_upsample:
            self.upsamplers = nn.ModuleList(
                [Upsample2D(out_channels, use_conv=True, out_channels=out_channels)]
            )

    def forward(
        self,
        hidden: torch.Tensor,
        skips: tuple[torch.Tensor, ...],
        temb: torch.Tensor,
        modulations: list[torch.Tensor],
        conditioning: DragConditioning,
        upsample_size: tuple[int, int] | None,
    ) -> torch.Tensor:
        """`hidden [B·N, C, h, w]` and the skips, last one first, to the block's output."""
        for index, skip in zip(range(len(self.resnets)), reversed(skips), strict=True):
            hidden = torch.cat([hidden, skip], dim=1)
            hidden = self.layer(index, hidden, temb, modulations[index], conditioning)
        if self.upsamplers is not None:
            hidden = self.upsamplers[0](hidden, upsample_size)
        return hidden


class MidBlock(nn.Module):
    """Residual block, transformer, residual block; knows the image, not the drags."""

    def __init__(self, channels: int, sizes: LayerSizes) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            SpatioTemporalResBlock(
                in_channels=channels, out_channels=channels, temb_channels=sizes.temb_channels, eps=1e-5
            )
            for _ in range(2)
        )
        self.attentions = nn.ModuleList([_transformer(channels, sizes)])

    def forward(
        self, hidden: torch.Tensor, temb: torch.Tensor, conditioning: DragConditioning
    ) -> torch.Tensor:
        """`hidden [B·N, C, h, w]` to the same shape."""
        hidden = self.resnets[0](hidden, temb, conditioning.no_image_only)
        hidden = self.attentions[0](hidden, conditioning.context())
        return self.resnets[1](hidden, temb, conditioning.no_image_only)


def _transformer(channels: int, sizes: LayerSizes) -> DragTransformer:
    return DragTransformer(
        sizes.num_attention_heads,
        channels // sizes.num_attention_heads,
        in_channels=channels,
        num_layers=sizes.transformer_layers,
        cross_attention_dim=sizes.cross_attention_dim,
        all_to_first=sizes.all_to_first,
    )

# SPDX-License-Identifier: GPL-3.0-or-later
"""The drag-conditioned spatio-temporal UNet (Puppet-Master, arXiv 2408.04631, on Stable Video Diffusion)."""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_3d_blocks import DownBlockSpatioTemporal, UpBlockSpatioTemporal
from torch import nn
from torch.nn import functional as F

from .blocks import DragConditioning, DragDownBlock, DragUpBlock, LayerSizes, MidBlock
from .drag_encoding import carried_still, cell_maps, dense_maps, map_channels
from .drag_tokens import PositionEmbedding

DragMaps = list[list[torch.Tensor]]
"""Scale and shift `[B·N, 2C, h, w]` of each layer of each conditioned block, down blocks first; or `C` shifts."""


class DragSpatioTemporalUNet(ModelMixin, ConfigMixin):
    """SVD's UNet with adaptive normalisation by drags, drag tokens and all-to-first spatial attention.

    One class serves every size: any number of frames, any width and height, any number of drag slots.
    The last (lowest) level and the mid block know no drags, as published.

    Args:
        in_channels: channels of the noisy latents and the still's latents together.
        out_channels: channels of the prediction.
        block_out_channels: channels of each level, multiples of 32.
        layers_per_block: layers of each level on the way down (one more on the way up).
        cross_attention_dim: length of the image embedding and of the drag tokens.
        num_attention_heads: heads of each level.
        transformer_layers_per_block: transformer blocks per layer.
        num_drags: number of drag slots K the drag images have; `drags` may have fewer, never more.
        num_frames: frames the weights were trained for; any other number runs.
        pos_embed_dim: length of the position embedding in the drag tokens, a multiple of 4.
        drag_embedder_out_channels: hidden channels of the drag images' conv nets.
        drag_token_cross_attn: whether drags become tokens.
        dense_bandwidths: Gaussian widths, in image sides, of the soft drag images that are stacked beside the
            single cells; none in the published model (see `drag_encoding.dense_maps`).
        attend_unused_drags: keep unused slots among the cross-attention's keys, as published.
        validity_per_frame: without a `drag_mask`, a drag is left out of just those frames in which its
            numbers are all zero, as published; otherwise only a drag that is zero throughout is unused.
        norm_num_groups: groups of every group normalisation; 32 in SVD. A narrow model needs fewer: with one
            channel a group the normalisation after the noise-level embedding would erase it.
        carry_bandwidths: Gaussian widths of the versions of the still, carried along by the drags, that join the
            input; none in the published model (see `drag_encoding.carried_still`).
        drag_token_gate: weigh what the drags' tokens change by a factor per layer that is learned and starts at zero,
            so that tokens can join a model that was trained without; not in the published model.
        drag_end_location: whether the drag images say in every frame where a drag ends, as published.
        drag_scale: whether the adaptive normalisation scales, as published, or shifts alone.
        all_to_first: whether spatial self-attention looks at frame 0, as published, or at each frame itself, as in SVD.
    """

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        in_channels: int = 8,
        out_channels: int = 4,
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        cross_attention_dim: int = 1024,
        num_attention_heads: tuple[int, ...] = (5, 10, 20, 20),
        transformer_layers_per_block: int = 1,
        num_drags: int = 5,
        num_frames: int = 14,
        pos_embed_dim: int = 64,
        drag_embedder_out_channels: tuple[int, ...] = (256, 320, 320),
        drag_token_cross_attn: bool = True,
        dense_bandwidths: tuple[float, ...] = (),
        attend_unused_drags: bool = False,
        validity_per_frame: bool = False,
        norm_num_groups: int = 32,
        carry_bandwidths: tuple[float, ...] = (),
        drag_token_gate: bool = False,
        drag_end_location: bool = True,
        drag_scale: bool = True,
        all_to_first: bool = True,
    ) -> None:
        super().__init__()
        if len(num_attention_heads) != len(block_out_channels):
            raise ValueError(
                f"num_attention_heads {num_attention_heads} must have one entry per level of "
                f"block_out_channels {block_out_channels}"
            )
        first = block_out_channels[0]
        temb_channels = first * 4
        # `in_channels` is noisy latents and still together; each carried still is another half of it.
        carried = len(carry_bandwidths) * (in_channels - out_channels)
        self.conv_in = nn.Conv2d(in_channels + carried, first, 3, padding=1)
        self.time_proj = Timesteps(first, True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(first, temb_channels)
        self.position = PositionEmbedding(pos_embed_dim)
        sizes = [
            LayerSizes(
                temb_channels=temb_channels,
                cross_attention_dim=cross_attention_dim,
                num_attention_heads=heads,
                transformer_layers=transformer_layers_per_block,
                map_channels=map_channels(num_drags, tuple(dense_bandwidths), drag_end_location),
                embedding_channels=tuple(drag_embedder_out_channels),
                position_dim=pos_embed_dim,
                use_tokens=drag_token_cross_attn,
                gate_tokens=drag_token_gate,
                use_scale=drag_scale,
                all_to_first=all_to_first,
            )
            for heads in num_attention_heads
        ]
        self.down_blocks = _down_blocks(block_out_channels, layers_per_block, sizes)
        self.mid_block = MidBlock(block_out_channels[-1], sizes[-1])
        self.up_blocks = _up_blocks(block_out_channels, layers_per_block + 1, sizes)
        self.conv_norm_out = nn.GroupNorm(norm_num_groups, first, eps=1e-5)
        self.conv_out = nn.Conv2d(first, out_channels, 3, padding=1)
        if norm_num_groups != 32:
            _regroup(self, norm_num_groups)

    def encode_drags(
        self, drags: torch.Tensor, height: int, width: int, drag_mask: torch.Tensor | None = None
    ) -> DragMaps:
        """Scales and shifts of all layers: they depend on the drags alone, so once per clip is enough.

        Args:
            drags: `[B, N, K, 4]`, (x_start, y_start, x_now, y_now) normalised.
            height: of the latents.
            width: of the latents.
            drag_mask: `[B, K] bool`, True for drags in use; see `forward`.

        Raises:
            ValueError: more drags than the model has slots.
        """
        drags, on_frames, _ = self._fill_slots(drags, drag_mask)
        maps_of_size: dict[tuple[int, int], torch.Tensor] = {}
        maps: DragMaps = []
        for block, size in self._conditioned_blocks(height, width):
            if size not in maps_of_size:
                maps_of_size[size] = self._drag_images(drags, on_frames, *size).to(self.dtype)
            maps.append(block.encode_drags(maps_of_size[size]))
        return maps

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | float,
        encoder_hidden_states: torch.Tensor,
        image_latents: torch.Tensor,
        drags: torch.Tensor,
        drag_mask: torch.Tensor | None = None,
        drag_maps: DragMaps | None = None,
        deep: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Predict from noisy latents what the preconditioning asks for (v, for SVD).

        Clips of `sample` beyond the B that are described are unconditional: they are told no image and no drags.
        That equals a description of zeros, exactly, and costs no cross-attention and no drag tokens.

        Args:
            sample: noisy latents, `[B + U, N, 4, H, W]`.
            timestep: `0.25 * log(sigma)`; a number, or `[]`, `[1]` or `[B]`.
            encoder_hidden_states: image embedding, `[B, 1, D]`.
            image_latents: the still's latents, `[B, 4, H, W]`.
            drags: `[B, N, K, 4]`, (x_start, y_start, x_now, y_now) normalised; K may be 0.
            drag_mask: `[B, K] bool`, True for drags in use. Absent: a drag whose numbers are all zero is
                unused, as published.
            drag_maps: what `encode_drags` gave for these drags, then for no drags (U); computed here when absent,
                which takes U = 0.
            deep: what `deep_features` gave at a nearby noise level, in place of running the levels below the first.
                Not exact.

        Returns:
            Like `sample`.

        Raises:
            ValueError: more drags than the model has slots.
        """
        described = (sample, timestep, encoder_hidden_states, image_latents, drags, drag_mask, drag_maps)
        return self.forward_with_deep_features(*described, deep=deep)[0]

    def forward_with_deep_features(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | float,
        encoder_hidden_states: torch.Tensor,
        image_latents: torch.Tensor,
        drags: torch.Tensor,
        drag_mask: torch.Tensor | None = None,
        drag_maps: DragMaps | None = None,
        deep: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`forward`, and what the levels below the first gave: `[(B + U)·N, C, H, W]`, good as `deep` of a later call.

        They change slowly from one noise level to the next (DeepCache, arXiv 2312.00858).
        """
        height, width = sample.shape[-2:]
        if drag_maps is None:
            drag_maps = self.encode_drags(drags, height, width, drag_mask)
        conditioning = self._conditioning(drags, drag_mask, encoder_hidden_states, sample)
        temb = self._time_embedding(timestep, sample)
        inputs = [sample, *self._image_inputs(image_latents.to(sample.dtype), drags, drag_mask, len(sample))]
        hidden = self.conv_in(torch.cat(inputs, dim=2).flatten(0, 1))
        if deep is None:
            hidden, deep = self._run_blocks(hidden, temb, drag_maps, conditioning)
        else:
            hidden = self._run_first_level(hidden, temb, drag_maps, conditioning, deep)
        hidden = self.conv_out(F.silu(self.conv_norm_out(hidden)))
        return hidden.unflatten(0, sample.shape[:2]), deep

    def _run_first_level(
        self,
        hidden: torch.Tensor,
        temb: torch.Tensor,
        drag_maps: DragMaps,
        conditioning: DragConditioning,
        deep: torch.Tensor,
    ) -> torch.Tensor:
        """The first level down and the last one up; between them `deep`."""
        _, skips = self.down_blocks[0](hidden, temb, drag_maps[0], conditioning, downsample=False)
        return self.up_blocks[-1](deep, (hidden, *skips), temb, drag_maps[-1], conditioning, None)

    def _run_blocks(
        self, hidden: torch.Tensor, temb: torch.Tensor, drag_maps: DragMaps, conditioning: DragConditioning
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """All levels; also what enters the last block."""
        modulations = iter(drag_maps)
        skips: tuple[torch.Tensor, ...] = (hidden,)
        for block in self.down_blocks:
            if isinstance(block, DragDownBlock):
                hidden, more = block(hidden, temb, next(modulations), conditioning)
            else:
                hidden, more = block(hidden, temb, conditioning.no_image_only)
            skips += more
        hidden = self.mid_block(hidden, temb, conditioning)
        deep = hidden
        for block in self.up_blocks:
            deep = hidden
            count = len(block.resnets)
            skips, mine = skips[:-count], skips[-count:]
            # A size that is no multiple of the downsampling returns to its own size, not to twice the half.
            size = tuple(skips[-1].shape[-2:]) if skips else None
            if isinstance(block, DragUpBlock):
                hidden = block(hidden, mine, temb, next(modulations), conditioning, size)
            else:
                hidden = block(hidden, mine, temb, conditioning.no_image_only, size)
        return hidden, deep

    def _image_inputs(
        self, image_latents: torch.Tensor, drags: torch.Tensor, drag_mask: torch.Tensor | None, clips: int
    ) -> list[torch.Tensor]:
        """What joins the noisy latents: the still in every frame, and the still carried by the drags; zeros beyond."""
        batch, frames = drags.shape[:2]
        inputs = [image_latents[:, None].expand(batch, frames, *image_latents.shape[1:])]
        bandwidths = tuple(self.config.carry_bandwidths)
        if bandwidths:
            by_frame, _ = self._validity(drags, drag_mask)
            inputs.append(carried_still(image_latents, drags.float(), by_frame, bandwidths))
        if clips > batch:
            inputs = [torch.cat([part, part.new_zeros(clips - batch, *part.shape[1:])]) for part in inputs]
        return inputs

    def _time_embedding(self, timestep: torch.Tensor | float, sample: torch.Tensor) -> torch.Tensor:
        """`[B·N, 4C]`: the noise level, the same for all frames of a clip."""
        batch, frames = sample.shape[:2]
        timestep = torch.as_tensor(timestep, dtype=torch.float32, device=sample.device).reshape(-1)
        embedding = self.time_embedding(self.time_proj(timestep).to(sample.dtype))
        return embedding[:, None].expand(batch, frames, embedding.shape[-1]).reshape(batch * frames, -1)

    def _conditioning(
        self,
        drags: torch.Tensor,
        drag_mask: torch.Tensor | None,
        image_embedding: torch.Tensor,
        sample: torch.Tensor,
    ) -> DragConditioning:
        batch, frames = drags.shape[:2]
        if self.config.attend_unused_drags:
            # As published, empty slots are among the keys: so all of them must be there.
            drags, _, valid = self._fill_slots(drags, drag_mask)
        else:
            _, valid = self._validity(drags, drag_mask)
        tokens = image_embedding.to(sample.dtype)[:, None].expand(batch, frames, *image_embedding.shape[1:])
        return DragConditioning(
            drags=drags.float(),
            valid=valid,
            attend_unused=self.config.attend_unused_drags,
            image_tokens=tokens,
            no_image_only=torch.zeros(len(sample), frames, dtype=sample.dtype, device=sample.device),
            position=self.position,
            blank=len(sample) - batch,
        )

    def _validity(
        self, drags: torch.Tensor, drag_mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Where drags are in use: by frame `[B, N, K]`, and at all `[B, K]`."""
        if drag_mask is not None:
            return drag_mask[:, None].expand(drags.shape[:3]), drag_mask
        by_frame = (drags != 0).any(dim=-1)
        at_all = by_frame.any(dim=1)
        if not self.config.validity_per_frame:
            by_frame = at_all[:, None].expand(drags.shape[:3])
        return by_frame, at_all

    def _fill_slots(
        self, drags: torch.Tensor, drag_mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Pad the drags to the model's slots: `[B, N, K, 4]` float32, `[B, N, K] bool`, `[B, K] bool`."""
        spare = self.config.num_drags - drags.shape[2]
        if spare < 0:
            raise ValueError(
                f"{drags.shape[2]} drags, but the model has {self.config.num_drags} slots; remove some"
            )
        by_frame, at_all = self._validity(drags, drag_mask)
        return F.pad(drags.float(), (0, 0, 0, spare)), F.pad(by_frame, (0, spare)), F.pad(at_all, (0, spare))

    def _drag_images(
        self, drags: torch.Tensor, on_frames: torch.Tensor, height: int, width: int
    ) -> torch.Tensor:
        """The drag images of one grid, `[B·N, C, height, width]` float32."""
        images = cell_maps(drags, on_frames, height, width, self.config.drag_end_location)
        bandwidths = tuple(self.config.dense_bandwidths)
        if bandwidths:
            images = torch.cat([images, dense_maps(drags, on_frames, height, width, bandwidths)], dim=2)
        return images.flatten(0, 1)

    def _conditioned_blocks(
        self, height: int, width: int
    ) -> list[tuple[DragDownBlock | DragUpBlock, tuple[int, int]]]:
        """The blocks that know the drags, each with its grid; a downsampling rounds up."""
        levels = [(height, width)]
        while len(levels) < len(self.down_blocks):
            levels.append(tuple(-(-side // 2) for side in levels[-1]))
        down = list(zip(self.down_blocks, levels, strict=True))
        up = list(zip(self.up_blocks, reversed(levels), strict=True))
        return [(block, size) for block, size in down + up if isinstance(block, (DragDownBlock, DragUpBlock))]


def _down_blocks(channels: tuple[int, ...], layers: int, sizes: list[LayerSizes]) -> nn.ModuleList:
    blocks = nn.ModuleList()
    for level, out_channels in enumerate(channels):
        in_channels = channels[max(level - 1, 0)]
        last = level == len(channels) - 1
        if last:
            block: nn.Module = DownBlockSpatioTemporal(
                in_channels, out_channels, sizes[level].temb_channels, layers, add_downsample=False
            )
        else:
            block = DragDownBlock(in_channels, out_channels, layers, True, sizes[level])
        blocks.append(block)
    return blocks


def _up_blocks(channels: tuple[int, ...], layers: int, sizes: list[LayerSizes]) -> nn.ModuleList:
    blocks = nn.ModuleList()
    for level in reversed(range(len(channels))):
        out_channels = channels[level]
        previous = channels[min(level + 1, len(channels) - 1)]
        in_channels = channels[max(level - 1, 0)]
        upsample = level > 0
        if level == len(channels) - 1:
            block: nn.Module = UpBlockSpatioTemporal(
                in_channels,
                previous,
                out_channels,
                sizes[level].temb_channels,
                num_layers=layers,
                resnet_eps=1e-5,
                add_upsample=upsample,
            )
        else:
            block = DragUpBlock(in_channels, out_channels, previous, layers, upsample, sizes[level])
        blocks.append(block)
    return blocks


def _regroup(module: nn.Module, groups: int) -> None:
    """Give every group normalisation below `module` another number of groups; the weights' shapes stay.

    diffusers' spatio-temporal blocks have 32 written into them; so the number is changed after they are built.
    """
    for part in module.modules():
        if isinstance(part, nn.GroupNorm):
            part.num_groups = groups

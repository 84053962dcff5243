# SPDX-License-Identifier: GPL-3.0-or-later
"""A drag-conditioned UNet that begins as Stable Video Diffusion's.

All of SVD's weights are taken; what is new begins at zero. So the untrained model computes, with any drags, what SVD
does with all-to-first spatial attention: the adaptive normalisation's last convolution is zero, and so is the gate by
which the drags' tokens take part in the cross-attention. SVD's embedding of frame rate, motion strength and noise
augmentation is gone from the model; what it adds for SVD's usual values is a constant, and joins the bias of the
noise level's embedding. (What remains of a difference, 1e-4 of the output, is the up blocks' normalisation: its epsilon
is 1e-5 in the published model and 1e-6 in diffusers' SVD.)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from safetensors.torch import load_file

from ..backend.errors import ModelError
from ..backend.model import DragSpatioTemporalUNet
from .settings import UnetSettings

SVD_UNET = "UNetSpatioTemporalConditionModel"
WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")
USUAL = (6.0, 127.0, 0.02)  # frame rate - 1, motion bucket, noise augmentation: SVD's pipeline's defaults
SAME = (
    "in_channels", "out_channels", "block_out_channels", "layers_per_block", "cross_attention_dim",
    "transformer_layers_per_block", "num_frames",
)  # fmt: skip
NEW = ("flow_convs", "drag_token_mlps", "token_gates")
OURS = (
    "num_drags", "pos_embed_dim", "drag_embedder_out_channels", "drag_token_cross_attn", "dense_bandwidths",
    "carry_bandwidths", "drag_end_location", "drag_scale", "all_to_first",
)  # fmt: skip


def unet_from_svd(folder: Path, settings: UnetSettings) -> DragSpatioTemporalUNet:
    """The UNet of `folder` with layers for drags.

    Args:
        folder: with SVD's UNet, `config.json` and weights as safetensors.
        settings: of which the fields that concern drags are taken.

    Raises:
        ModelError: the weights are missing, or are not those of SVD's UNet.
    """
    svd = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    path = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        raise ModelError(f"there is no {WEIGHTS[0]} in {folder}; get the model anew")
    unet = DragSpatioTemporalUNet(**_arguments(svd, settings))
    weights = {name: value.float() for name, value in load_file(path).items()}
    weights = _without_added_embedding(weights, svd)
    weights["conv_in.weight"] = _with_carried(weights["conv_in.weight"], unet.conv_in.weight)
    missing, unexpected = unet.load_state_dict(weights, strict=False)
    missing = [name for name in missing if not any(part in name for part in NEW)]
    if missing or unexpected:
        wrong = missing[0] + " is missing" if missing else unexpected[0] + " is not part of it"
        raise ModelError(f"{path} does not hold the weights of {SVD_UNET}: {wrong}")
    return unet


def _arguments(svd: dict[str, Any], settings: UnetSettings) -> dict[str, Any]:
    heads, levels = svd["num_attention_heads"], len(svd["block_out_channels"])
    found = {name: svd[name] for name in SAME}
    found["num_attention_heads"] = heads if isinstance(heads, list) else [heads] * levels
    found |= {name: getattr(settings, name) for name in OURS}
    found |= {"norm_num_groups": 32, "drag_token_gate": settings.drag_token_cross_attn}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


@torch.no_grad()
def _without_added_embedding(weights: dict[str, torch.Tensor], svd: dict[str, Any]) -> dict[str, torch.Tensor]:
    """SVD's weights with the embedding of `USUAL` folded into the noise level's."""
    prefix = "add_embedding."
    added = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    kept = {name: value for name, value in weights.items() if not name.startswith(prefix)}
    project = Timesteps(svd["addition_time_embed_dim"], True, downscale_freq_shift=0)
    embed = TimestepEmbedding(svd["projection_class_embeddings_input_dim"], svd["block_out_channels"][0] * 4)
    embed.load_state_dict(added)
    constant = embed(project(torch.tensor(USUAL)).reshape(1, -1))[0]
    kept["time_embedding.linear_2.bias"] = kept["time_embedding.linear_2.bias"] + constant
    return kept


def _with_carried(weight: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """The first convolution's weight, with zeros for the inputs that SVD does not have."""
    padded = torch.zeros_like(wanted)
    padded[:, : weight.shape[1]] = weight
    return padded

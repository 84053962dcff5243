# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of the diffusion stages: UNet and image encoder, new, from a folder, or from a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers.models.resnet import SpatioTemporalResBlock
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from ..backend.errors import InputError, ModelError
from ..backend.model import DragSpatioTemporalUNet
from ..backend.model.attention import DragTransformer
from ..backend.model.drag_encoding import DragEmbedding
from ..backend.registry import read_json
from ..backend.sampling import precondition
from .checkpoint import ABOUT, CHECKPOINT, NETWORKS, SNAPSHOTS
from .ema import combination
from .settings import DiffusionSettings
from .stream import Batch
from .svd import SVD_UNET, unet_from_svd

UNITS = (SpatioTemporalResBlock, DragTransformer, DragEmbedding)
ENCODER_KEYS = (
    "hidden_size", "intermediate_size", "projection_dim", "num_hidden_layers", "num_attention_heads", "image_size",
    "patch_size", "hidden_act", "layer_norm_eps",
)  # fmt: skip

Conditions = dict[str, torch.Tensor]
"""What the UNet is told besides noisy latents and noise level, by its arguments' names."""


class Conditioned(nn.Module):
    """UNet and image encoder together."""

    def __init__(self, unet: DragSpatioTemporalUNet, encoder: CLIPVisionModelWithProjection) -> None:
        super().__init__()
        self.unet, self.encoder = unet, encoder

    def conditions(self, batch: Batch, keep: torch.Tensor) -> Conditions:
        """A batch's conditions; where `keep` `[B]` is 0, those of the unconditional branch of sampling."""
        embedding = self.encoder(batch["still"]).image_embeds[:, None]
        return {
            "encoder_hidden_states": embedding * keep[:, None, None],
            "image_latents": batch["image_latents"] * keep[:, None, None, None],
            "drags": batch["drags"] * keep[:, None, None, None],
            "drag_mask": batch["drag_mask"] & (keep > 0)[:, None],
        }

    def denoise(self, noisy: torch.Tensor, sigma: torch.Tensor, conditions: Conditions, **more: Any) -> torch.Tensor:
        """The clean estimate `[B, N, 4, h, w]` of noisy targets at noise levels `[B]`, float32."""
        c_skip, c_out, _, _ = precondition(_wide(sigma))
        return c_skip * noisy + c_out * self.predict(noisy, sigma, conditions, **more)

    def predict(self, noisy: torch.Tensor, sigma: torch.Tensor, conditions: Conditions, **more: Any) -> torch.Tensor:
        """The UNet's own output for noisy targets, float32; see `backend.sampling`."""
        c_in = precondition(_wide(sigma))[2]
        return self.unet(c_in * noisy, precondition(sigma)[3], **conditions, **more).float()


def _wide(sigma: torch.Tensor) -> torch.Tensor:
    return sigma.reshape(-1, 1, 1, 1, 1)


def make_networks(settings: DiffusionSettings) -> Conditioned:
    """The networks that a configuration asks for.

    Raises:
        ModelError: the folder to start from cannot be used.
    """
    if settings.init is not None:
        return networks_from(settings.init, settings)
    unet = DragSpatioTemporalUNet(**unet_arguments(settings))
    encoder = settings.encoder.model_dump() | {"projection_dim": settings.unet.cross_attention_dim}
    return Conditioned(unet, CLIPVisionModelWithProjection(CLIPVisionConfig(**encoder)))


def unet_arguments(settings: DiffusionSettings) -> dict[str, Any]:
    """The UNet's arguments, lists as the tuples it expects."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in settings.unet.model_dump().items()}


def networks_from(folder: Path, settings: DiffusionSettings) -> Conditioned:
    """The networks of a folder of Stable Video Diffusion, or of a model of ours."""
    is_svd = read_json(folder / "unet" / "config.json").get("_class_name") == SVD_UNET
    try:
        if is_svd:
            unet = unet_from_svd(folder / "unet", settings.unet)
        else:
            unet = DragSpatioTemporalUNet.from_pretrained(folder / "unet", local_files_only=True)
        encoder = CLIPVisionModelWithProjection.from_pretrained(folder / "image_encoder", local_files_only=True)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, SafetensorError) as error:
        raise ModelError(f"diffusion.init = '{folder}' cannot be loaded: {_first_line(error)}") from error
    return Conditioned(unet.float(), encoder.float())


def describe(networks: Conditioned) -> dict[str, Any]:
    """What `rebuild` needs."""
    unet = {name: value for name, value in networks.unet.config.items() if not name.startswith("_")}
    encoder = {name: getattr(networks.encoder.config, name) for name in ENCODER_KEYS}
    return {"unet": unet, "encoder": encoder}


def rebuild(about: dict[str, Any]) -> Conditioned:
    """Untrained networks of a description."""
    unet = {name: tuple(value) if isinstance(value, list) else value for name, value in about["unet"].items()}
    encoder = CLIPVisionModelWithProjection(CLIPVisionConfig(**about["encoder"]))
    return Conditioned(DragSpatioTemporalUNet(**unet), encoder)


def read_about(run: Path) -> dict[str, Any]:
    """What a run's `run.json` says. Raises `InputError` if it is no run."""
    try:
        return json.loads((run / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{run / ABOUT} cannot be read: {error}; give the folder of a run") from error


def networks_of_run(run: Path, length: float) -> tuple[Conditioned, dict[str, Any]]:
    """A run's networks with an average of any length for their weights; and what `run.json` says.

    Raises:
        InputError: it is no run of a diffusion stage, or has no snapshots yet.
        ModelError: its files are damaged.
    """
    about = read_about(run)
    if "unet" not in about:
        raise InputError(f"{run} is a run of the stage {about.get('kind')}, which has no UNet; give one of diffusion")
    networks = rebuild(about)
    try:
        stored = torch.load(run / CHECKPOINT, weights_only=True, map_location="cpu", mmap=True)["model"]
        weights = {name.removeprefix(NETWORKS): value for name, value in stored.items()}
        weights |= averaged_weights(run, length)
        networks.load_state_dict({name: value for name, value in weights.items() if name in networks.state_dict()})
    except (OSError, RuntimeError, KeyError, SafetensorError) as error:
        raise ModelError(f"the run {run} cannot be read: {_first_line(error)}; go on training it first") from error
    return networks.eval().requires_grad_(False), about


def averaged_weights(run: Path, length: float) -> dict[str, torch.Tensor]:
    """The weights' average of any length at the run's last snapshot, float32.

    Raises:
        InputError: there are no snapshots yet.
    """
    found = sorted((run / SNAPSHOTS).glob("*.safetensors"))
    if not found:
        raise InputError(f"there are no averaged weights in {run / SNAPSHOTS}; train first")
    times, lengths = zip(*(map(float, path.stem.split("-")) for path in found), strict=True)
    factors = combination(times, lengths, max(times), length)
    total: dict[str, torch.Tensor] = {}
    for path, factor in zip(found, factors.tolist(), strict=True):
        with safe_open(path, "pt") as stored:
            for name in stored.keys():  # noqa: SIM118 - not a dict
                part = stored.get_tensor(name).float() * factor
                total[name] = total[name] + part if name in total else part
    return total


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

# SPDX-License-Identifier: GPL-3.0-or-later
"""Assemble a model folder that the backend loads, from trained parts."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import torch
from diffusers import EulerDiscreteScheduler

from ..backend.autoencoder import Autoencoder
from ..backend.errors import InputError
from ..backend.pipeline import PreviewPipeline
from ..backend.registry import CARD, SUMS, ModelInfo, file_sums
from .diffusion import Conditioned, DiffusionSettings, build_model
from .vae import load_vae


def load_average(run: Path, settings: DiffusionSettings) -> Conditioned:
    """The averaged weights of a training run.

    Raises:
        InputError: the run has none yet.
    """
    path = run / "ema.pt"
    if not path.is_file():
        raise InputError(f"there are no averaged weights in {run} ({path.name}); train first")
    model = build_model(settings)
    model.load_state_dict(torch.load(path, weights_only=True, map_location="cpu")["ema"])
    return model.eval()


def publish_run(run: Path, vae: Path, out: Path, recipe: ModuleType) -> Path:
    """Publish the averaged weights of a training run.

    Args:
        run: folder that `train_diffusion` wrote.
        vae: folder of the VAE its latents were made with.
        out: model folder.
        recipe: module with the recipe, such as `training.tiny`.
    """
    trained = json.loads((run / "settings.json").read_text(encoding="utf-8"))
    autoencoder = load_vae(vae)
    info = ModelInfo(
        name=recipe.NAME,
        num_drags=recipe.SLOTS,
        width=recipe.SIZE,
        height=recipe.SIZE,
        frames=recipe.FRAMES,
        steps=recipe.STEPS,
        guidance=(1.0, 1.0),
        latent_target="residual",
        target_scale=trained["residual_scale"],
        sigma_min=recipe.SIGMA_RANGE[0],
        sigma_max=recipe.SIGMA_RANGE[1],
        latent_pixels=2 ** (len(recipe.VAE.block_out_channels) - 1),
        keep_still_detail=True,
        licence=recipe.LICENCE,
    )
    return publish(load_average(run, recipe.DIFFUSION), autoencoder, info, out)


def publish(model: Conditioned, vae: Autoencoder, info: ModelInfo, out: Path) -> Path:
    """Write a model folder in diffusers' layout, float16, with checksums; replaces an older one when whole."""
    staging = out.with_name(f".{out.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    # Copies in half precision; the caller's parts stay as they are.
    _half(model.unet).save_pretrained(staging / "unet")
    _half(vae).save_pretrained(staging / "vae")
    _half(model.encoder).save_pretrained(staging / "image_encoder")
    EulerDiscreteScheduler(
        prediction_type="v_prediction",
        timestep_type="continuous",
        use_karras_sigmas=True,
        sigma_min=info.sigma_min,
        sigma_max=info.sigma_max,
        timestep_spacing="leading",
    ).save_pretrained(staging / "scheduler")
    _write_json(staging / CARD, asdict(info))
    _write_json(
        staging / "model_index.json",
        {
            "_class_name": "PreviewPipeline",
            "unet": ["puppet_master", "DragSpatioTemporalUNet"],
            "vae": ["diffusers", type(vae).__name__],
            "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
            "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        },
    )
    lines = [f"{digest}  {name}\n" for name, digest in file_sums(staging).items()]
    (staging / SUMS).write_text("".join(lines), encoding="utf-8")
    PreviewPipeline.load(staging)
    shutil.rmtree(out, ignore_errors=True)
    staging.rename(out)
    return out


def _half(part: torch.nn.Module) -> torch.nn.Module:
    if hasattr(part, "from_config"):
        # Where this machine keeps its work is nobody's business.
        config = {name: value for name, value in part.config.items() if name != "_name_or_path"}
        twin = type(part).from_config(config)
    else:
        twin = type(part)(part.config)
    twin.load_state_dict(part.state_dict())
    return twin.half()


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

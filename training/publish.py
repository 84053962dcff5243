# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage `publish`: a model folder that the backend loads, from trained parts."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

from diffusers import AutoencoderDC, EulerDiscreteScheduler

from ..backend.autoencoder import Autoencoder
from ..backend.errors import OutputError
from ..backend.pipeline import PreviewPipeline
from ..backend.registry import CARD, MOTION, SUMS, ModelInfo, file_sums
from .model_files import half, write_json
from .networks import Conditioned, networks_of_run, read_about
from .publish_motion import publish_motion
from .settings import PublishSettings
from .stages import STAGES, Job
from .vae import load_vae, vae_folder


def run(job: Job) -> None:
    """The stage `publish`; done by the first process."""
    settings = job.config.section("publish")
    source = job.config.folder(settings.source) if settings.source in STAGES else Path(settings.source)
    out = settings.out or job.config.out / "model"
    if job.processes.is_main_process:
        if read_about(source).get("kind") == MOTION:
            made = publish_motion(source, out, settings)
        else:
            made = publish_run(source, settings.vae or vae_folder(job.config), out, settings)
        job.say(f"publish: {made}")
    job.processes.wait_for_everyone()


def publish_run(run: Path, vae: Path, out: Path, settings: PublishSettings) -> Path:
    """Publish averaged weights of a run.

    Args:
        run: folder of a run of the stages `diffusion` or `distill`.
        vae: folder of the VAE its latents were made with.
        out: model folder.
        settings: what the model is called, and how it is sampled.

    Raises:
        InputError, ModelError: the run or the VAE cannot be used.
        OutputError: `out` cannot be written.
    """
    networks, about = networks_of_run(run, settings.ema)
    autoencoder = load_vae(vae)
    # A distilled model is good for the noise levels it was distilled at.
    sampling = {name: getattr(settings, name) for name in ("steps", "guidance", "sigma_min", "sigma_max")}
    sampling |= about.get("sampling", {})
    info = ModelInfo(
        name=settings.name,
        num_drags=networks.unet.config.num_drags,
        width=settings.width,
        height=settings.height,
        frames=networks.unet.config.num_frames,
        steps=sampling["steps"],
        guidance=tuple(sampling["guidance"]),
        latent_target=about["target"],
        target_scale=about["target_scale"],
        sigma_min=sampling["sigma_min"],
        sigma_max=sampling["sigma_max"],
        latent_pixels=_latent_pixels(autoencoder),
        keep_still_detail=settings.keep_still_detail,
        licence=settings.licence,
    )
    try:
        return publish(networks, autoencoder, info, out)
    except OSError as error:
        raise OutputError(f"cannot write the model to {out}: {error.strerror or error}") from error


def _latent_pixels(vae: Autoencoder) -> int:
    kept = "encoder_block_out_channels" if isinstance(vae, AutoencoderDC) else "block_out_channels"
    return 2 ** (len(vae.config[kept]) - 1)


def publish(model: Conditioned, vae: Autoencoder, info: ModelInfo, out: Path) -> Path:
    """Write a model folder in diffusers' layout, float16, with checksums; replaces an older one when whole."""
    staging = out.with_name(f".{out.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    # Copies in half precision; the caller's parts stay as they are.
    half(model.unet).save_pretrained(staging / "unet")
    half(vae).save_pretrained(staging / "vae")
    half(model.encoder).save_pretrained(staging / "image_encoder")
    EulerDiscreteScheduler(
        prediction_type="v_prediction",
        timestep_type="continuous",
        use_karras_sigmas=True,
        sigma_min=info.sigma_min,
        sigma_max=info.sigma_max,
        timestep_spacing="leading",
    ).save_pretrained(staging / "scheduler")
    write_json(staging / CARD, asdict(info))
    write_json(
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

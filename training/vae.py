# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage `vae`: a small diffusers `AutoencoderDC`, trained on single frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderDC
from diffusers.models.autoencoders.autoencoder_dc import DCDownBlock2d, DCUpBlock2d, ResBlock
from safetensors import SafetensorError
from torch.nn import functional as F

from ..backend.autoencoder import VAE_CLASSES, Autoencoder, decode, encode
from ..backend.clips import decode_clip
from ..backend.errors import InputError, ModelError
from ..backend.registry import read_json
from ..backend.shards import CLIPS
from .config import BaseConfig
from .dataset import apply_view, random_view
from .grids import Strip
from .loop import train
from .settings import VaeSettings
from .stages import Job
from .stream import Arrays, Batch, Shards, Stream

ARCHITECTURE = {"block_out_channels", "encoder_layers", "decoder_layers", "latent_channels"}


def build_vae(settings: VaeSettings) -> AutoencoderDC:
    """An untrained VAE that keeps what it gets: all its residual branches start at zero."""
    levels = len(settings.block_out_channels)
    vae = AutoencoderDC(
        latent_channels=settings.latent_channels,
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_block_out_channels=tuple(settings.block_out_channels),
        decoder_block_out_channels=tuple(settings.block_out_channels),
        encoder_layers_per_block=tuple(settings.encoder_layers),
        decoder_layers_per_block=tuple(settings.decoder_layers),
        encoder_qkv_multiscales=((),) * levels,
        decoder_qkv_multiscales=((),) * levels,
        downsample_block_type="pixel_unshuffle",
        upsample_block_type="pixel_shuffle",
        scaling_factor=1.0,
    )
    for block in vae.modules():
        if isinstance(block, ResBlock):
            torch.nn.init.zeros_(block.norm.weight)
        elif isinstance(block, (DCDownBlock2d, DCUpBlock2d)):
            torch.nn.init.zeros_(block.conv.weight)
            torch.nn.init.zeros_(block.conv.bias)
    return vae


def vae_folder(config: BaseConfig) -> Path:
    """Where the VAE of a configuration is: given, or trained by the stage `vae`."""
    return config.section("latents").vae or config.folder("vae") / "model"


def load_vae(folder: Path) -> Autoencoder:
    """A VAE of any class that the backend knows.

    Raises:
        InputError: there is none in `folder`.
        ModelError: it is of another class, or damaged.
    """
    if not (folder / "config.json").is_file():
        raise InputError(f"there is no VAE in {folder}; make one with the stage vae")
    name = read_json(folder / "config.json").get("_class_name")
    if name not in VAE_CLASSES:
        raise ModelError(f"{folder / 'config.json'}: class {name!r} is not a VAE this program knows")
    try:
        return VAE_CLASSES[name].from_pretrained(folder, local_files_only=True).eval().requires_grad_(False)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, SafetensorError) as error:
        raise ModelError(f"the VAE in {folder} cannot be loaded: {str(error).strip().splitlines()[0]}") from error


# The decoder's last level gets a constant fourth channel beside which the colours are small: then its last
# normalisation, over the channels of a pixel, is nearly linear in the colours.
CONSTANT = 30.0
COLOUR_OFFSET = 1.5  # keeps the colours positive through the last ReLU


@torch.no_grad()
def start_as_principal_components(vae: AutoencoderDC, frames: torch.Tensor) -> None:
    """Set the weights such that latents are the principal components of the frames' 8x8 patches.

    With its branches at zero the network is linear up to the last normalisation, so the best linear code is
    known in closed form. From random weights, hours of CPU training did not get as far.

    Args:
        vae: fresh from `build_vae`.
        frames: `[B, 3, H, W]` in [-1, 1] to take the components of.
    """
    encoder, decoder = vae.encoder, vae.decoder
    _centre_tap(encoder.conv_in, torch.eye(4, 3), torch.zeros(4))
    trunk = encoder.conv_in(frames)
    for block in encoder.down_blocks:
        trunk = block(trunk)
    patches = trunk.permute(0, 2, 3, 1).flatten(0, 2)
    mean = patches.mean(dim=0)
    latent_channels = encoder.conv_out.out_channels
    _, values, components = torch.pca_lowrank(patches, q=latent_channels + 4, niter=4)
    spread = values[:latent_channels] / len(patches) ** 0.5
    code = components[:, :latent_channels] / spread  # unit variance each
    width = len(mean)
    averaged = torch.eye(latent_channels).repeat_interleave(width // latent_channels, 1) * latent_channels / width
    _centre_tap(encoder.conv_out, code.T - averaged, -mean @ code)
    repeated = torch.eye(latent_channels).repeat_interleave(width // latent_channels, 0)
    _centre_tap(decoder.conv_in, components[:, :latent_channels] * spread - repeated, mean)
    last_up = next(block for block in decoder.up_blocks[0] if isinstance(block, DCUpBlock2d))
    last_up.conv.bias.copy_(torch.tensor([COLOUR_OFFSET] * 3 + [CONSTANT]).repeat_interleave(4))
    scale = (CONSTANT**2 + 3 * COLOUR_OFFSET**2) ** 0.5 / 2  # root mean square of the four channels
    _centre_tap(decoder.conv_out, torch.eye(3, 4) * scale, torch.full((3,), -COLOUR_OFFSET))


def _centre_tap(conv: torch.nn.Conv2d, weight: torch.Tensor, bias: torch.Tensor) -> None:
    """Make a 3x3 convolution the linear map `weight [out, in]` of each pixel alone."""
    conv.weight.zero_()
    conv.weight[:, :, 1, 1] = weight
    conv.bias.copy_(bias)


def reconstruction_loss(output: torch.Tensor, target: torch.Tensor, gradient_weight: float) -> torch.Tensor:
    """L1 plus squared error of colours, plus L1 of their differences along x and y, which keeps edges."""
    difference = output - target
    loss = difference.abs().mean() + difference.square().mean()
    dx, dy = difference.diff(dim=-1).abs().mean(), difference.diff(dim=-2).abs().mean()
    return loss + gradient_weight * (dx + dy)



class VaeStage:
    """Trains the VAE on single frames; see `loop.Stage`."""

    name = "vae"
    units = ()

    def __init__(self, settings: VaeSettings, stream: Stream) -> None:
        self.settings, self.stream = settings, stream
        self.vae = build_vae(settings)
        start_as_principal_components(self.vae, self.first_frames(64))
        self.modules = {"vae": self.vae}
        self.about = {"kind": "vae", "vae": settings.model_dump(include=ARCHITECTURE)}

    def batches(self, rank: int, world: int, seen: int) -> Iterator[Batch]:
        """`frames` `[B, F, 3, S, S]` of as many clips."""
        size = self.settings.batch // (world * self.settings.accumulate)
        return self.stream.batches(rank, world, seen, size)

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """See `reconstruction_loss`."""
        frames = batch["frames"].flatten(0, 1)
        output = decode(self.vae, encode(self.vae, frames)).float()
        error = F.mse_loss(output.detach(), frames)
        return reconstruction_loss(output, frames, self.settings.gradient_weight), {"squared_error": error}

    def samples(self) -> list[Strip]:
        """Frames above what is left of them."""
        frames = self.first_frames(8).to(self.vae.device)
        decoded = decode(self.vae, encode(self.vae, frames)).float()
        nothing = np.zeros((0, len(frames), 2), dtype=np.float32)
        return [Strip(_pixels(each), nothing) for each in (frames, decoded)]

    def first_frames(self, count: int) -> torch.Tensor:
        """The stream's first frames, `[count, 3, S, S]`."""
        size = -(-count // self.settings.frames)
        return next(replace(self.stream, workers=0).batches(0, 1, 0, size))["frames"].flatten(0, 1)[:count]


def take_frames(settings: VaeSettings, where: str, members: Mapping[str, bytes], rng: np.random.Generator) -> Arrays:
    """A training sample: random frames of a clip through a random view, float32 `[F, 3, S, S]` in [-1, 1]."""
    clip = decode_clip(where, members)
    view = random_view(clip, rng, settings.views)
    chosen = rng.integers(len(clip.frames), size=settings.frames)
    few = replace(clip, frames=clip.frames[chosen], tracks=clip.tracks[:, chosen], visible=clip.visible[:, chosen])
    frames, _ = apply_view(few, replace(view, reverse=False, start=0, stride=1, frames=None), settings.size)
    return {"frames": np.ascontiguousarray(frames.transpose(0, 3, 1, 2))}


def run(job: Job) -> None:
    """The stage `vae`: leaves `model`, a folder of diffusers, in its folder.

    The saved scaling factor brings the latents of training frames to unit standard deviation.
    """
    settings, data, folder = job.config.section("vae"), job.config.data, job.config.folder("vae")
    if (folder / "model").is_dir():
        job.say(f"vae: {folder / 'model'} is there")
        return
    torch.manual_seed(job.config.seed)
    shards = Shards.find(data.clips, CLIPS)
    make = partial(take_frames, settings)
    stage = VaeStage(settings, Stream(shards, make, job.config.seed, data.lanes, data.buffer, data.workers))
    averages = train(stage, settings, folder, job.processes, job.config.log, job.config.seed, job.say)
    weights = averages.whole(settings.ema[0])
    if job.processes.is_main_process:
        _save(stage, weights, folder / "model")
    job.processes.wait_for_everyone()


@torch.no_grad()
def _save(stage: VaeStage, weights: dict[str, torch.Tensor], out: Path) -> None:
    vae = build_vae(stage.settings)
    vae.load_state_dict({name.removeprefix("networks.vae."): value for name, value in weights.items()})
    vae.register_to_config(scaling_factor=float(1.0 / encode(vae, stage.first_frames(32)).std()))
    staging = out.with_name(f".{out.name}.partial")
    vae.save_pretrained(staging)
    staging.rename(out)


def _pixels(frames: torch.Tensor) -> np.ndarray:
    """`[N, 3, H, W]` in [-1, 1] as uint8 `[N, H, W, 3]`."""
    return ((frames + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()

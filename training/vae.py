# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of the small VAE: a diffusers `AutoencoderDC` on single frames."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderDC
from diffusers.models.autoencoders.autoencoder_dc import DCDownBlock2d, DCUpBlock2d, ResBlock
from torch.nn import functional as F

from ..backend.autoencoder import decode, encode
from ..backend.errors import InputError
from .dataset import RenderedClips, apply_view, random_view


@dataclass(frozen=True)
class VaeSettings:
    """How the VAE is built and trained.

    Attributes:
        block_out_channels: channels of each level; each four times the one before, so that every
            downsampling can pass all it gets on.
        encoder_layers, decoder_layers: residual blocks of each level.
        latent_channels: of the latents.
        size: side of the frames in pixels.
        steps, batch, learning_rate: of the training; a one-cycle schedule with that peak.
        gradient_weight: of the loss on differences of neighbouring pixels.
        seed: of everything random.
    """

    block_out_channels: tuple[int, ...] = (4, 16, 64, 256)
    encoder_layers: tuple[int, ...] = (1, 1, 1, 1)
    decoder_layers: tuple[int, ...] = (1, 2, 2, 1)
    latent_channels: int = 4
    size: int = 128
    steps: int = 500
    batch: int = 4
    learning_rate: float = 1e-3
    gradient_weight: float = 0.5
    seed: int = 0


def build_vae(settings: VaeSettings) -> AutoencoderDC:
    """An untrained VAE that keeps what it gets: all its residual branches start at zero."""
    levels = len(settings.block_out_channels)
    vae = AutoencoderDC(
        latent_channels=settings.latent_channels,
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_block_out_channels=settings.block_out_channels,
        decoder_block_out_channels=settings.block_out_channels,
        encoder_layers_per_block=settings.encoder_layers,
        decoder_layers_per_block=settings.decoder_layers,
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


def load_vae(folder: Path) -> AutoencoderDC:
    """A VAE that `train_vae` saved.

    Raises:
        InputError: there is none.
    """
    if not (folder / AutoencoderDC.config_name).is_file():
        raise InputError(f"there is no VAE in {folder}; make one with `puppet-master train vae`")
    return AutoencoderDC.from_pretrained(folder, local_files_only=True).eval()


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


class FrameSource:
    """Random augmented frames of clips, drawn from a pool of clips that slowly turns over.

    Args:
        clips: to draw from.
        size: side of the frames in pixels.
        rng: source of chance.
        pool: number of clips held.
    """

    def __init__(self, clips: RenderedClips, size: int, rng: np.random.Generator, pool: int = 48) -> None:
        self.clips, self.size, self.rng = clips, size, rng
        self.pool = [self._fresh() for _ in range(pool)]
        self.drawn = 0

    def _fresh(self) -> np.ndarray:
        clip = self.clips.load(self.rng.integers(len(self.clips)))
        frames, _ = apply_view(clip, random_view(clip, self.rng), self.size)
        return frames

    def draw(self) -> np.ndarray:
        """One frame, float32 `[size, size, 3]` in [-1, 1]."""
        self.drawn += 1
        if self.drawn % 8 == 0:
            self.pool[self.rng.integers(len(self.pool))] = self._fresh()
        frames = self.pool[self.rng.integers(len(self.pool))]
        return frames[self.rng.integers(len(frames))]

    def batch(self, count: int) -> torch.Tensor:
        """`count` frames, `[count, 3, size, size]`."""
        return torch.from_numpy(np.stack([self.draw() for _ in range(count)])).permute(0, 3, 1, 2).contiguous()


def reconstruction_loss(output: torch.Tensor, target: torch.Tensor, gradient_weight: float) -> torch.Tensor:
    """L1 plus squared error of colours, plus L1 of their differences along x and y, which keeps edges."""
    difference = output - target
    loss = difference.abs().mean() + difference.square().mean()
    dx, dy = difference.diff(dim=-1).abs().mean(), difference.diff(dim=-2).abs().mean()
    return loss + gradient_weight * (dx + dy)


def train_vae(
    clips: RenderedClips, out: Path, settings: VaeSettings, log: Callable[[str], None] = print
) -> AutoencoderDC:
    """Train on single frames and save a diffusers model folder.

    The saved scaling factor brings the latents of the training frames to unit standard deviation.

    Args:
        clips: to take the frames of.
        out: where the VAE goes, once it is trained.
        settings: of the training.
        log: told every 25 steps how it goes.
    """
    torch.manual_seed(settings.seed)
    source = FrameSource(clips, settings.size, np.random.default_rng(settings.seed))
    vae = build_vae(settings)
    start_as_principal_components(vae, source.batch(64))
    log(f"vae: {sum(p.numel() for p in vae.parameters()) / 1e6:.2f} M parameters, {asdict(settings)}")
    optimizer = torch.optim.AdamW(vae.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=0.1
    )
    began, recent = time.monotonic(), []
    for step in range(1, settings.steps + 1):
        frames = source.batch(settings.batch)
        output = decode(vae, encode(vae, frames))
        reconstruction_loss(output, frames, settings.gradient_weight).backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        recent.append(F.mse_loss(output.detach(), frames).item())
        if step % 25 == 0:
            psnr = 10 * np.log10(4 / np.mean(recent))
            pace = (time.monotonic() - began) / step
            log(f"vae step {step}/{settings.steps} psnr {psnr:.2f} {pace:.3f} s/step")
            recent.clear()
    vae.register_to_config(scaling_factor=_scaling_factor(vae, source))
    staging = out.with_name(f".{out.name}.partial")
    vae.save_pretrained(staging)
    staging.rename(out)
    return vae


@torch.no_grad()
def _scaling_factor(vae: AutoencoderDC, source: FrameSource) -> float:
    return float(1.0 / encode(vae, source.batch(32)).std())

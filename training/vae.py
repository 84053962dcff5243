# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of the small VAE: a diffusers `AutoencoderKL` on single frames."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional as F

from .dataset import apply_view, clip_files, load_clip, random_view


@dataclass(frozen=True)
class VaeSettings:
    """How the VAE is built and trained. `steps` is split in two: crops first, then whole frames."""

    block_out_channels: tuple[int, ...] = (16, 32, 64, 128)
    layers_per_block: int = 1
    norm_num_groups: int = 8
    latent_channels: int = 4
    size: int = 128
    crop: int = 64
    crop_batch: int = 16
    batch: int = 6
    steps: int = 6000
    crop_share: float = 0.6
    learning_rate: float = 2e-3
    kl_weight: float = 1e-5
    gradient_weight: float = 0.5
    seed: int = 0


def build_vae(settings: VaeSettings) -> AutoencoderKL:
    """An untrained VAE."""
    levels = len(settings.block_out_channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=settings.block_out_channels,
        layers_per_block=settings.layers_per_block,
        norm_num_groups=settings.norm_num_groups,
        latent_channels=settings.latent_channels,
        sample_size=settings.size,
        mid_block_add_attention=False,
        scaling_factor=1.0,
    )


class FrameSource:
    """Random augmented frames of a folder of clips, drawn from a pool of clips that slowly turns over.

    Args:
        folder: of clip files; files that appear later are found too.
        size: side of the frames in pixels.
        rng: source of chance.
        pool: number of clips held.
    """

    def __init__(self, folder: Path, size: int, rng: np.random.Generator, pool: int = 48) -> None:
        self.folder, self.size, self.rng = folder, size, rng
        self.files = clip_files(folder)
        self.pool = [self._fresh() for _ in range(pool)]
        self.drawn = 0

    def _fresh(self) -> np.ndarray:
        clip = load_clip(self.files[self.rng.integers(len(self.files))])
        frames, _ = apply_view(clip, random_view(clip, self.rng), self.size)
        return frames

    def draw(self) -> np.ndarray:
        """One frame, float32 `[size, size, 3]` in [-1, 1]."""
        self.drawn += 1
        if self.drawn % 8 == 0:
            self.pool[self.rng.integers(len(self.pool))] = self._fresh()
        frames = self.pool[self.rng.integers(len(self.pool))]
        return frames[self.rng.integers(len(frames))]

    def crop(self, side: int) -> np.ndarray:
        """A crop with something in it, float32 `[side, side, 3]`."""
        for _ in range(4):
            frame = self.draw()
            y, x = self.rng.integers(0, self.size - side + 1, 2)
            cut = frame[y : y + side, x : x + side]
            if cut.std() > 0.05:
                break
        return cut


def reconstruction_loss(output: torch.Tensor, target: torch.Tensor, gradient_weight: float) -> torch.Tensor:
    """L1 plus squared error of colours, plus L1 of their differences along x and y, which keeps edges."""
    difference = output - target
    loss = difference.abs().mean() + difference.square().mean()
    dx, dy = difference.diff(dim=-1).abs().mean(), difference.diff(dim=-2).abs().mean()
    return loss + gradient_weight * (dx + dy)


def train_vae(
    folder: Path, out: Path, settings: VaeSettings, log: Callable[[str], None] = print
) -> AutoencoderKL:
    """Train on the clips of `folder` and save a diffusers model folder.

    The saved scaling factor brings the latents of the training frames to unit standard deviation.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    source = FrameSource(folder, settings.size, rng)
    vae = build_vae(settings).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=0.05
    )
    log(f"vae: {sum(p.numel() for p in vae.parameters()) / 1e6:.2f} M parameters, {asdict(settings)}")
    began, recent = time.monotonic(), []
    for step in range(settings.steps):
        if step < settings.steps * settings.crop_share:
            batch = [source.crop(settings.crop) for _ in range(settings.crop_batch)]
        else:
            batch = [source.draw() for _ in range(settings.batch)]
        frames = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2)
        frames = frames.contiguous(memory_format=torch.channels_last)
        posterior = vae.encode(frames).latent_dist
        output = vae.decode(posterior.sample()).sample
        loss = reconstruction_loss(output, frames, settings.gradient_weight)
        (loss + settings.kl_weight * posterior.kl().mean()).backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        recent.append(F.mse_loss(output.detach(), frames).item())
        if (step + 1) % 100 == 0:
            psnr = 10 * np.log10(4 / np.mean(recent))
            std = posterior.mode().std().item()
            log(f"vae step {step + 1}/{settings.steps} psnr {psnr:.2f} latent std {std:.2f} "
                f"{(time.monotonic() - began) / (step + 1):.3f} s/step")  # fmt: skip
            recent.clear()
        if (step + 1) % 500 == 0 or step + 1 == settings.steps:
            vae.register_to_config(scaling_factor=_scaling_factor(vae, source))
            vae.save_pretrained(out)
    return vae


@torch.no_grad()
def _scaling_factor(vae: AutoencoderKL, source: FrameSource) -> float:
    frames = torch.from_numpy(np.stack([source.draw() for _ in range(32)])).permute(0, 3, 1, 2)
    return float(1.0 / vae.encode(frames).latent_dist.mode().std())

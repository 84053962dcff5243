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
class VaeStage:
    """A stretch of training.

    Attributes:
        steps: optimiser steps.
        batch: images a step.
        crop: side of the crops in pixels; None takes whole frames.
        learning_rate: the peak of a one-cycle schedule over the stage.
        kl_weight: of the KL term, summed over an image's latents. Even 1e-5 leaves latents of this few
            dimensions drowned in noise; with 0 the posterior's mode is decoded and its variance is idle.
    """

    steps: int
    batch: int
    crop: int | None
    learning_rate: float
    kl_weight: float = 0.0


@dataclass(frozen=True)
class VaeSettings:
    """How the VAE is built and trained."""

    stages: tuple[VaeStage, ...]
    block_out_channels: tuple[int, ...] = (16, 32, 64, 64)
    layers_per_block: int = 1
    norm_num_groups: int = 1
    latent_channels: int = 4
    size: int = 128
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
    """Random augmented frames of folders of clips, drawn from a pool of clips that slowly turns over.

    Args:
        folders: of clip files.
        size: side of the frames in pixels.
        rng: source of chance.
        pool: number of clips held.
    """

    def __init__(self, folders: list[Path], size: int, rng: np.random.Generator, pool: int = 48) -> None:
        self.size, self.rng = size, rng
        self.files = [file for folder in folders for file in clip_files(folder)]
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

    def batch(self, count: int, crop: int | None) -> torch.Tensor:
        """`count` frames or crops, `[count, 3, side, side]`, channels last in memory."""
        images = [self.draw() if crop is None else self.crop(crop) for _ in range(count)]
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        return pixels.contiguous(memory_format=torch.channels_last)

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
    folders: list[Path],
    out: Path,
    settings: VaeSettings,
    start: AutoencoderKL | None = None,
    log: Callable[[str], None] = print,
) -> AutoencoderKL:
    """Train on the clips of `folders` and save a diffusers model folder.

    The saved scaling factor brings the latents of the training frames to unit standard deviation.

    Args:
        folders: of clip files.
        out: where the VAE goes; written every 250 steps and at the end.
        settings: of the training.
        start: weights to go on from instead of random ones.
        log: told every 25 steps how it goes.
    """
    torch.manual_seed(settings.seed)
    source = FrameSource(folders, settings.size, np.random.default_rng(settings.seed))
    vae = (start or build_vae(settings)).to(memory_format=torch.channels_last).train()
    log(f"vae: {sum(p.numel() for p in vae.parameters()) / 1e6:.2f} M parameters, {asdict(settings)}")
    for stage in settings.stages:
        _train_stage(vae, stage, settings, source, out, log)
    return vae


def _train_stage(
    vae: AutoencoderKL,
    stage: VaeStage,
    settings: VaeSettings,
    source: FrameSource,
    out: Path,
    log: Callable[[str], None],
) -> None:
    optimizer = torch.optim.AdamW(vae.parameters(), lr=stage.learning_rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, stage.learning_rate, total_steps=stage.steps, pct_start=0.05
    )
    began, recent = time.monotonic(), []
    for step in range(1, stage.steps + 1):
        frames = source.batch(stage.batch, stage.crop)
        posterior = vae.encode(frames).latent_dist
        output = vae.decode(posterior.sample() if stage.kl_weight else posterior.mode()).sample
        loss = reconstruction_loss(output, frames, settings.gradient_weight)
        if stage.kl_weight:
            loss = loss + stage.kl_weight * posterior.kl().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        recent.append(F.mse_loss(output.detach(), frames).item())
        if step % 25 == 0:
            psnr = 10 * np.log10(4 / np.mean(recent))
            pace = (time.monotonic() - began) / step
            log(f"vae step {step}/{stage.steps} psnr {psnr:.2f} {pace:.3f} s/step")
            recent.clear()
        if step % 250 == 0 or step == stage.steps:
            vae.register_to_config(scaling_factor=_scaling_factor(vae, source))
            vae.save_pretrained(out)


@torch.no_grad()
def _scaling_factor(vae: AutoencoderKL, source: FrameSource) -> float:
    return float(1.0 / vae.encode(source.batch(32, None)).latent_dist.mode().std())

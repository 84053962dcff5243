# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of the drag-conditioned diffusion model on cached latents.

The UNet learns v in SVD's parametrisation (`backend.sampling.precondition`): noise levels log-normal,
weights such that the prediction's own error counts the same at every level. The small image encoder is
trained along, end to end.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from numpy.typing import NDArray
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from ..backend.model import DragSpatioTemporalUNet
from ..backend.sampling import precondition
from .dataset import draw_drags
from .latents import LatentClip


@dataclass(frozen=True)
class Stage:
    """A stretch of training.

    Attributes:
        steps: optimiser steps.
        batch: clips a step and process.
        frames: frames of each training clip, frame 0 among them, the others drawn from the whole clip.
        learning_rate: at the stage's start and at its end, linear between.
    """

    steps: int
    batch: int
    frames: int
    learning_rate: tuple[float, float]


@dataclass(frozen=True)
class DiffusionSettings:
    """What is trained, and on what mixture.

    Attributes:
        unet: constructor arguments of `DragSpatioTemporalUNet`.
        encoder: arguments of the image encoder's `CLIPVisionConfig`.
        stages: one after the other.
        log_sigma: mean and standard deviation of the log noise level.
        drop_condition: share of samples whose still, embedding and drags are all zeroed, as in the
            unconditional branch of sampling.
        further_drags: chances, one of them drawn per sample, of each drag beyond a moving part's first.
        still_clips: share of samples in which nothing is asked to move and nothing moves.
        ema_decay: of the weights' moving average, which is what gets published.
        weight_decay: AdamW's.
        seed: of everything random.
    """

    unet: dict
    encoder: dict
    stages: tuple[Stage, ...]
    log_sigma: tuple[float, float] = (0.9, 1.5)
    drop_condition: float = 0.05
    still_clips: float = 0.06
    further_drags: tuple[float, ...] = (0.0, 0.25, 0.8)
    ema_decay: float = 0.998
    weight_decay: float = 0.01
    seed: int = 0


class Conditioned(nn.Module):
    """UNet and image encoder as the one module that is trained."""

    def __init__(self, unet: DragSpatioTemporalUNet, encoder: CLIPVisionModelWithProjection) -> None:
        super().__init__()
        self.unet, self.encoder = unet, encoder

    def forward(self, batch: Batch, noisy: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The UNet's output for noisy latents `[B, N, 4, h, w]`; dropped conditions are zeros."""
        embedding = self.encoder(batch.stills).image_embeds[:, None] * batch.keep[:, None, None]
        image_latents = batch.image_latents * batch.keep[:, None, None, None]
        mask = batch.drag_mask & (batch.keep > 0)[:, None]
        return self.unet(noisy, timestep, embedding, image_latents, batch.drags, mask)


@dataclass
class Batch:
    """Tensors of one step.

    Attributes:
        target: residual to the still's latents, of unit variance over clips, `[B, N, 4, h, w]`.
        image_latents: unscaled latents of the still, `[B, 4, h, w]`.
        stills: image encoder's input, `[B, 3, s, s]`.
        drags: `[B, N, K, 4]`.
        drag_mask: `[B, K] bool`.
        keep: `[B]`, 0 where the conditions are dropped.
    """

    target: torch.Tensor
    image_latents: torch.Tensor
    stills: torch.Tensor
    drags: torch.Tensor
    drag_mask: torch.Tensor
    keep: torch.Tensor


class BatchMaker:
    """Draws training batches from cached latents.

    Args:
        clips: of the cache.
        slots: drag slots of the model.
        scaling_factor: the VAE's.
        residual_scale: brings the residual's latents to unit variance.
        settings: the mixture.
        rng: source of chance.
    """

    def __init__(
        self,
        clips: list[LatentClip],
        slots: int,
        scaling_factor: float,
        residual_scale: float,
        settings: DiffusionSettings,
        rng: np.random.Generator,
    ) -> None:
        self.clips, self.slots, self.rng = clips, slots, rng
        self.scaling_factor, self.residual_scale = scaling_factor, residual_scale
        self.settings = settings

    def draw(self, size: int, frames: int) -> Batch:
        """A batch of `size` clips of `frames` frames."""
        parts = [self._sample(frames) for _ in range(size)]
        target, image_latents, stills, drags, mask = (np.stack(column) for column in zip(*parts, strict=True))
        keep = (self.rng.random(size) >= self.settings.drop_condition).astype(np.float32)
        return Batch(
            *(torch.from_numpy(array) for array in (target, image_latents, stills, drags, mask, keep))
        )

    def _sample(self, frames: int) -> tuple[NDArray, ...]:
        clip = self.clips[self.rng.integers(len(self.clips))]
        length = len(clip.latents)
        later = self.rng.choice(np.arange(1, length), size=min(frames, length) - 1, replace=False)
        index = np.concatenate([[0], np.sort(later)])
        latents = clip.latents[index].astype(np.float32)
        # From one drag a part, as people give them, to all slots filled, from which following is learned sooner.
        more = self.rng.choice(self.settings.further_drags)
        paths = draw_drags(clip.points, self.rng, self.slots, more=more)[:, index]
        if self.rng.random() < self.settings.still_clips or not len(paths):
            # Nothing asked, nothing moves; half the time said with pins.
            latents = np.repeat(latents[:1], len(latents), axis=0)
            keep_pins = self.rng.random() < 0.5
            paths = np.repeat(paths[:, :1], paths.shape[1], axis=1)[: len(paths) if keep_pins else 0]
        drags = np.zeros((len(index), self.slots, 4), dtype=np.float32)
        mask = np.zeros(self.slots, dtype=bool)
        slots = self.rng.permutation(self.slots)[: len(paths)]
        for slot, path in zip(slots, paths, strict=True):
            drags[:, slot, :2], drags[:, slot, 2:] = path[0], path
            mask[slot] = True
        still = clip.still.astype(np.float32).transpose(2, 0, 1) / 127.5 - 1
        target = (latents - latents[:1]) * self.residual_scale
        return target, latents[0] / self.scaling_factor, still, drags, mask


def residual_scale(clips: list[LatentClip], sample: int = 400) -> float:
    """Factor that gives the residuals to the still unit standard deviation, as SVD's parametrisation assumes.

    Most of a clip is at rest, so what moves then lies at several standard deviations; with what moves at one,
    the whole target would be smaller than the noise of the network's own weights while it trains.
    """
    values = [
        clip.latents[1:].astype(np.float32) - clip.latents[:1].astype(np.float32)
        for clip in clips[:: max(1, len(clips) // sample)]
    ]
    return float(1.0 / np.concatenate([value.ravel() for value in values]).std())


def diffusion_loss(
    model: nn.Module, batch: Batch, log_sigma: tuple[float, float], generator: torch.Generator
) -> torch.Tensor:
    """Mean squared error of the network's own output against what would denoise exactly."""
    count = len(batch.target)
    sigma = torch.exp(torch.randn(count, generator=generator) * log_sigma[1] + log_sigma[0])
    noise = torch.randn(batch.target.shape, generator=generator)
    wide = sigma.reshape(-1, 1, 1, 1, 1)
    noisy = batch.target + wide * noise
    c_skip, c_out, c_in, _ = precondition(wide)
    output = model(batch, c_in * noisy, precondition(sigma)[3])
    wanted = (batch.target - c_skip * noisy) / c_out
    return (output - wanted).square().mean()


def build_model(settings: DiffusionSettings) -> Conditioned:
    """Untrained UNet and image encoder."""
    torch.manual_seed(settings.seed)
    unet = DragSpatioTemporalUNet(**settings.unet)
    encoder = CLIPVisionModelWithProjection(CLIPVisionConfig(**settings.encoder))
    return Conditioned(unet, encoder)


def train_diffusion(
    clips: list[LatentClip],
    scaling_factor: float,
    settings: DiffusionSettings,
    out: Path,
    save_seconds: float = 240.0,
    log: Callable[[str], None] = print,
) -> None:
    """Run the stages; go on from `out/state.pt` when it is there.

    Writes `out/ema.pt` (the averaged weights), `out/state.pt` (to go on from), `out/log.jsonl` and
    `out/settings.json`, each by renaming. Runs under `torchrun` with several processes too.
    """
    # The mid block attends to a single token: its queries and keys are idle and never get gradients.
    accelerator = Accelerator(
        cpu=True, kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)]
    )
    rank = accelerator.process_index
    model = build_model(settings)
    ema = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-4, betas=(0.9, 0.98), weight_decay=settings.weight_decay
    )
    scale = residual_scale(clips)
    step = _restore(out / "state.pt", model, ema, optimizer)
    prepared, optimizer = accelerator.prepare(model, optimizer)
    rng = np.random.default_rng([settings.seed, rank, step])
    generator = torch.Generator().manual_seed(settings.seed + 7919 * rank + step)
    maker = BatchMaker(clips, settings.unet["num_drags"], scaling_factor, scale, settings, rng)
    if accelerator.is_main_process:
        out.mkdir(parents=True, exist_ok=True)
        description = asdict(settings) | {"residual_scale": scale, "clips": len(clips)}
        (out / "settings.json").write_text(json.dumps(description, indent=1))
        log(f"diffusion: {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, "
            f"{len(clips)} views, residual scale {scale:.3f}, from step {step}")  # fmt: skip
    saved, began, first_step, losses, seen = time.monotonic(), time.monotonic(), step, [], 0
    while (place := _stage_at(settings.stages, step)) is not None:
        stage, within = place
        start, end = stage.learning_rate
        warmup = min(1.0, (step + 1) / 100)
        for group in optimizer.param_groups:
            group["lr"] = warmup * (start + (end - start) * within / stage.steps)
        loss = diffusion_loss(
            prepared, maker.draw(stage.batch, stage.frames), settings.log_sigma, generator
        )
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(prepared.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        _update_ema(ema, model, min(settings.ema_decay, step / (step + 10)))
        losses.append(loss.item())
        seen += stage.batch * accelerator.num_processes
        if not np.isfinite(losses[-1]):
            raise FloatingPointError(f"loss is {losses[-1]} at step {step}; the last state is {out / 'state.pt'}")
        if accelerator.is_main_process and step % 50 == 0:
            pace = (time.monotonic() - began) / (step - first_step)
            entry = {"step": step, "clips": seen, "loss": float(np.mean(losses)), "s_per_step": round(pace, 3)}
            with (out / "log.jsonl").open("a") as stream:
                stream.write(json.dumps(entry) + "\n")
            log(json.dumps(entry))
            losses.clear()
        due = time.monotonic() - saved > save_seconds
        if accelerator.is_main_process and (due or _stage_at(settings.stages, step) is None):
            _save(out, model, ema, optimizer, step)
            saved = time.monotonic()
    accelerator.end_training()


def _stage_at(stages: tuple[Stage, ...], step: int) -> tuple[Stage, int] | None:
    for stage in stages:
        if step < stage.steps:
            return stage, step
        step -= stage.steps
    return None


@torch.no_grad()
def _update_ema(ema: nn.Module, model: nn.Module, decay: float) -> None:
    averages, weights = list(ema.parameters()), list(model.parameters())
    torch._foreach_lerp_(averages, weights, 1 - decay)


def _save(out: Path, model: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    state = {
        "model": model.state_dict(),
        "ema": ema.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
    }
    for name, content in (("state.pt", state), ("ema.pt", {"ema": state["ema"], "step": step})):
        temporary = out / f".{name}.partial"
        torch.save(content, temporary)
        temporary.replace(out / name)


def _restore(path: Path, model: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True, map_location="cpu")
    model.load_state_dict(state["model"])
    ema.load_state_dict(state["ema"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])

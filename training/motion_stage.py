# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage `motion`: the motion field learns from stills and the paths of their pixels.

Every pixel of a still says where it goes, exactly, so that a clip teaches far more than its frames would, and only one
frame of it has to be rendered.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch.nn import functional as F

from ..backend.errors import ModelError
from ..backend.hole_filling import fill
from ..backend.model.motion_field import Motion, MotionField
from ..backend.previewing import load_part
from ..backend.shards import CLIPS
from ..backend.splatting import splat
from .grids import Strip
from .loop import train
from .paths import PathSamples
from .settings import MotionSettings
from .stages import Job
from .stream import Batch, Shards, Stream

TORN = 0.02  # of the side: neighbouring pixels that truly part by more belong to different surfaces
SOFT = 1e-6  # under the root of a distance, so that its slope stays finite at 0
SAMPLES = 4


class MotionStage:
    """What `loop.Stage` asks for."""

    name = "motion"
    units = (MotionField,)

    def __init__(self, settings: MotionSettings, field: MotionField, stream: Stream) -> None:
        """
        Raises:
            InputError: the clips cannot be trained on.
        """
        self.settings, self.stream = settings, stream
        self.modules = {"motion": field}
        first = next(stream.samples(0, 1))
        self.about: dict[str, Any] = {
            "kind": "motion", "motion": plain_config(field), "slots": settings.slots,
            "frames": first["drags"].shape[1],
        }  # fmt: skip

    @property
    def field(self) -> MotionField:
        """The network."""
        return self.modules["motion"]

    def batches(self, rank: int, world: int, seen: int) -> Iterator[Batch]:
        """See `loop.Stage`."""
        return self.stream.batches(rank, world, seen, self.settings.batch // self.settings.accumulate // world)

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Where pixels go, how far away they are, and which of them belong to a drag that moves."""
        motion = self.field(batch["still"], batch["drags"], batch["mask"], batch["frames"])
        return motion_loss(motion, batch, self.settings)

    def samples(self) -> list[Strip]:
        """Stills moved by the field as it is now."""
        strips = []
        for sample in islice(self.stream.samples(0, 1), SAMPLES):
            still, drags, mask = (torch.from_numpy(sample[name])[None] for name in ("still", "drags", "mask"))
            device = next(self.field.parameters()).device
            motion = self.field(still.to(device), drags.to(device), mask.to(device))
            pixels = (still[0].to(device) + 1) / 2
            moved = fill(*splat(pixels, motion.displacement[0].float(), motion.depth[0].float()))
            frames = (torch.cat([pixels[None], moved]) * 255).round().clamp(0, 255).to(torch.uint8)
            strips.append(Strip(frames.permute(0, 2, 3, 1).cpu().numpy(), sample["drags"][sample["mask"]]))
        return strips


def motion_loss(
    motion: Motion, batch: Batch, settings: MotionSettings
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss, and what it is made of.

    Distances in shares of the side, averaged over the pixels that move, over those of the object that rest, and over
    the background, each by itself: most pixels rest. Besides, how much more a moving surface bends than it should:
    small errors that differ from pixel to pixel cost little distance, yet make a rigid part look like rubber.
    """
    truth = batch["displacement"]
    distance = ((motion.displacement - truth).pow(2).sum(2) + SOFT).sqrt().mean(1)
    moves, thing = batch["moves"], batch["object"]
    moving, resting, around = (_mean(distance, where) for where in (moves, thing & ~moves, ~thing))
    bending = _bending(motion.displacement - truth, truth, thing, moves)
    depth = _mean((motion.depth - batch["depth"]).abs().mean(1), thing)
    belongs = F.binary_cross_entropy(motion.moving.float().clamp(1e-4, 1 - 1e-4), moves.float(), reduction="none")
    parts = (_mean(belongs, moves) + _mean(belongs, ~moves)).mean()
    placed = moving + settings.resting_weight * resting + settings.around_weight * around
    placed = placed + settings.bending_weight * bending
    loss = 10 * placed.mean() + settings.depth_weight * depth.mean() + settings.parts_weight * parts
    figures = {
        "moving": moving.mean(), "resting": resting.mean(), "around": around.mean(), "bending": bending.mean(),
        "depth": depth.mean(), "parts": parts, "reach": _mean(truth.norm(dim=2).mean(1), moves).mean(),
    }  # fmt: skip
    return loss, {name: value.detach() for name, value in figures.items()}


def _bending(
    error: torch.Tensor, truth: torch.Tensor, thing: torch.Tensor, moves: torch.Tensor
) -> torch.Tensor:
    """How much the error `[B, M, 2, S, S]` of a displacement differs from a pixel of a moving surface to the next.

    `[B]`, in shares of the side; pixels that are not of the same surface do not count.
    """
    total, pairs = 0.0, 0.0
    for axis in (-2, -1):
        (one, other), (goes, too) = _neighbours(thing, axis), _neighbours(moves, axis)
        where = one & other & (goes | too) & (truth.diff(dim=axis).abs().amax((1, 2)) < TORN)
        step = error.diff(dim=axis).abs().sum(2).mean(1)
        total = total + (step * where).sum((1, 2))
        pairs = pairs + where.sum((1, 2))
    return total / pairs.clamp(min=1)


def _neighbours(mask: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A mask without its last, and without its first, row or column."""
    count = mask.shape[axis] - 1
    return mask.narrow(axis, 0, count), mask.narrow(axis, 1, count)


def _mean(values: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Of each sample the mean of values `[B, S, S]` at some pixels, `[B]`; 0 where there are none."""
    return (values * where).sum((1, 2)) / where.sum((1, 2)).clamp(min=1)


def plain_config(field: MotionField) -> dict[str, Any]:
    """The arguments a motion field was made with."""
    return {name: value for name, value in field.config.items() if not name.startswith("_")}


def make_field(settings: MotionSettings) -> MotionField:
    """The network that a configuration asks for.

    Raises:
        ModelError: the folder to start from cannot be used, or was made for stills of another size.
    """
    if settings.init is None:
        return MotionField(
            size=settings.size, channels=tuple(settings.channels), key_times=settings.key_times,
            token_channels=settings.token_channels, embedding_channels=settings.embedding_channels,
        )  # fmt: skip
    field = load_part(MotionField, settings.init / "motion", "cpu")
    if field.config.size != settings.size:
        raise ModelError(
            f"motion.init = '{settings.init}' looks at {field.config.size} pixels a side; set motion.size to that"
        )
    return field


def run(job: Job) -> None:
    """The stage `motion`."""
    settings, data = job.config.section("motion"), job.config.data
    torch.manual_seed(job.config.seed)
    field = make_field(settings)
    shards = Shards.find(data.clips, CLIPS)
    stream = Stream(shards, PathSamples(settings), job.config.seed, data.lanes, data.buffer, data.workers)
    stage = MotionStage(settings, field, stream)
    train(stage, settings, job.config.folder("motion"), job.processes, job.config.log, job.config.seed, job.say)

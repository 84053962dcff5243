# SPDX-License-Identifier: GPL-3.0-or-later
"""The guided model at one noise level, for the clips that are sampled together.

What does not change from step to step is made once: drag maps, the unconditional branch's maps, the coefficients of the
preconditioning, the guidance of each frame. Nothing in a step waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from .model import DragSpatioTemporalUNet

Maps = list[list[torch.Tensor]]
Call = Callable[..., tuple[torch.Tensor, torch.Tensor]]
"""`DragSpatioTemporalUNet.forward_with_deep_features`, or what does the same faster."""


@dataclass(frozen=True)
class Conditions:
    """What the UNet is told besides the noisy latents, of `B` clips of `N` frames.

    Attributes:
        embedding: of the still, `[B, 1, D]`.
        image_latents: of the still, `[B, 4, h, w]`.
        drags: `[B, N, K, 4]`; fewer than K are filled up.
        mask: which of them are, `[B, K] bool`.
        maps: `encode_drags` of them.
    """

    embedding: torch.Tensor
    image_latents: torch.Tensor
    drags: torch.Tensor
    mask: torch.Tensor
    maps: Maps

    def nothing(self) -> Conditions:
        """Of no clip; unconditional clips follow it."""
        return Conditions(self.embedding[:0], self.image_latents[:0], self.drags[:0], self.mask[:0], self.maps)


def blank_maps(unet: DragSpatioTemporalUNet, height: int, width: int, device: torch.device) -> Maps:
    """Drag maps of the unconditional branch: the same for every frame, so of one frame; constants of a checkpoint."""
    drags = torch.zeros(1, 1, 0, 4, device=device)
    return unet.encode_drags(drags, height, width, torch.zeros(1, 0, dtype=torch.bool, device=device))


def join_maps(maps: Maps, blank: Maps) -> Maps:
    """Maps of clips and of as many unconditional ones."""
    return [
        [torch.cat([mine, none.expand(mine.shape)]) for mine, none in zip(*layers, strict=True)]
        for layers in zip(maps, blank, strict=True)
    ]


@dataclass
class Guided:
    """Denoises at one noise level after the other; call it with the latents, the noise level and the step's index.

    Attributes:
        call: the UNet.
        dtype: of the UNet.
        conditions: of the clips.
        blank: maps of the unconditional branch; None without guidance.
        ramp: guidance of each clip's frames, `[B, N, 1, 1, 1]`.
        together: whether both branches are one call.
        steps: of the whole sampling.
        interval: part of the sampling in which guidance is applied.
        reuse: run the lower levels at every so manieth step.
    """

    call: Call
    dtype: torch.dtype
    conditions: Conditions
    blank: Maps | None
    ramp: torch.Tensor
    together: bool
    steps: int
    interval: tuple[float, float]
    reuse: int

    def __post_init__(self) -> None:
        self._joined: Conditions | None = None
        self._deep: dict[str, torch.Tensor] = {}
        if self.blank is not None and self.together:
            self._joined = replace(self.conditions, maps=join_maps(self.conditions.maps, self.blank))

    def is_guided_at(self, index: int) -> bool:
        """Whether a step has guidance: the middle of the step lies in the interval."""
        first, last = self.interval
        return self.blank is not None and first <= (index + 0.5) / self.steps <= last

    def __call__(self, x: torch.Tensor, sigma: float, index: int) -> torch.Tensor:
        """The denoised estimate of `x [B, N, 4, h, w]`, float32."""
        total = sigma * sigma + 1.0
        inputs = (x / math.sqrt(total)).to(self.dtype)
        # A number, filled in on the device: nothing waits for a copy.
        noise = torch.full((1,), 0.25 * math.log(sigma), device=x.device)
        if not self.is_guided_at(index):
            output = self._run("conditional", inputs, noise, self.conditions, index).float()
        else:
            conditional, plain = self._branches(inputs, noise, index)
            output = plain + self.ramp * (conditional - plain)
        return x / total - output * (sigma / math.sqrt(total))

    def _branches(
        self, inputs: torch.Tensor, noise: torch.Tensor, index: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self._joined is not None:
            both = self._run("both", torch.cat([inputs, inputs]), noise, self._joined, index).float()
            return both[: len(inputs)], both[len(inputs) :]
        assert self.blank is not None
        alone = replace(self.conditions.nothing(), maps=self.blank)
        conditional = self._run("conditional", inputs, noise, self.conditions, index).float()
        return conditional, self._run("unconditional", inputs, noise, alone, index).float()

    def _run(
        self, branch: str, inputs: torch.Tensor, noise: torch.Tensor, conditions: Conditions, index: int
    ) -> torch.Tensor:
        deep = None if index % self.reuse == 0 else self._deep.get(branch)
        told: tuple[Any, ...] = (
            conditions.embedding.to(self.dtype), conditions.image_latents, conditions.drags, conditions.mask,
            conditions.maps,
        )  # fmt: skip
        output, fresh = self.call(inputs, noise, *told, deep)
        if self.reuse > 1 and deep is None:
            self._deep[branch] = fresh
        return output

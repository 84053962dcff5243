# SPDX-License-Identifier: GPL-3.0-or-later
"""A request for a diffusion model, read and checked, with the model's defaults filled in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .fitting import Fit, decode_still
from .presets import PRESETS, WHOLE
from .protocol import PreviewRequest
from .registry import ModelInfo

OFF = (1.0, 1.0)  # guidance that changes nothing


@dataclass(frozen=True)
class Settings:
    """A request's choices with the model's defaults filled in; previews of equal `shape` can share a forward."""

    frames: int
    steps: int
    guidance: tuple[float, float]
    interval: tuple[float, float]
    reuse: int
    seed: int

    @classmethod
    def of(cls, request: PreviewRequest, info: ModelInfo) -> Settings:
        """What is stated counts most, then the preset, then the model."""
        preset = PRESETS[request.preset or "normal"]
        guidance = request.guidance or info.guidance
        return cls(
            frames=request.frames or info.frames,
            steps=request.steps or preset.steps_of(info.steps),
            guidance=guidance,
            interval=(request.guidance_interval or preset.guidance_interval) if guidance != OFF else WHOLE,
            reuse=request.feature_reuse or 1,
            seed=request.seed,
        )

    @property
    def guided(self) -> bool:
        """Whether guidance changes anything."""
        return self.guidance != OFF

    @property
    def shape(self) -> tuple[Any, ...]:
        """What must be equal to share a forward."""
        return self.frames, self.steps, self.guided, self.interval, self.reuse


@dataclass(frozen=True)
class Prepared:
    """A request, read and checked."""

    request: PreviewRequest
    settings: Settings
    still: NDArray[np.uint8]
    fit: Fit

    @classmethod
    def of(cls, request: PreviewRequest, info: ModelInfo) -> Prepared:
        """Read a request for a model. Raises `InputError` for a still that is none, or too many drags."""
        info.check_drags(len(request.drags))
        still = decode_still(request.still_png, request.background)
        fit = Fit.of((still.shape[1], still.shape[0]), (info.width, info.height), request.fit)
        return cls(request, Settings.of(request, info), still, fit)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The measures of one clip: how close some frames come to it, and how far its points move in them.

Every measure is taken by the same code of three sets of frames: a model's, the frozen still (a clip that does not
move) and the real ones. `docs/evaluation.md` says how to read them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import metrics
from .clips import RealClip
from .motion import Found, MotionMeasures, Watched
from .tracking import DEFAULT_TRACKER, TRACKERS, Track

Frames = NDArray[np.uint8]
PictureDistance = Callable[[Frames, Frames], float]


@dataclass(frozen=True)
class Measures(MotionMeasures):
    """The measures of one set of frames; those of motion, and of pictures. None: nothing to measure it on.

    Attributes:
        psnr, ssim: against the real frames 2...N (decibels; -1 to 1).
        psnr_moving, ssim_moving: the same over the pixels where the real clip moves.
        psnr_untouched: over the other pixels, against the still: how well they stay put.
        drift_untouched: mean absolute change of those pixels from the still, in levels of 255.
        psnr_first: frame 1 against the still.
        background_changed: share of the pixels that the object never comes near which differ from the still.
        lpips: mean perceptual distance of frames 2...N from the real ones, where a network for it was given.
    """

    psnr: float
    ssim: float
    psnr_moving: float | None
    ssim_moving: float | None
    psnr_untouched: float | None
    drift_untouched: float | None
    psnr_first: float
    background_changed: float | None
    lpips: float | None


MEASURES = tuple(field.name for field in fields(Measures))


class Measuring:
    """Measures frames against one clip; what depends on the clip alone is worked out once.

    Args:
        clip: to measure against.
        track: finds points in frames.
        picture_distance: LPIPS, if wanted.
    """

    def __init__(
        self,
        clip: RealClip,
        track: Track = TRACKERS[DEFAULT_TRACKER],
        picture_distance: PictureDistance | None = None,
    ) -> None:
        self.clip, self._track, self._picture_distance = clip, track, picture_distance
        self._watched = Watched.of(clip)
        self._moving = metrics.moving_mask(clip.frames)

    @cached_property
    def real(self) -> Found:
        """Where the tracker finds the watched points in the real frames; may be set by whoever knows it already."""
        return self._watched.find(self.clip.frames, self._track)

    @property
    def frozen(self) -> Frames:
        """The clip that does not move: its still, N times."""
        return np.broadcast_to(self.clip.still, self.clip.frames.shape)

    def of(self, frames: Frames) -> Measures:
        """The measures of `frames`, uint8 `[N, H, W, 3]` of the clip's size."""
        clip = self.clip
        if frames.shape != clip.frames.shape:
            raise ValueError(f"frames {frames.shape}, the clip {clip.name} is {clip.frames.shape}")
        found = self.real if frames is clip.frames else self._watched.find(frames, self._track)
        made, real = frames[1:], clip.frames[1:]
        still = np.broadcast_to(clip.still, real.shape)
        similarity = metrics.ssim_map(made, real)
        distance = self._picture_distance
        return Measures(
            **asdict(self._watched.measure(found, self.real)),
            psnr=metrics.psnr(made, real),
            ssim=float(similarity.mean()),
            psnr_moving=metrics.psnr(made, real, self._moving),
            ssim_moving=metrics.masked_mean(similarity, self._moving),
            psnr_untouched=metrics.psnr(made, still, ~self._moving),
            drift_untouched=metrics.drift(made, clip.still, ~self._moving),
            psnr_first=metrics.psnr(frames[:1], clip.frames[:1]),
            background_changed=metrics.changed_share(made, clip.still, self._watched.background_mask),
            lpips=None if distance is None else distance(made, real),
        )


@dataclass(frozen=True)
class ClipScores:
    """The measures of a model on one clip, and of the baselines.

    Attributes:
        clip: the clip's name.
        model, still, truth: of the model's frames, the frozen still and the real frames.
        seconds: what generating took.
    """

    clip: str
    model: Measures
    still: Measures
    truth: Measures
    seconds: float

    def row(self) -> dict[str, Any]:
        """All of it in one flat mapping: `psnr` is the model's, `psnr_still` and `psnr_truth` the baselines'."""
        row: dict[str, Any] = {"clip": self.clip}
        for ending, measures in (("", self.model), ("_still", self.still), ("_truth", self.truth)):
            row |= {f"{name}{ending}": value for name, value in asdict(measures).items()}
        return row | {"seconds": self.seconds}


def score_clip(
    clip: RealClip, generated: Frames, seconds: float, track: Track = TRACKERS[DEFAULT_TRACKER]
) -> ClipScores:
    """Measure `generated`, uint8 `[N, H, W, 3]` of the clip's size, and the baselines against `clip`."""
    measuring = Measuring(clip, track)
    made = measuring.of(generated)
    return ClipScores(clip.name, made, measuring.of(measuring.frozen), measuring.of(clip.frames), seconds)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts a model to the test: gives it each clip's still and drags and measures the frames it makes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..backend.media import encode_png
from ..backend.protocol import Drag, DragPoint, PreviewRequest
from .clips import RealClip
from .measuring import ClipScores, score_clip
from .tracking import DEFAULT_TRACKER, TRACKERS, Track

if TYPE_CHECKING:
    from ..backend.pipeline import PreviewPipeline

# From a clip's still and drags to frames uint8 [N, H, W, 3]; it is not to look at the other frames.
Generate = Callable[[RealClip], NDArray[np.uint8]]


def score_clips(
    clips: Iterable[RealClip], generate: Generate, track: Track = TRACKERS[DEFAULT_TRACKER]
) -> list[ClipScores]:
    """Generate and measure each clip."""
    done = []
    for clip in clips:
        begun = time.perf_counter()
        frames = generate(clip)
        done.append(score_clip(clip, frames, time.perf_counter() - begun, track))
    return done


class PipelineUnderTest:
    """Makes a clip's frames with a model, from its still and drags alone.

    Where a clip has more drags than the model has slots, the moving ones come first and the rest is left out.

    Attributes:
        pipeline: the model.
        settings: what of a `PreviewRequest` is not left to the model: seed, steps, guidance.
        result: the record of the latest preview.
    """

    def __init__(self, pipeline: PreviewPipeline, settings: Mapping[str, Any] | None = None) -> None:
        self.pipeline, self.settings = pipeline, dict(settings or {})
        self.result: dict[str, Any] = {}

    def leaves_out(self, clip: RealClip) -> bool:
        """Whether the clip has more drags than the model has slots."""
        return len(clip.drags) > self.pipeline.info.num_drags

    def request(self, clip: RealClip) -> PreviewRequest:
        """What the model is asked for."""
        order = np.argsort(~clip.moving_drags, kind="stable")[: self.pipeline.info.num_drags]
        return PreviewRequest(
            still_png=encode_png(clip.still),
            drags=tuple(path_to_drag(f"drag {index}", clip.drags[index]) for index in sorted(order)),
            frames=len(clip.frames),
            **self.settings,
        )

    def __call__(self, clip: RealClip) -> NDArray[np.uint8]:
        """Frames uint8 `[N, H, W, 3]` of the clip's size."""
        frames, result = self.pipeline.generate(self.request(clip))
        self.result = result.to_json()
        return frames


def path_to_drag(name: str, path: NDArray[np.floating]) -> Drag:
    """A drag that passes each place of `path` `[N, 2]` at its frame's time."""
    times = np.linspace(0.0, 1.0, len(path)).tolist()
    points = (DragPoint(t, x, y) for t, (x, y) in zip(times, path.tolist(), strict=True))
    return Drag(name, tuple(points))

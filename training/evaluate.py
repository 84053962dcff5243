# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures a model on real clips: how close its frames come, and how far the dragged points follow.

Every measure is also taken, by the same code, of the baselines: the frozen still (a clip that does not
move) and, for motion, the real frames themselves. `docs/evaluation.md` says how to read them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..backend.media import encode_png
from ..backend.protocol import Drag, DragPoint, PreviewRequest
from . import metrics
from .clips import RealClip
from .tracking import DEFAULT_TRACKER, TRACKERS, Track

if TYPE_CHECKING:
    from ..backend.pipeline import PreviewPipeline

# From a clip's still and drags to frames uint8 [N, H, W, 3]; it is not to look at the other frames.
Generate = Callable[[RealClip], NDArray[np.uint8]]


@dataclass(frozen=True)
class ClipScores:
    """The measures of one clip. Names without an ending are the model's.

    Attributes:
        clip: the clip's name.
        psnr, ssim: over frames 2...N (decibels; -1 to 1).
        psnr_moving, ssim_moving: the same over the pixels where the real clip moves.
        psnr_untouched: over the other pixels, against the still: how well they stay put.
        drift_untouched: mean absolute change of those pixels from the still, in levels of 255.
        motion_error: mean distance in pixels (of frames whose longer side has 256) between where the
            tracker finds the dragged points and where the drags say, over moving drags and frames 2...N.
        pin_error: the same over the drags that ask their point to stay.
        seconds: what generating took.

    None where a clip has nothing to measure: no moving drag, no pin, no moving pixel.
    """

    clip: str
    psnr: float
    psnr_still: float
    ssim: float
    ssim_still: float
    psnr_moving: float | None
    psnr_moving_still: float | None
    ssim_moving: float | None
    ssim_moving_still: float | None
    psnr_untouched: float | None
    drift_untouched: float | None
    motion_error: float | None
    motion_error_still: float | None
    motion_error_truth: float | None
    pin_error: float | None
    pin_error_truth: float | None
    seconds: float


MEASURES = tuple(field.name for field in fields(ClipScores) if field.name not in ("clip", "seconds"))


def score_clip(
    clip: RealClip, generated: NDArray[np.uint8], seconds: float, track: Track = TRACKERS[DEFAULT_TRACKER]
) -> ClipScores:
    """Measure `generated`, uint8 `[N, H, W, 3]` of the clip's size, and the baselines against `clip`."""
    if generated.shape != clip.frames.shape:
        raise ValueError(f"generated {generated.shape}, the clip {clip.name} is {clip.frames.shape}")
    real = clip.frames[1:]
    frozen = np.broadcast_to(clip.still, clip.frames.shape)
    moving = metrics.moving_mask(clip.frames)

    def picture(frames: NDArray[np.uint8], ending: str) -> dict[str, float | None]:
        similarity = metrics.ssim_map(frames[1:], real)
        return {
            f"psnr{ending}": metrics.psnr(frames[1:], real),
            f"ssim{ending}": float(similarity.mean()),
            f"psnr_moving{ending}": metrics.psnr(frames[1:], real, moving),
            f"ssim_moving{ending}": metrics.masked_mean(similarity, moving),
        }

    def motion(frames: NDArray[np.uint8]) -> tuple[float | None, float | None]:
        if len(clip.drags) == 0:
            return None, None
        asked = clip.to_pixels(clip.drags)
        found = track(clip.at_measuring_size(frames), asked[:, 0])
        moves, stays = clip.moving_drags, ~clip.moving_drags
        error = metrics.point_error
        return error(found[moves], asked[moves]), error(found[stays], asked[stays])

    motion_error, pin_error = motion(generated)
    motion_error_still, _ = motion(frozen)
    motion_error_truth, pin_error_truth = motion(clip.frames)
    return ClipScores(
        clip=clip.name,
        **picture(generated, ""),
        **picture(frozen, "_still"),
        psnr_untouched=metrics.psnr(generated[1:], frozen[1:], ~moving),
        drift_untouched=metrics.drift(generated[1:], clip.still, ~moving),
        motion_error=motion_error,
        motion_error_still=motion_error_still,
        motion_error_truth=motion_error_truth,
        pin_error=pin_error,
        pin_error_truth=pin_error_truth,
        seconds=seconds,
    )


def score_clips(
    clips: Iterable[RealClip],
    generate: Generate,
    track: Track = TRACKERS[DEFAULT_TRACKER],
    on_clip: Callable[[RealClip, NDArray[np.uint8], ClipScores], None] = lambda clip, frames, scores: None,
) -> list[ClipScores]:
    """Generate and measure each clip; `on_clip` hears of each as it is done."""
    done = []
    for clip in clips:
        begun = time.perf_counter()
        frames = generate(clip)
        scores = score_clip(clip, frames, time.perf_counter() - begun, track)
        on_clip(clip, frames, scores)
        done.append(scores)
    return done


def summarise(scores: Sequence[ClipScores]) -> dict[str, Any]:
    """The report: means over clips of each clip's measure, the gap from those means, 95 % intervals.

    A clip that lacks a measure (None) is left out of that measure's mean alone; the three motion errors
    are lacking together, so they are means over the same clips.
    """
    report: dict[str, Any] = {"clips": len(scores)}
    for name in MEASURES:
        report[name] = metrics.mean_or_none([getattr(score, name) for score in scores])
    report["motion_gap_closed"] = _gap(report)
    report["psnr_gain"] = report["psnr"] - report["psnr_still"]
    report["psnr_moving_gain"] = (
        None if report["psnr_moving"] is None else report["psnr_moving"] - report["psnr_moving_still"]
    )
    report["seconds_per_clip"] = float(np.mean([score.seconds for score in scores]))
    report["confidence_95"] = _intervals(scores)
    report["clips_without_moving_drags"] = [score.clip for score in scores if score.motion_error is None]
    report["per_clip"] = [asdict(score) for score in scores]
    return report


def _gap(report: dict[str, Any]) -> float | None:
    errors = [report[name] for name in ("motion_error_still", "motion_error", "motion_error_truth")]
    return None if None in errors else metrics.gap_closed(*errors)


def _intervals(scores: Sequence[ClipScores]) -> dict[str, tuple[float, float] | None]:
    def interval(names: Sequence[str], statistic: Callable[..., Any]) -> tuple[float, float] | None:
        rows = np.array([[getattr(score, name) for name in names] for score in scores], dtype=np.float64)
        rows = rows[~np.isnan(rows).any(axis=1)]
        return metrics.bootstrap_interval(rows, lambda means: statistic(*means.T))

    intervals = {name: interval([name], lambda mean: mean) for name in MEASURES}
    for gain in ("psnr", "psnr_moving"):
        intervals[f"{gain}_gain"] = interval([gain, f"{gain}_still"], np.subtract)
    intervals["motion_gap_closed"] = interval(
        ["motion_error_still", "motion_error", "motion_error_truth"],
        lambda still, model, truth: (still - model) / (still - truth),
    )
    return intervals


class PipelineUnderTest:
    """Makes a clip's frames with a model, from its still and drags alone.

    Where a clip has more drags than the model has slots, the moving ones come first and the rest is left
    out; `clips_cut` names those clips.
    """

    def __init__(self, pipeline: PreviewPipeline, seed: int = 0, steps: int | None = None) -> None:
        self.pipeline = pipeline
        self.seed = seed
        self.steps = steps
        self.clips_cut: list[str] = []
        self.result: dict[str, Any] = {}

    def __call__(self, clip: RealClip) -> NDArray[np.uint8]:
        """Frames uint8 `[N, H, W, 3]` of the clip's size."""
        order = np.argsort(~clip.moving_drags, kind="stable")
        slots = self.pipeline.info.num_drags
        if len(order) > slots:
            self.clips_cut.append(clip.name)
        request = PreviewRequest(
            still_png=encode_png(clip.still),
            drags=tuple(path_to_drag(f"drag {index}", clip.drags[index]) for index in sorted(order[:slots])),
            frames=len(clip.frames),
            steps=self.steps,
            seed=self.seed,
        )
        frames, result = self.pipeline.generate(request)
        self.result = result.to_json()
        return frames


def path_to_drag(name: str, path: NDArray[np.floating]) -> Drag:
    """A drag that passes each place of `path` `[N, 2]` at its frame's time."""
    times = np.linspace(0.0, 1.0, len(path)).tolist()
    points = (DragPoint(t, x, y) for t, (x, y) in zip(times, path.tolist(), strict=True))
    return Drag(name, tuple(points))

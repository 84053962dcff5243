# SPDX-License-Identifier: GPL-3.0-or-later
"""Which stretch of an animation a clip shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LONGEST_STEP = 1 / 6  # seconds between two frames of a clip: longer animations are cut, not sped up
STARTS = 64  # stretches that are compared


def choose_times(
    first: float,
    last: float,
    fps: float,
    frames: int,
    rng: np.random.Generator,
    places: tuple[NDArray[np.float64], NDArray[np.float32]] | None = None,
) -> NDArray[np.float64]:
    """Frame numbers of a clip's frames, evenly spaced, float64 `[frames]`; they may lie between whole ones.

    An animation of up to `LONGEST_STEP · (frames - 1)` seconds is shown whole. Of a longer one a stretch is drawn
    with a probability that grows with how far things get in it, so that a clip of a long animation in which little
    happens still shows what happens.

    Args:
        first: first frame of the animation.
        last: last frame.
        fps: frames a second.
        frames: how many the clip has, at least 2.
        rng: decides everything random.
        places: where points are, `[F, P, 3]`, at the frame numbers `[F]`; NaN where one is absent. None: all
            stretches are alike.
    """
    length = min(last - first, LONGEST_STEP * fps * (frames - 1))
    starts = np.linspace(first, last - length, STARTS) if last - first > length else np.array([first])
    start = starts[0]
    if len(starts) > 1:
        reach = np.ones(len(starts)) if places is None else _reach(*places, starts, length)
        chosen = int(rng.choice(len(starts), p=reach / reach.sum()))
        gap = starts[1] - starts[0]
        start = float(np.clip(starts[chosen] + rng.uniform(-gap / 2, gap / 2), first, last - length))
    return start + length * np.arange(frames) / (frames - 1)


def _reach(
    times: NDArray[np.float64], places: NDArray[np.float32], starts: NDArray[np.float64], length: float
) -> NDArray[np.float64]:
    """How far the farthest tenth of the points get from their start within each stretch, squared, `[starts]`."""
    moved = np.zeros(len(starts))
    for index, start in enumerate(starts.tolist()):
        inside = np.flatnonzero((times >= start - 1e-6) & (times <= start + length + 1e-6))
        if len(inside) > 1:
            away = np.linalg.norm(places[inside] - places[inside[0]], axis=-1)
            farthest = np.where(np.isfinite(away), away, 0.0).max(0)
            moved[index] = np.quantile(farthest, 0.9)
    return moved**2 + 1e-3 * max(float((moved**2).max()), 1e-12)

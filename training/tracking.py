# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a point of the first frame is in the later ones, found from the pictures alone.

A tracker is told the start points and nothing else of the drags, so it can be held against them. Several
are here because which one to trust is measured, on real frames only, before any model is looked at:
`tests/bench/choose_tracker.py` prints the table that `docs/evaluation.md` shows.

Frames are uint8 RGB `[N, H, W, 3]`; points are pixel positions `[K, xy]` (float64, pixel centres at whole
numbers, K > 0); tracks come back as `[K, N, xy]`, the start in frame 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from .metrics import moving_mask

Points = NDArray[np.float64]
Flow = NDArray[np.float32]  # [H, W, xy]: how far each pixel goes to the next frame
Track = Callable[[NDArray[np.uint8], Points], Points]
Estimate = Callable[[NDArray[np.uint8], NDArray[np.uint8]], Flow]


def stay(frames: NDArray[np.uint8], starts: Points) -> Points:
    """The tracker that never moves: every other one has to beat it."""
    return np.repeat(starts[:, None], len(frames), axis=1)


def lucas_kanade(window: int, levels: int, round_trip: float | None = None) -> Track:
    """Sparse Lucas-Kanade on pyramids, from each frame to the next.

    Args:
        window: side of the square that is matched, pixels.
        levels: pyramid levels above the frame itself.
        round_trip: a step whose way back misses its start by more than this many pixels is not made.
    """
    settings = {"winSize": (window, window), "maxLevel": levels}

    def track(frames: NDArray[np.uint8], starts: Points) -> Points:
        greys = _greys(frames)
        at = starts.astype(np.float32)[:, None]
        path = [at]
        for before, after in pairwise(greys):
            to, found, _ = cv2.calcOpticalFlowPyrLK(before, after, at, None, **settings)
            good = found[:, 0] == 1
            if round_trip is not None:
                back, found, _ = cv2.calcOpticalFlowPyrLK(after, before, to, None, **settings)
                good &= (found[:, 0] == 1) & (np.linalg.norm(back - at, axis=-1)[:, 0] <= round_trip)
            at = np.where(good[:, None, None], to, at)
            path.append(at)
        return np.concatenate(path, axis=1).astype(np.float64)

    return track


def chained(estimate: Estimate) -> Track:
    """Follows a dense flow from each frame to the next."""

    def track(frames: NDArray[np.uint8], starts: Points) -> Points:
        greys = _greys(frames)
        path = [starts]
        for before, after in pairwise(greys):
            # Equal frames (a frozen clip) hold no motion; no need to look for it.
            moved = 0.0 if np.array_equal(before, after) else _sample(estimate(before, after), path[-1])
            path.append(path[-1] + moved)
        return np.stack(path, axis=1)

    return track


def direct(estimate: Estimate) -> Track:
    """Reads a dense flow from the first frame to each other one: no drift, but farther to look."""

    def track(frames: NDArray[np.uint8], starts: Points) -> Points:
        greys = _greys(frames)
        later = [starts + _sample(estimate(greys[0], grey), starts) for grey in greys[1:]]
        return np.stack([starts, *later], axis=1)

    return track


def of_neighbourhood(track: Track, radius: int, step: int = 1) -> Track:
    """The mean way of the points around each start, of those alone that lie where the clip moves.

    A start beside a thin part (a handle, the edge of a lid) falls off it; its neighbours on the part do not.

    Args:
        track: follows the neighbours.
        radius: of the neighbourhood, pixels.
        step: between neighbours, pixels.
    """
    offsets = np.arange(-radius, radius + 1, step)
    disc = np.stack(np.meshgrid(offsets, offsets), axis=-1).reshape(-1, 2)
    disc = disc[np.linalg.norm(disc, axis=1) <= radius]

    def track_around(frames: NDArray[np.uint8], starts: Points) -> Points:
        moves = moving_mask(frames, margin=0)
        groups = [_on_the_part(np.rint(start) + disc, moves) for start in starts]
        paths = track(frames, np.concatenate(groups))
        ways = paths - paths[:, :1]
        ends = np.cumsum([len(group) for group in groups])
        means = [way.mean(axis=0) for way in np.split(ways, ends[:-1])]
        return starts[:, None] + np.stack(means)

    return track_around


def dis_flow(
    preset: int = cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
    patch: int | None = None,
    stride: int | None = None,
    finest_scale: int | None = None,
) -> Estimate:
    """Dense inverse search (Kroeger et al. 2016); None leaves a setting to the preset.

    Larger patches than the preset's 8 pixels look farther and are not lost on plain surfaces; a stride
    below its 3 keeps thin parts apart from what is behind them. Finest scale 0 is full resolution; the
    preset ends at half.
    """
    flow = cv2.DISOpticalFlow.create(preset)
    if patch is not None:
        flow.setPatchSize(patch)
    if stride is not None:
        flow.setPatchStride(stride)
    if finest_scale is not None:
        flow.setFinestScale(finest_scale)
    return lambda before, after: flow.calc(before, after, None)


def farneback_flow(window: int, levels: int = 4) -> Estimate:
    """Polynomial expansion (Farnebäck 2003)."""
    return lambda before, after: cv2.calcOpticalFlowFarneback(
        before, after, None, 0.5, levels, window, iterations=5, poly_n=7, poly_sigma=1.5, flags=0
    )


def _greys(frames: NDArray[np.uint8]) -> Sequence[NDArray[np.uint8]]:
    return [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in frames]


def _sample(flow: Flow, points: Points) -> Points:
    """The flow at `points` `[P, 2]`, bilinear; beyond the frame, that of its border."""
    places = points.astype(np.float32)[:, None]
    found = cv2.remap(flow, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found[:, 0].astype(np.float64)


def _on_the_part(points: Points, moves: NDArray[np.bool_]) -> Points:
    """The `points` inside the frame that move; all inside it where none does."""
    height, width = moves.shape
    inside = points[((points >= 0) & (points <= (width - 1, height - 1))).all(axis=1)]
    moving = inside[moves[tuple(inside[:, ::-1].astype(int).T)]]
    return moving if len(moving) else inside


TRACKERS: dict[str, Track] = {
    "still": stay,
    "lk-21": lucas_kanade(21, 3),
    "lk-41": lucas_kanade(41, 3),
    "lk-41-check": lucas_kanade(41, 3, round_trip=1.5),
    "lk-31-around": of_neighbourhood(lucas_kanade(31, 3), radius=12, step=4),
    "farneback": chained(farneback_flow(25)),
    "dis-direct": direct(dis_flow()),
    "dis": chained(dis_flow()),
    "dis-around": of_neighbourhood(chained(dis_flow()), radius=12),
    "dis-dense": chained(dis_flow(patch=12, stride=2)),
    "dis-dense-around": of_neighbourhood(chained(dis_flow(patch=12, stride=2)), radius=16),
    "dis-full-around": of_neighbourhood(chained(dis_flow(patch=12, stride=2, finest_scale=0)), radius=16),
}
DEFAULT_TRACKER = "dis-full-around"

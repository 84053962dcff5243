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
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from .metrics import moving_mask

Points = NDArray[np.float64]
Flow = NDArray[np.float32]  # [H, W, xy]: how far each pixel goes to the next frame
Track = Callable[[NDArray[np.uint8], Points], Points]
Estimate = Callable[[NDArray[np.uint8], NDArray[np.uint8]], Flow]

REMAP_ROWS = 30_000  # OpenCV looks up fewer than 2^15 places at a time


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


@dataclass(frozen=True)
class Neighbourhood:
    """A tracker: the mean way of the points around each start, of those alone that lie where the clip moves.

    A start beside a thin part (a handle, the edge of a lid) falls off it; its neighbours on the part do not.

    Attributes:
        track: follows the neighbours.
        radius: of the neighbourhood, pixels.
        step: between neighbours, pixels.
    """

    track: Track
    radius: int
    step: int = 1

    def __call__(self, frames: NDArray[np.uint8], starts: Points) -> Points:
        """Tracks `[K, N, xy]` of `starts`."""
        return self.with_points(frames, starts, np.zeros((0, 2)))[0]

    def with_points(self, frames: NDArray[np.uint8], starts: Points, points: Points) -> tuple[Points, Points]:
        """Tracks of `starts` by their neighbourhoods and of `points` by themselves, in one look at the frames."""
        moves = moving_mask(frames, margin=0)
        groups = [_on_the_part(np.rint(start) + self._disc(), moves) for start in starts]
        paths = self.track(frames, np.concatenate([*groups, points]))
        ends = np.cumsum([0, *(len(group) for group in groups)])
        means = [(paths[i:j] - paths[i:j, :1]).mean(axis=0) for i, j in pairwise(ends)]
        ways = np.stack(means) if means else np.zeros((0, len(frames), 2))
        return starts[:, None] + ways, paths[ends[-1] :]

    def _disc(self) -> NDArray[np.int_]:
        offsets = np.arange(-self.radius, self.radius + 1, self.step)
        square = np.stack(np.meshgrid(offsets, offsets), axis=-1).reshape(-1, 2)
        return square[np.linalg.norm(square, axis=1) <= self.radius]


def follow(track: Track, frames: NDArray[np.uint8], dragged: Points, points: Points) -> tuple[Points, Points]:
    """Tracks of `dragged` starts, which may lie a little beside what moves, and of `points`, which do not.

    Either may be empty. Dense flow is the dear part of tracking and the same for both, so it is estimated once.

    Returns:
        `[K, N, xy]` and `[P, N, xy]`.
    """
    if len(dragged) + len(points) == 0:
        return np.zeros((0, len(frames), 2)), np.zeros((0, len(frames), 2))
    if isinstance(track, Neighbourhood):
        return track.with_points(frames, dragged, points)
    paths = track(frames, np.concatenate([dragged, points]))
    return paths[: len(dragged)], paths[len(dragged) :]


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
    parts = [places[i : i + REMAP_ROWS] for i in range(0, len(places), REMAP_ROWS)]
    found = [cv2.remap(flow, part, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for part in parts]
    return np.concatenate(found)[:, 0].astype(np.float64)


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
    "lk-31-around": Neighbourhood(lucas_kanade(31, 3), radius=12, step=4),
    "farneback": chained(farneback_flow(25)),
    "dis-direct": direct(dis_flow()),
    "dis": chained(dis_flow()),
    "dis-around": Neighbourhood(chained(dis_flow()), radius=12),
    "dis-dense": chained(dis_flow(patch=12, stride=2)),
    "dis-dense-around": Neighbourhood(chained(dis_flow(patch=12, stride=2)), radius=16),
    "dis-full-around": Neighbourhood(chained(dis_flow(patch=12, stride=2, finest_scale=0)), radius=16),
}
DEFAULT_TRACKER = "dis-full-around"

# SPDX-License-Identifier: GPL-3.0-or-later
"""Choosing drags among a clip's tracks, and straightening them as an animator would draw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .tracks import Tracks

MAX_DRAGS = 5
MIN_DISPLACEMENT = 0.02  # of the image's side; less is not worth a drag
STILL = 0.004  # a point that never leaves its start by more is still
NEAR = 0.04  # drags that never differ by more than this say the same thing
REACH = 0.5  # a drag leaves the frame by this at most: nobody draws farther
PIN_CHANCE = 0.3
COUNT_WEIGHTS = (0.5, 0.2, 0.14, 0.09, 0.07)
RETURNS = 0.9  # a track that ends nearer than this share of how far it gets turns back


@dataclass(frozen=True)
class Drags:
    """K tracks chosen as drags, pins last.

    Attributes:
        index: which tracks they are, `[K]`.
        smooth: the tracks as they are, float32 `[K, N, 2]`.
        straight: the same in straight strokes, float32 `[K, N, 2]`; starts and ends are the same.
    """

    index: NDArray[np.intp]
    smooth: NDArray[np.float32]
    straight: NDArray[np.float32]

    def __len__(self) -> int:
        """Number of drags."""
        return len(self.index)


def displacement(xy: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far each track gets from its start, `[P]`, in shares of the image's side."""
    return np.linalg.norm(xy - xy[:, :1], axis=-1).max(1)


def choose_drags(tracks: Tracks, rng: np.random.Generator, groups: Sequence[Sequence[int]] = ()) -> Drags:
    """Choose at most `MAX_DRAGS` tracks, perhaps none.

    Each moving part gets a drag as long as there is room, those that move farther first by chance; parts may get
    more. Within a part points are drawn with weights that grow with their displacement, among those visible at the
    start. With some probability a pin or two on what is still follow.

    Args:
        tracks: the clip's tracks.
        rng: decides everything random.
        groups: part ids by cause of motion: each group counts as one part, parts in none only get what room is left.
            Empty: every part for itself.
    """
    moved = displacement(tracks.xy)
    inside = ((tracks.xy >= -REACH) & (tracks.xy <= 1 + REACH)).all(axis=(1, 2))
    startable = tracks.visible[:, 0] & inside
    movers = startable & (moved >= MIN_DISPLACEMENT)
    chosen: list[int] = []
    if movers.any():
        for group in _order(groups or [[part] for part in np.unique(tracks.part[movers])], tracks, movers, moved, rng):
            if len(chosen) < MAX_DRAGS:
                _draw(chosen, movers & np.isin(tracks.part, group), moved, tracks.xy, rng)
        wanted = max(len(chosen), 1 + int(rng.choice(MAX_DRAGS, p=COUNT_WEIGHTS)))
        while len(chosen) < wanted and _draw(chosen, movers, moved, tracks.xy, rng):
            pass
        if rng.random() < PIN_CHANCE:
            still = startable & (moved <= STILL)
            for _ in range(min(int(rng.integers(1, 3)), MAX_DRAGS - len(chosen))):
                _draw(chosen, still, np.ones_like(moved), tracks.xy, rng)
    index = np.array(chosen, np.intp)
    smooth = tracks.xy[index].astype(np.float32)
    return Drags(index, smooth, straighten(smooth))


def straighten(xy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Tracks `[K, N, 2]` as an animator draws them: one straight stroke, or two where the track turns back.

    A stroke is travelled as the track itself is, by the share of its length done at each frame.
    """
    straight = np.array(xy, np.float32)
    for row, track in enumerate(np.asarray(xy, np.float64)):
        away = np.linalg.norm(track - track[0], axis=1)
        turning = int(away.argmax())
        corners = [0, turning, len(track) - 1] if away[-1] < RETURNS * away.max() else [0, len(track) - 1]
        for start, end in pairwise(corners):
            straight[row, start : end + 1] = _stroke(track[start : end + 1])
    return straight


def _stroke(track: NDArray[np.float64]) -> NDArray[np.float64]:
    """A track `[n, 2]` laid on the line from its start to its end."""
    travelled = np.append(0.0, np.linalg.norm(np.diff(track, axis=0), axis=1).cumsum())
    share = travelled / (travelled[-1] or 1.0)
    return track[0] + share[:, None] * (track[-1] - track[0])


def _order(
    groups: Sequence[Sequence[int]],
    tracks: Tracks,
    movers: NDArray[np.bool_],
    moved: NDArray[np.float32],
    rng: np.random.Generator,
) -> list[Sequence[int]]:
    """The groups that move, in an order drawn with weights that grow with how far their points get."""
    inside = [movers & np.isin(tracks.part, group) for group in groups]
    reach = np.array([moved[mine].max() if mine.any() else 0.0 for mine in inside], np.float64)
    moving = np.flatnonzero(reach)
    if not len(moving):
        return []
    drawn = rng.choice(moving, size=len(moving), replace=False, p=reach[moving] / reach[moving].sum())
    return [groups[number] for number in drawn]


def _draw(
    chosen: list[int],
    allowed: NDArray[np.bool_],
    weight: NDArray[np.float32],
    xy: NDArray[np.float32],
    rng: np.random.Generator,
) -> bool:
    """Add one allowed track that is not nearly one of the chosen; False when there is none left."""
    open_to = allowed.copy()
    for index in chosen:
        open_to &= np.linalg.norm(xy - xy[index], axis=2).max(1) > NEAR
    candidates = np.flatnonzero(open_to)
    if not len(candidates):
        return False
    chances = weight[candidates].astype(np.float64)
    chosen.append(int(rng.choice(candidates, p=chances / chances.sum())))
    return True

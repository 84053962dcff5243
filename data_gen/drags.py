# SPDX-License-Identifier: GPL-3.0-or-later
"""Choosing drags among a clip's tracks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .tracks import Tracks

MAX_DRAGS = 5
MIN_DISPLACEMENT = 0.02  # of the image's side; less is not worth a drag
STILL = 0.004  # a point that never leaves its start by more is still
NEAR = 0.04  # drags whose starts and ends are both nearer than this say the same thing
PIN_CHANCE = 0.3
COUNT_WEIGHTS = (0.5, 0.2, 0.14, 0.09, 0.07)


def displacement(xy: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far each track gets from its start, `[P]`, in shares of the image's side."""
    return np.linalg.norm(xy - xy[:, :1], axis=-1).max(1)


def choose_drags(tracks: Tracks, rng: np.random.Generator, groups: Sequence[Sequence[int]] = ()) -> NDArray[np.intp]:
    """Indices of the tracks that become drags, pins last; at most `MAX_DRAGS`, perhaps none.

    Moving points visible at the start are drawn with weights that grow with their displacement; with
    some probability a pin or two on still parts follow.

    Args:
        tracks: the clip's tracks.
        rng: decides everything random.
        groups: part ids by cause of motion; each group that has a candidate gets a drag, so that no
            motion goes unexplained.
    """
    moved = displacement(tracks.xy)
    startable = tracks.visible[:, 0]
    movers = startable & (moved >= MIN_DISPLACEMENT)
    if not movers.any():
        return np.zeros(0, np.intp)
    chosen: list[int] = []
    for group in groups:
        _draw(chosen, movers & np.isin(tracks.part, group), moved, tracks.xy, rng)
    wanted = max(len(chosen), 1 + int(rng.choice(MAX_DRAGS, p=COUNT_WEIGHTS)))
    while len(chosen) < min(wanted, MAX_DRAGS) and _draw(chosen, movers, moved, tracks.xy, rng):
        pass
    if rng.random() < PIN_CHANCE:
        still = startable & (moved <= STILL)
        for _ in range(min(int(rng.integers(1, 3)), MAX_DRAGS - len(chosen))):
            _draw(chosen, still, np.ones_like(moved), tracks.xy, rng)
    return np.array(chosen[:MAX_DRAGS], np.intp)


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
        starts = np.linalg.norm(xy[:, 0] - xy[index, 0], axis=1)
        ends = np.linalg.norm(xy[:, -1] - xy[index, -1], axis=1)
        open_to &= ~((starts < NEAR) & (ends < NEAR))
    candidates = np.flatnonzero(open_to)
    if not len(candidates):
        return False
    chances = weight[candidates].astype(np.float64)
    chosen.append(int(rng.choice(candidates, p=chances / chances.sum())))
    return True

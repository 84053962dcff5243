# SPDX-License-Identifier: GPL-3.0-or-later
"""What a shot is about: what moves in it and what that belongs to, not the floor, the walls and the sky.

Measured against a whole set, a door's swing is next to nothing, and a camera that frames the set hardly shows it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .recording import Recording

STILL = 1e-3  # of an item's own extent: less motion is none
BACKDROP = 8.0  # an item so many times as large as all that moves is a backdrop
NEAR = 0.5  # of the extent of all that moves: what is farther from it does not belong to it


def find_focus(recording: Recording) -> frozenset[str] | None:
    """The names of the items a shot is about; None where that is all of them, or nothing moves.

    Args:
        recording: the shot at some moments spread over its length.
    """
    low, high = item_boxes(recording)
    moves = _motion(recording) > STILL * (high - low).max(1)
    if not moves.any():
        return None
    reach_low, reach_high = low[moves].min(0), high[moves].max(0)
    extent = float((reach_high - reach_low).max())
    near = ((low <= reach_high + NEAR * extent) & (high >= reach_low - NEAR * extent)).all(1)
    small = (high - low).max(1) <= BACKDROP * extent
    belongs = moves | (near & small)
    if belongs.all():
        return None
    return frozenset(name for name, chosen in zip(recording.names, belongs, strict=True) if chosen)


def item_boxes(recording: Recording) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest coordinates that each item reaches, `[items, 3]` each."""
    low, high = np.full((2, len(recording.names), 3), np.nan)
    for item in range(len(recording.names)):
        places = recording.positions[:, recording.vertex_owner == item].reshape(-1, 3)
        low[item], high[item] = places.min(0), places.max(0)
    return low, high


def _motion(recording: Recording) -> NDArray[np.float64]:
    """How far each item's farthest vertex gets from where it first is, `[items]`; popping up counts as moving far."""
    away = np.zeros(len(recording.names))
    for places in recording.positions[1:]:
        np.maximum.at(away, recording.vertex_owner, np.linalg.norm(places - recording.positions[0], axis=1))
    away[~recording.present.all(0)] = np.inf
    return away

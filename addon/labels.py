# SPDX-License-Identifier: GPL-3.0-or-later
"""Where short texts beside points lie so that none covers another. Pixels, y upwards; numpy only."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

Pair = tuple[float, float]
ROUNDING = 1e-6  # boxes that touch do not overlap


@functools.lru_cache(maxsize=16)  # a view is drawn more often than it changes
def place(
    anchors: tuple[Pair, ...], sizes: tuple[Pair, ...], region: Pair, offset: Pair, keep_off: float, gap: float
) -> tuple[Pair, ...]:
    """Lower left corners of labels, each as near as it can be to where it would lie by itself.

    All lie in the region. One lies over another only where those before it have left no room, and over an anchor
    only where there is no other place. The upper ones choose first, so that a pile is in the order of its points.

    Args:
        anchors: the points that the labels belong to.
        sizes: the labels' widths and heights.
        region: width and height of where labels may lie.
        offset: from an anchor to the lower left corner of a label that has all the room it wants.
        keep_off: half the side of the square around each anchor that labels leave free.
        gap: between two labels.
    """
    points = np.array(anchors, dtype=np.float64).reshape(-1, 2)
    marks = np.concatenate([points - keep_off, points + keep_off], axis=1)
    lengths = np.array(sizes, dtype=np.float64).reshape(-1, 2)
    taken, corners = np.zeros((0, 4)), np.zeros_like(points)
    for index in np.lexsort((points[:, 0], -points[:, 1])):
        size = lengths[index]
        room = np.maximum(np.array(region) - size, 0.0)
        wanted = np.clip(points[index] + offset, 0.0, room)
        corner = _nearest_free(wanted, size, room, np.concatenate([taken, marks]))
        if corner is None:
            corner = _nearest_free(wanted, size, room, taken)
        if corner is None:
            corner = wanted
        corners[index] = corner
        taken = np.concatenate([taken, [[*(corner - gap), *(corner + size + gap)]]])
    return tuple((float(x), float(y)) for x, y in corners)


def nearest_point(corner: Pair, size: Pair, point: Pair) -> Pair:
    """The point of a label that is nearest to another one: where a line from there ends."""
    x, y = (min(max(at, low), low + length) for at, low, length in zip(point, corner, size, strict=True))
    return x, y


def _nearest_free(
    wanted: NDArray[np.float64], size: NDArray[np.float64], room: NDArray[np.float64], boxes: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """The corner nearest to the wanted one where a label overlaps no box `[N, 4]`; None if there is none.

    It is the wanted one itself, or one that lies beside a box or at the region's edge in x, in y or in both.
    """
    places, covers = [], []
    for axis in (0, 1):
        low, high = boxes[:, axis], boxes[:, axis + 2]
        along = np.concatenate([[wanted[axis], 0.0, room[axis]], low - size[axis], high])
        along = along[(along >= 0.0) & (along <= room[axis]), None]
        places.append(along[:, 0])
        covers.append((along + size[axis] > low + ROUNDING) & (along < high - ROUNDING))
    # A label covers a box if it does so in x and in y: for all pairs of places at once, a product of matrices.
    columns, rows = np.nonzero(covers[0].astype(np.float32) @ covers[1].T.astype(np.float32) == 0.0)
    free = np.stack([places[0][columns], places[1][rows]], axis=1)
    if not len(free):
        return None
    return free[np.hypot(*(free - wanted).T).argmin()]

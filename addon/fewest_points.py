# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion as a drag that can be edited: the fewest points through which it keeps to the motion, at every time.

Numpy only. "linear" drags get the fewest points that there can be, by dynamic programming over the motion's own
samples; "smooth" ones are tried point by point and taken where they need fewer: most animated motion starts and ends at
rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..backend.protocol import Drag, DragPoint

MOST_LINEAR = 100  # samples looked at as points of a linear drag, unless so few do not serve
MOST_SMOOTH = 24  # and of a smooth one, of which every trial takes longer
MOST_SMOOTH_POINTS = 8


def fewest_points(times: NDArray[np.float64], path: NDArray[np.float64], tolerance: float) -> tuple[list[int], str]:
    """The rows of a path that a drag has to pass to keep to all others, and its ease.

    Args:
        times: when the path is where, rising from 0 to 1, `[N]`.
        path: places, `[N, 2]`; the first lies within 0 to 1.
        tolerance: how far the drag may be from the path at any of the times, in the path's units.

    Returns:
        Rising rows, the first and the last among them, and "linear" or "smooth".
    """
    linear = _linear(times, path, tolerance)
    smooth = _smooth(times, path, tolerance, min(len(linear) - 1, MOST_SMOOTH_POINTS))
    return (linear, "linear") if smooth is None else (smooth, "smooth")


def _linear(times: NDArray[np.float64], path: NDArray[np.float64], tolerance: float) -> list[int]:
    found = _chain(times, path, tolerance, _spread(len(path), MOST_LINEAR))
    return found or _chain(times, path, tolerance, np.arange(len(path)))


def _spread(count: int, most: int) -> NDArray[np.intp]:
    """At most so many rows of `count`, evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))


def _chain(
    times: NDArray[np.float64], path: NDArray[np.float64], tolerance: float, knots: NDArray[np.intp]
) -> list[int]:
    """The shortest chain of knots from the first to the last; of equally short ones that with the least error.

    Empty where none is within tolerance.
    """
    last = len(knots) - 1
    steps, worst, following = np.full(last + 1, np.inf), np.zeros(last + 1), np.zeros(last + 1, np.intp)
    steps[last] = 0
    for knot in range(last - 1, -1, -1):
        errors = _errors_of_chords(times, path, tolerance, knots[knot], knots[knot + 1 :])
        ahead = np.where(errors <= tolerance, steps[knot + 1 :] + 1, np.inf)
        steps[knot] = ahead.min()
        errors = np.where(ahead == steps[knot], np.maximum(errors, worst[knot + 1 :]), np.inf)
        following[knot] = knot + 1 + errors.argmin()
        worst[knot] = errors.min()
    if not np.isfinite(steps[0]):
        return []
    chain = [0]
    while chain[-1] != last:
        chain.append(int(following[chain[-1]]))
    return knots[chain].tolist()


def _errors_of_chords(
    times: NDArray[np.float64], path: NDArray[np.float64], tolerance: float, start: int, ends: NDArray[np.intp]
) -> NDArray[np.float64]:
    """How far even motion from one row to each of `ends` is from the rows between, at most; infinite where too far."""
    since = times[start + 1 : ends[-1] + 1] - times[start]
    speeds = (path[start + 1 : ends[-1] + 1] - path[start]) / since[:, None]
    # Each row between leaves a range of speeds, the narrower the later: most ends need no closer look.
    slack = (tolerance / since)[:, None]
    low, high = np.maximum.accumulate(speeds - slack), np.minimum.accumulate(speeds + slack)
    at = ends - start - 1
    hopeful = ((speeds[at] >= low[at]) & (speeds[at] <= high[at])).all(axis=1)
    at = at[hopeful]
    off = (speeds[at][:, None] - speeds) * since[:, None]
    between = np.arange(len(since)) < at[:, None]
    errors = np.full(len(ends), np.inf)
    errors[hopeful] = np.where(between, np.hypot(off[..., 0], off[..., 1]), 0.0).max(axis=1, initial=0.0)
    return errors


def _smooth(times: NDArray[np.float64], path: NDArray[np.float64], tolerance: float, most: int) -> list[int] | None:
    """Rows for a smooth drag of at most so many points, each the one that helps most; None if they do not serve."""
    rows, candidates = [0, len(path) - 1], _spread(len(path), MOST_SMOOTH).tolist()
    while len(rows) <= most:
        if _error_of_smooth(times, path, rows) <= tolerance:
            return rows
        trials = [sorted([*rows, row]) for row in candidates if row not in rows]
        if len(rows) == most or not trials:
            break
        rows = min(trials, key=lambda trial: _error_of_smooth(times, path, trial))
    return None


def _error_of_smooth(times: NDArray[np.float64], path: NDArray[np.float64], rows: Sequence[int]) -> float:
    points = tuple(DragPoint(float(times[row]), float(path[row, 0]), float(path[row, 1])) for row in rows)
    return float(np.hypot(*(Drag("motion", points, "smooth").at(times) - path).T).max())

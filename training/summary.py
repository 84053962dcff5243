# SPDX-License-Identifier: GPL-3.0-or-later
"""From the measures of clips to the figures of a model: means, gaps closed, differences, and how sure they are.

All intervals are 95 % percentile intervals over clips drawn with replacement (`metrics.bootstrap_interval`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .measuring import MEASURES, ClipScores
from .metrics import bootstrap_interval, gap_closed

GAPS = {"motion_gap_closed": "motion_error", "points_gap_closed": "points_error"}
GAINS = ("psnr", "psnr_moving")
ENDINGS = ("", "_still", "_truth")

Rows = Sequence[dict[str, Any]]
Interval = tuple[float, float] | None


def summarise(scores: Sequence[ClipScores]) -> dict[str, Any]:
    """A model's report: means over clips, ratios of such means, intervals, and every clip's own measures.

    A clip that lacks a measure (None) is left out of that measure's mean alone; those that belong together (an
    error and its baselines) are lacking together, so they are means over the same clips.
    """
    rows = [score.row() for score in scores]
    report: dict[str, Any] = {"clips": len(rows)}
    intervals: dict[str, Interval] = {}

    def add(name: str, columns: Sequence[str], statistic: Callable[..., Any]) -> None:
        report[name], intervals[name] = _estimate(rows, columns, statistic)

    for name in MEASURES:
        for ending in ENDINGS:
            add(name + ending, [name + ending], lambda mean: mean)
    for name, error in GAPS.items():
        add(name, [f"{error}_still", error, f"{error}_truth"], _gap)
    for ending in ENDINGS:
        add(f"whole_to_part{ending}", [f"rest_motion{ending}", f"part_motion{ending}"], _ratio)
    for name in GAINS:
        add(f"{name}_gain", [name, f"{name}_still"], np.subtract)
    add("seconds_per_clip", ["seconds"], lambda mean: mean)
    return {
        **report,
        "confidence_95": intervals,
        "difference_to_still": _differences(rows, [f"{name}_still" for name in MEASURES]),
        "clips_without_moving_drags": [row["clip"] for row in rows if row["motion_error"] is None],
        "per_clip": [row | _gaps_of_clip(row) for row in rows],
    }


def compare(scores: Sequence[ClipScores], first: Sequence[ClipScores]) -> dict[str, Any]:
    """Mean differences of a model's measures from those of another on the same clips, with intervals."""
    other = [{f"{name}_first": value for name, value in score.row().items()} for score in first]
    rows = [score.row() | row for score, row in zip(scores, other, strict=True)]
    return _differences(rows, [f"{name}_first" for name in MEASURES])


def _differences(rows: Rows, others: Sequence[str]) -> dict[str, Any]:
    """For each measure its mean difference, clip by clip, from its column in `others`; None without clips."""
    found = {}
    for name, other in zip(MEASURES, others, strict=True):
        mean, interval = _estimate(rows, [name, other], np.subtract)
        found[name] = None if mean is None else {"mean": mean, "confidence_95": interval}
    return found


def _estimate(
    rows: Rows, columns: Sequence[str], statistic: Callable[..., NDArray[np.float64]]
) -> tuple[float | None, Interval]:
    """A statistic of the means of `columns` over the clips that have them all, and its interval."""
    values = np.array([[row[name] for name in columns] for row in rows], dtype=np.float64).reshape(-1, len(columns))
    values = values[~np.isnan(values).any(axis=1)]
    if len(values) == 0:
        return None, None
    value = float(statistic(*values.mean(axis=0, keepdims=True).T)[0])
    if not np.isfinite(value):
        return None, None
    return value, bootstrap_interval(values, lambda means: statistic(*means.T))


def _gap(still: NDArray[np.float64], model: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """`metrics.gap_closed` of arrays; NaN where there is no gap."""
    gap = np.where(still > truth, still - truth, np.nan)
    return (still - model) / gap


def _ratio(rest: NDArray[np.float64], part: NDArray[np.float64]) -> NDArray[np.float64]:
    return rest / np.where(part > 0, part, np.nan)


def _gaps_of_clip(row: dict[str, Any]) -> dict[str, float | None]:
    """The gaps closed in one clip alone."""
    found = {}
    for name, error in GAPS.items():
        errors = [row[f"{error}_still"], row[error], row[f"{error}_truth"]]
        found[name] = None if None in errors else gap_closed(*errors)
    return found

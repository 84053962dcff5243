# SPDX-License-Identifier: GPL-3.0-or-later
"""Histograms as inline SVG: what was accepted above the line, what was rejected below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...backend.markup import Html, element

BINS = 40
WIDTH, HALF = 400, 56  # of the drawing: its width, the height of each half
ABOVE, BELOW = 16, 18  # room for the thresholds' names, and for the range
MIDDLE = ABOVE + HALF
RANGE = (0.5, 99.5)  # percentiles that are drawn in full; what lies beyond counts in the outermost bins
HEAVY_TAIL = 30.0  # drawn over logarithms if the largest value is so many times the median


@dataclass(frozen=True)
class Limit:
    """A threshold drawn into a histogram.

    Attributes:
        value: of the feature.
        meaning: what happens on which side of it, in a few words.
    """

    value: float
    meaning: str = ""


@dataclass(frozen=True)
class Scale:
    """Maps values to [0, 1], linearly or by the logarithm of their distance to zero."""

    low: float
    high: float
    unit: float  # 0: linear; else values below it are drawn linearly, above it by their logarithm

    def __call__(self, values: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Where values lie between the ends, clipped to [0, 1]."""
        low, high = self._bend(self.low), self._bend(self.high)
        return np.clip((self._bend(values) - low) / ((high - low) or 1.0), 0.0, 1.0)

    def _bend(self, values: NDArray[np.float64] | float) -> NDArray[np.float64]:
        values = np.asarray(values, np.float64)
        return np.arcsinh(values / self.unit) if self.unit else values


def choose_scale(values: NDArray[np.float64], limits: Sequence[Limit]) -> Scale:
    """The scale that shows most values and every limit."""
    low, high = (float(end) for end in np.percentile(values, RANGE))
    marks = [limit.value for limit in limits if np.isfinite(limit.value)]
    low, high = min([low, *marks]), max([high, *marks])
    middle = float(np.median(np.abs(values)))
    largest = max(abs(low), abs(high))
    unit = max(middle, 1e-3 * largest) if largest > HEAVY_TAIL * max(middle, 1e-12) else 0.0
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    return Scale(low, high, unit)


def histogram(
    name: str, accepted: NDArray[np.float64], rejected: NDArray[np.float64], limits: Sequence[Limit] = ()
) -> Html:
    """One feature's values, each side scaled by its own number so that shapes can be compared."""
    scale = choose_scale(np.concatenate((accepted, rejected)), limits)
    height = ABOVE + 2 * HALF + BELOW
    drawn = [
        _bars(scale(accepted), -1, "accepted"),
        _bars(scale(rejected), 1, "rejected"),
        element("line", x1=0, x2=WIDTH, y1=MIDDLE, y2=MIDDLE, class_="axis"),
        [_limit_line(limit, scale) for limit in limits],
        element("text", short(scale.low), x=0, y=height - 4),
        element("text", "logarithmic", x=WIDTH / 2, y=height - 4, text_anchor="middle") if scale.unit else None,
        element("text", short(scale.high), x=WIDTH, y=height - 4, text_anchor="end"),
    ]
    label = f"{name}: {len(accepted)} accepted, {_spread(accepted)}; {len(rejected)} rejected, {_spread(rejected)}"
    return element("svg", drawn, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=label, class_="histogram")


def _bars(places: NDArray[np.float64], direction: int, class_: str) -> Html | None:
    """One half of the histogram as a single path."""
    if not len(places):
        return None
    counts = np.histogram(places, BINS, (0.0, 1.0))[0]
    width = WIDTH / BINS
    lengths = (HALF - 4) * np.sqrt(counts / counts.max())  # a single outlier stays visible
    steps = [
        f"M{i * width + 0.5:.1f} {MIDDLE}v{direction * length:.1f}h{width - 1:.1f}v{-direction * length:.1f}z"
        for i, length in enumerate(lengths)
        if length
    ]
    return element("path", d="".join(steps), class_=class_)


def _limit_line(limit: Limit, scale: Scale) -> Html:
    x = float(scale(limit.value)) * WIDTH
    anchor, dx = ("end", -4) if x > WIDTH / 2 else ("start", 4)
    text = f"{limit.meaning} {short(limit.value)}".strip()
    line = element("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=0, y2=ABOVE + 2 * HALF, class_="limit")
    return element("g", line, element("text", text, x=f"{x + dx:.1f}", y=11, text_anchor=anchor, class_="limit"))


def short(value: float) -> str:
    """A number in at most three significant digits."""
    if value == 0 or 0.01 <= abs(value) < 10_000:
        text = f"{value:.3g}"
        return text if "e" not in text else f"{value:.0f}"
    return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")


def _spread(values: NDArray[np.float64]) -> str:
    return f"median {short(float(np.median(values)))}" if len(values) else "none"

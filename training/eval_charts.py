# SPDX-License-Identifier: GPL-3.0-or-later
"""A measure of every clip: the frozen still across, the models upwards, so that the diagonal is no change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend.drag_drawing import COLOURS
from ..backend.markup import Html, element

WIDTH, HEIGHT = 320, 240
LEFT, BOTTOM, TOP = 34, 30, 8
RADIUS = 3.2


def scatter(title: str, name: str, models: Sequence[dict[str, Any]], more_is_better: bool) -> Html | None:
    """One chart of `name`; None where no clip has it.

    Args:
        title: with the unit.
        name: of the measure.
        models: reports of `summarise`.
        more_is_better: whether better lies above the diagonal.
    """
    points = [
        (index, row["clip"], row[f"{name}_still"], row[name])
        for index, model in enumerate(models)
        for row in model["per_clip"]
        if row[name] is not None and row[f"{name}_still"] is not None
    ]
    if not points:
        return None
    values = np.array([point[2:] for point in points])
    low, high = min(values.min(), 0.0) if not more_is_better else values.min(), values.max()
    low, high = (low, high) if high - low > 1e-9 else (low - 0.5, high + 0.5)

    def place(still: float, made: float) -> tuple[float, float]:
        x, y = (still - low) / (high - low), (made - low) / (high - low)
        return LEFT + x * (WIDTH - LEFT - 8), HEIGHT - BOTTOM - y * (HEIGHT - BOTTOM - TOP)

    marks = [_mark(place(still, made), clip, index) for index, clip, still, made in points]
    (x0, y0), (x1, y1) = place(low, low), place(high, high)
    frame = element("path", d=f"M{x0} {y1}V{y0}H{x1}", class_="axis")
    diagonal = element("line", x1=x0, y1=y0, x2=x1, y2=y1, class_="limit")
    labels = [
        element("text", f"{low:.3g}", x=x0, y=y0 + 13),
        element("text", f"{high:.3g}", x=x1, y=y0 + 13, text_anchor="end"),
        element("text", f"{high:.3g}", x=x0 - 4, y=y1 + 9, text_anchor="end"),
        element("text", "frozen still", x=(x0 + x1) / 2, y=y0 + 26, text_anchor="middle"),
        element("text", "better", x=x0 + 8, y=y1 + 10) if more_is_better else None,
        None if more_is_better else element("text", "better", x=x1 - 4, y=y0 - 8, text_anchor="end"),
    ]
    label = f"{title}: {len(points)} clips, frozen still across, model upwards"
    drawing = element("svg", frame, diagonal, marks, labels, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img",
                      aria_label=label)  # fmt: skip
    return element("div", element("h3", title), drawing, class_="chart")


def _mark(place: tuple[float, float], clip: str, index: int) -> Html:
    x, y = place
    colour = key_colour(index)
    return element("circle", element("title", clip), cx=f"{x:.1f}", cy=f"{y:.1f}", r=RADIUS, fill=colour)


def key_colour(index: int) -> str:
    """The colour of a model's marks."""
    return COLOURS[(index + 1) % len(COLOURS)]

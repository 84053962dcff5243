# SPDX-License-Identifier: GPL-3.0-or-later
"""Drags drawn over film strips in a page: their whole ways as SVG, and dots that run along them as a CSS image.

The dots are a strip of the same height as the frames', moved by the same animation: the two cannot drift apart.
"""

from __future__ import annotations

from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from .markup import Html, element

# Told apart by people with any colour vision, on light and on dark: Okabe and Ito's, without black.
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7", "#0072b2")
CASING = "#101418"
LONG_SIDE = 1000.0  # of the drawing over a frame, in its own units
PIN = 0.004  # a drag that stays within this share of the frame is a pin


def dots(drags: NDArray[np.float32], width: int, height: int) -> str:
    """A strip with one dot a drag and frame, as a CSS image."""
    w, h = _drawing(width, height)
    frames = []
    for i in range(drags.shape[1]):
        marks = "".join(
            f"<circle cx='{x * w:.0f}' cy='{y * h:.0f}' r='24' fill='{_colour(k)}' stroke='{CASING}' stroke-width='7'/>"
            for k, (x, y) in enumerate(drags[:, i])
            if np.isfinite([x, y]).all()
        )
        # A drawing within the drawing is cut off at its edges: no dot reaches into the next frame.
        frames.append(f"<svg y='{i * h:g}' width='{w:g}' height='{h:g}'>{marks}</svg>")
    size = f"viewBox='0 0 {w:g} {h * len(frames):g}' preserveAspectRatio='none'"
    drawing = f"<svg xmlns='http://www.w3.org/2000/svg' {size}>{''.join(frames)}</svg>"
    return f'url("data:image/svg+xml,{quote(drawing, safe=" =:/")}")'


def paths(drags: NDArray[np.float32], width: int, height: int) -> Html:
    """The drags' whole ways: a ring where each starts, an arrow head where it ends, a diamond for a pin."""
    w, h = _drawing(width, height)
    marks = []
    for k, drag in enumerate(drags):
        points = drag[np.isfinite(drag).all(axis=1)] * (w, h)
        if len(points) == 0:
            continue
        colour = _colour(k)
        if np.ptp(points, axis=0).max() < PIN * LONG_SIDE:
            marks.append(_shape("M0-26 26 0 0 26-26 0Z", points[0], colour))
            continue
        line = "M" + "L".join(f"{x:.0f} {y:.0f}" for x, y in points)
        marks.append(element("path", d=line, class_="casing"))
        marks.append(element("path", d=line, class_="way", stroke=colour))
        marks.append(element("circle", cx=f"{points[0, 0]:.0f}", cy=f"{points[0, 1]:.0f}", r=20, stroke=colour))
        marks.append(_shape("M-14-24 26 0-14 24Z", points[-1], colour, _heading(points)))
    return element("svg", marks, viewBox=f"0 0 {w:g} {h:g}", preserveAspectRatio="none", aria_hidden="true")


def _heading(points: NDArray[np.float64]) -> float:
    """Where the way's end points to, in degrees: over its last stretch, so that a jitter turns no arrow."""
    away = np.linalg.norm(points - points[-1], axis=1)
    before = np.flatnonzero(away > 0.02 * LONG_SIDE)
    x, y = points[-1] - points[before[-1] if len(before) else 0]
    return float(np.degrees(np.arctan2(y, x)))


def _shape(path: str, at: NDArray[np.float64], colour: str, turn: float = 0.0) -> Html:
    place = f"translate({at[0]:.0f} {at[1]:.0f}) rotate({turn:.0f})"
    return element("path", d=path, transform=place, fill=colour, class_="mark")


def _drawing(width: int, height: int) -> tuple[float, float]:
    scale = LONG_SIDE / max(width, height)
    return width * scale, height * scale


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]

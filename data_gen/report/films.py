# SPDX-License-Identifier: GPL-3.0-or-later
"""Film strips that play by themselves, with their drags drawn over them.

A strip's PNG is embedded as it is stored; CSS moves it up a frame at a time. The dots that run along the drags
are a second strip of the same height, an SVG, moved by the same animation: the two cannot drift apart.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from ...backend.errors import InputError
from .markup import Html, element
from .reading import Film, Strip, read_film

# Told apart by people with any colour vision, on light and on dark: Okabe and Ito's, without black.
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7", "#0072b2")
CASING = "#101418"
LONG_SIDE = 1000.0  # of the drawing over a frame, in its own units
PIN = 0.004  # a drag that stays within this share of the frame is a pin
WIDEST = 256  # frames are shown smaller than that


@dataclass
class Budget:
    """Bytes that film strips may still take in the page."""

    left: int


def choose(strips: Sequence[Strip], limit: int, budget: Budget, notes: list[str]) -> list[tuple[Strip, Film]]:
    """At most `limit` strips that fit the budget, evenly spread over their order, in that order.

    The same strips give the same choice. What cannot be read is noted and left out.
    """
    chosen: dict[int, Film] = {}
    for index in even_order(len(strips)):
        if len(chosen) >= limit:
            break
        try:
            film = shrunk(read_film(strips[index]))
        except InputError as error:
            notes.append(str(error))
            continue
        cost = embedded_size(film)
        if cost > budget.left:
            continue
        budget.left -= cost
        chosen[index] = film
    return [(strips[index], chosen[index]) for index in sorted(chosen)]


def even_order(count: int) -> Iterator[int]:
    """0 to count - 1, each once, so that every beginning of the sequence is spread evenly over the range."""
    bits = max(1, (count - 1).bit_length())
    for i in range(1 << bits):
        index = int(f"{i:0{bits}b}"[::-1], 2)
        if index < count:
            yield index


def embedded_size(film: Film) -> int:
    """Bytes a film takes in the page."""
    return (len(film.png) + 2) // 3 * 4 + 200 * film.frames


def shrunk(film: Film) -> Film:
    """The film with frames no wider than they are shown, where Pillow is there to make them so."""
    if film.width <= WIDEST:
        return film
    try:
        from PIL import Image
    except ModuleNotFoundError:  # in Blender's own Python
        return film
    with Image.open(io.BytesIO(film.png)) as image:
        strip = image.convert("RGBA")
    width, height = WIDEST, max(1, round(film.height * WIDEST / film.width))
    small = Image.new("RGBA", (width, height * film.frames))
    for i in range(film.frames):
        frame = strip.crop((0, i * film.height, film.width, (i + 1) * film.height))
        small.paste(frame.resize((width, height), Image.Resampling.BOX), (0, i * height))
    stream = io.BytesIO()
    small.save(stream, "PNG")
    return replace(film, png=stream.getvalue(), width=width, height=height)


def player(film: Film, label: str) -> Html:
    """One film that plays: pauses under the pointer, steps with the arrow keys when it has the focus."""
    picture = f"url(data:image/png;base64,{base64.b64encode(film.png).decode()})"
    drags = film.drags if film.drags is not None else np.zeros((0, film.frames, 2))
    layers = [dots(drags, film.width, film.height), picture] if len(drags) else [picture]
    return element(
        "div",
        paths(drags, film.width, film.height) if len(drags) else None,
        class_="film" if film.frames > 1 else "film still",
        style=f"--n:{film.frames};aspect-ratio:{film.width}/{film.height};background-image:{','.join(layers)}",
        data_n=film.frames,
        role="img",
        tabindex="0",
        aria_label=label,
    )


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

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

import numpy as np

from ...backend.drag_drawing import dots, paths
from ...backend.errors import InputError
from ...backend.markup import Html, element
from ...backend.report_page import film_style
from .reading import Film, Strip, read_film

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
        style=film_style(film.frames, film.width, film.height, layers),
        data_n=film.frames,
        role="img",
        tabindex="0",
        aria_label=label,
    )

# SPDX-License-Identifier: GPL-3.0-or-later
"""The contact sheet of a batch: one HTML page with every preview playing, and filters by shot, seed and error."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from ..drag_drawing import dots, paths
from ..errors import InputError
from ..markup import Html, element
from ..protocol import Drag, trajectories
from ..report_page import film_style, whole_page, write_whole_page
from ..workers.ledger_file import Line
from .layout import PAGE, SIDECAR, Layout
from .outputs import thumb_frames
from .plan import Variation
from .records import DONE, MISSING, OUTCOMES, count, known_lines, line_key

EMBEDDED_BYTES = 24_000_000  # of films in the page; later ones are read from the batch's folder
FILTERS = ("shot", "camera", "drags", "model", "seed", "guidance", "steps", "outcome")


def write_page(out: Path, plan: Sequence[Variation]) -> Path:
    """Write `batch.html` of a batch's folder.

    Args:
        out: the folder.
        plan: all previews of the batch, in the order in which they are shown.

    Raises:
        OutputError: it cannot be written.
    """
    return write_whole_page(render_page(out, plan), out / PAGE)


def render_page(out: Path, plan: Sequence[Variation], embedded: int = EMBEDDED_BYTES) -> Html:
    """The page as HTML; films beyond `embedded` bytes are linked to."""
    known = known_lines(out)
    lines = [{**(known.get(line_key(made)) or _missing(made)), **made.described()} for made in plan]
    differ = _differing(lines)
    layout, figures = Layout(out), []
    for line in lines:
        film, spent = _film(layout, line, embedded)
        embedded -= spent
        figures.append(_figure(line, film, differ))
    title = out.resolve().name
    header = [element("h1", title), _lead(lines)]
    main = [
        element("div", figures, class_="batch"),
        element("p", "No preview agrees with all filters.", id="none", class_="none", hidden=True),
    ]
    footer = "Made by puppet-master batch from the ledgers and sidecars beside it."
    here = Path(__file__)
    more = (here.with_name("page.css"), here.with_name("page.js"))
    return whole_page(f"{title}: batch of previews", header, [_filters(differ)], main, footer, more)


def _missing(variation: Variation) -> Line:
    return {**variation.described(), "outcome": MISSING, "kind": None, "message": "not made yet"}


def _lead(lines: Sequence[Line]) -> Html:
    counts = count(lines)
    parts = [element("b", counts[DONE]), f" of {len(lines)} previews"]
    ends = [f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if outcome != DONE and counts[outcome]]
    spent = sum(sum((line.get("seconds") or {}).values()) for line in lines)
    ends.append(f"{spent:.0f} s of the model's time")
    return element("p", parts, "; ", ", ".join(ends), ".", class_="lead")


def _differing(lines: Sequence[Line]) -> dict[str, list[str]]:
    """In what the previews differ, and all values of it."""
    values = {name: {_shown(line.get(name)) for line in lines} - {""} for name in FILTERS}
    return {name: sorted(found, key=_as_number) for name, found in values.items() if len(found) > 1}


def _filters(differ: Mapping[str, Sequence[str]]) -> Html:
    """One choice for each thing in which previews differ."""
    fields = []
    for name, values in differ.items():
        options = [element("option", "all", value=""), *(element("option", value, value=value) for value in values)]
        fields.append(element("label", name, element("select", options, name=name)))
    find = element("input", type="search", name="find", placeholder="name or error", aria_label="Find")
    return element("form", fields, find, element("span", id="shown", class_="soft"), id="filters")


def _as_number(value: str) -> tuple[bool, float, str]:
    """Numbers in their own order, before words."""
    try:
        return False, float(value), value
    except ValueError:
        return True, 0.0, value


def _figure(line: Line, film: Html, differ: Container[str]) -> Html:
    name = line["name"] or line["where"]
    values = {f"data_{field}": _shown(line.get(field)) for field in FILTERS}
    shown = [(field, values[f"data_{field}"]) for field in FILTERS[1:-1] if field in differ]
    about = [f"{field} {value}" for field, value in shown if value]
    links = [element("a", Path(file).suffix[1:], href=quote(file)) for file in line.get("files") or ()]
    if line["outcome"] == DONE:
        links.append(element("a", "json", href=quote(f"{name}{SIDECAR}")))
    notes = [element("div", note) for note in line.get("notes") or ()]
    caption = element("figcaption", element("b", name), " · ".join(about), notes, element("div", _spaced(links)))
    find = f"{name} {line['shot']} {line.get('message') or ''}".lower()
    return element("figure", film, caption, data_find=find, **values)


def _spaced(links: Iterable[Html]) -> list[Html | str]:
    parts: list[Html | str] = []
    for link in links:
        parts += [" ", link] if parts else [link]
    return parts


def _shown(value: Any) -> str:
    """A choice in words; guidance is two numbers."""
    if isinstance(value, list | tuple):
        return "-".join(f"{number:g}" for number in dict.fromkeys(value))
    return "" if value is None else str(value)


def _film(layout: Layout, line: Line, room: int) -> tuple[Html, int]:
    """A preview that plays, or why there is none; and the bytes it takes of `room`."""
    try:
        picture = layout.thumb(line["name"]).read_bytes() if line["outcome"] == DONE else b""
    except OSError:
        picture = b""
    if not picture:
        return element("div", element("b", line["outcome"]), str(line.get("message") or ""), class_="bad"), 0
    frames = thumb_frames(line["frames"])
    with Image.open(io.BytesIO(picture)) as strip:
        width, height = strip.width, strip.height // frames
    drags = trajectories(_drags(layout, line), frames)
    size = (len(picture) + 2) // 3 * 4
    if size <= room:
        image, spent = f"url(data:image/webp;base64,{base64.b64encode(picture).decode()})", size
    else:
        image, spent = f"url({layout.thumb(line['name']).relative_to(layout.out).as_posix()})", 0
    film = element(
        "div",
        paths(drags, width, height) if len(drags) else None,
        class_="film",
        style=film_style(frames, width, height, [dots(drags, width, height), image] if len(drags) else [image]),
        data_n=frames,
        role="img",
        tabindex="0",
        aria_label=line["name"],
    )
    return film, spent


def _drags(layout: Layout, line: Mapping[str, Any]) -> list[Drag]:
    """A preview's drags, from its sidecar; none if that is gone."""
    try:
        sidecar = json.loads((layout.out / f"{line['name']}{SIDECAR}").read_text(encoding="utf-8"))
        return [Drag.from_json(drag) for drag in sidecar["preview"]["drags"]]
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return []

# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: one HTML page about a dataset that opens from disk, with no server and nothing to load."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...backend.errors import OutputError
from ...backend.markup import Html, element
from . import counts, sections
from .reading import Dataset, read_dataset
from .sheets import contact_sheets

NAME = "report.html"
FILM_BYTES = 20_000_000  # of the page's about 25 MB at most
HIDDEN_SETTINGS = frozenset({"format", "version", "versions", "plan", "assets"})
NOTES = 8


def write_report(folder: Path, out: Path | None = None, film_bytes: int = FILM_BYTES) -> Path:
    """Write the report of a dataset, whole or not at all.

    Args:
        folder: the dataset, finished or not.
        out: file to write; `report.html` in the dataset if not given.
        film_bytes: about how much of the page the film strips may take.

    Returns:
        the file.

    Raises:
        InputError: no dataset there.
        OutputError: the page cannot be written.
    """
    text = render_page(read_dataset(folder), film_bytes)
    path = out or folder / NAME
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror or error}; choose another --out"
        raise OutputError(message) from error
    finally:
        if partial.parent.is_dir():
            partial.unlink(missing_ok=True)
    return path


def render_page(dataset: Dataset, film_bytes: int = FILM_BYTES) -> Html:
    """The whole page as HTML."""
    sheets = contact_sheets(dataset, film_bytes)
    parts = [
        sections.funnel(dataset),
        sections.reason_table(dataset),
        *sheets,
        sections.feature_charts(dataset),
        sections.times(dataset),
        sections.failure_list(dataset),
        sections.licence_table(dataset),
    ]
    title = _title(dataset)
    head = [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{title}: data report"),
        element("style", _file("page.css")),
    ]
    body = [
        element("header", element("h1", title), _lead(dataset), _settings(dataset.order)),
        _navigation([part for part in parts if part]),
        element("main", _notes(dataset), parts),
        element("footer", "Made by puppet-master data report from the ledger and the shards beside it."),
        _large_view(),
        element("script", _file("page.js")),
    ]
    page = element("html", element("head", head), element("body", body), lang="en")
    return Html(f"<!doctype html>\n{page}\n")


def _file(name: str) -> Html:
    """A file beside this one, to be put into the page."""
    return Html(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def _title(dataset: Dataset) -> str:
    return str(dataset.settings.get("name") or dataset.folder.resolve().name)


def _lead(dataset: Dataset) -> Html:
    steps = dict(counts.stages(dataset))
    clips, assets = steps["clips"], steps["assets"]
    if not assets and not clips:
        return element("p", "Nothing has been made here yet.", class_="lead")
    broken = counts.failures(dataset)
    failed = sum(line["outcome"] == "failed" for line in broken)
    ends = [sections.plural(failed, "failure")] if failed else []
    if damaged := len(broken) - failed:
        ends.append(sections.plural(damaged, "damaged file"))
    parts = [element("b", sections.plural(clips, "clip")), " from ", sections.plural(assets, "asset")]
    return element("p", parts, "; " if ends else None, " and ".join(ends), ".", class_="lead")


def _settings(order: Mapping[str, Any]) -> Html | None:
    """The run's settings in one line."""
    shown = [
        f"{key.replace('_', ' ')} {_plain(value)}"
        for key, value in order.items()
        if key not in HIDDEN_SETTINGS and not isinstance(value, dict) and value not in (None, "", [], False)
    ]
    return element("p", " · ".join(shown), class_="settings") if shown else None


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _navigation(parts: list[Html]) -> Html:
    known = {
        "stages": "Stages", "reasons": "Reasons", "accepted": "Accepted", "rejected": "Rejected",
        "features": "Features", "time": "Time", "failures": "Failures", "licences": "Licences",
    }  # fmt: skip
    whole = "".join(parts)
    there = [(id_, text) for id_, text in known.items() if f'<h2 id="{id_}">' in whole]
    links = element("ul", [element("li", element("a", text, href=f"#{id_}")) for id_, text in there])
    button = element("button", "Pause clips", id="motion", type="button", hidden=True)
    return element("nav", element("div", links, button), aria_label="Sections")


def _notes(dataset: Dataset) -> Html | None:
    """What the reader must know first: that the run goes on, and what could not be read."""
    notes = []
    if dataset.running:
        notes.append("The run is not finished: numbers below are those so far.")
    notes.extend(dataset.notes[:NOTES])
    if (more := len(dataset.notes) - NOTES) > 0:
        notes.append(f"{sections.number(more)} more could not be read.")
    return element("div", [element("p", note) for note in notes], class_="notice", role="note") if notes else None


def _large_view() -> Html:
    """Where a film is shown large."""
    slider = element("input", type="range", min=0, max=1, value=0, aria_label="Frame")
    close = element("form", element("button", "Close"), method="dialog")
    row = element("div", slider, close, class_="row")
    return element("dialog", element("div", class_="place"), element("p", class_="caption soft"), row, id="large")

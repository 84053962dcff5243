# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: one HTML page about a dataset that opens from disk, with no server and nothing to load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...backend.markup import Html, element
from ...backend.report_page import whole_page, write_whole_page
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
    return write_whole_page(text, out or folder / NAME)


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
    header = [element("h1", title), _lead(dataset), _settings(dataset.order)]
    footer = "Made by puppet-master data report from the ledger and the shards beside it."
    links = _links([part for part in parts if part])
    return whole_page(f"{title}: data report", header, [links], [_notes(dataset), parts], footer)


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


def _links(parts: list[Html]) -> Html:
    known = {
        "stages": "Stages", "reasons": "Reasons", "accepted": "Accepted", "rejected": "Rejected",
        "features": "Features", "time": "Time", "failures": "Failures", "licences": "Licences",
    }  # fmt: skip
    whole = "".join(parts)
    there = [(id_, text) for id_, text in known.items() if f'<h2 id="{id_}">' in whole]
    return element("ul", [element("li", element("a", text, href=f"#{id_}")) for id_, text in there])


def _notes(dataset: Dataset) -> Html | None:
    """What the reader must know first: that the run goes on, and what could not be read."""
    notes = []
    if dataset.running:
        notes.append("The run is not finished: numbers below are those so far.")
    notes.extend(dataset.notes[:NOTES])
    if (more := len(dataset.notes) - NOTES) > 0:
        notes.append(f"{sections.number(more)} more could not be read.")
    return element("div", [element("p", note) for note in notes], class_="notice", role="note") if notes else None

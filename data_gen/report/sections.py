# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's sections of numbers and words: stages, reasons, features, time, failures, licences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from ...backend.markup import Html, element
from . import counts
from .charts import Limit, histogram
from .limits import known_features, limits_of
from .reading import Dataset, Line

LEVELS = {"asset": "Assets", "animation": "Animations", "view": "Views"}
STEPS = {
    "assets": "Assets", "opened": "Opened", "animations": "Animations", "accepted": "Accepted", "views": "Views",
    "clips": "Clips",
}  # fmt: skip
# Of what a step's share is told: animations are not a part of assets, nor views of animations.
SHARE_OF = {"opened": "assets", "accepted": "animations", "clips": "views"}
PER = {"animations": ("opened", "an opened asset"), "views": ("accepted", "an accepted animation")}
SLOWEST = 12
MOST_FAILURES = 200
MOST_CREDITS = 20_000


def section(id_: str, title: str, *children: object, note: str = "") -> Html:
    """A section with its heading, and one sentence under it."""
    heading = [element("h2", title, id=id_), element("p", note, class_="soft") if note else None]
    return element("section", heading, children, aria_labelledby=id_)


def table(columns: Sequence[str], rows: Sequence[Html], class_: str | None = None) -> Html:
    """A table that scrolls by itself where the page is narrow; columns ending in `#` hold numbers."""
    head = [element("th", name.rstrip("#"), class_="n" if name.endswith("#") else None) for name in columns]
    body = element("table", element("thead", element("tr", head)), element("tbody", rows), class_=class_)
    return element("div", body, class_="scroll")


def funnel(dataset: Dataset) -> Html:
    """The stages as bars."""
    steps = dict(counts.stages(dataset))
    most = max([1, *steps.values()])
    rows = []
    for name, count in steps.items():
        bar = element("i", style=f"--w:{count / most:.4f}", class_="kept" if name in ("accepted", "clips") else None)
        rows.append(element("dt", STEPS[name]))
        rows.append(element("dd", number(count), class_="n"))
        rows.append(element("dd", bar, element("span", _relation(name, steps)), class_="bar"))
    return section("stages", "From assets to clips", element("dl", rows, class_="funnel"))


def _relation(name: str, steps: Mapping[str, int]) -> str:
    if (whole := steps.get(SHARE_OF.get(name, ""), 0)) > 0:
        return f"{percent(steps[name] / whole)} of {SHARE_OF[name]}"
    before, words = PER.get(name, ("", ""))
    if (count := steps.get(before, 0)) > 0:
        return f"{steps[name] / count:.1f} {words}"
    return ""


def reason_table(dataset: Dataset) -> Html:
    """Why things were turned away, by level, with examples."""
    found = counts.reasons(dataset)
    if not found:
        return section("reasons", "Why things were turned away", note="Nothing has been turned away.")
    rows: list[Html] = []
    for level, group in groupby(found, key=lambda reason: reason.level):
        reasons = list(group)
        total = sum(reason.count for reason in reasons)
        heading = f"{LEVELS[level]} ({number(total)})"
        rows.append(element("tr", element("th", heading, colspan=4, scope="rowgroup"), class_="level"))
        rows.extend(_reason_row(reason, reasons[0].count) for reason in reasons)
    columns = ("Reason", "Count#", "Meaning", "For example")
    return section("reasons", "Why things were turned away", table(columns, rows, "wide"))


def _reason_row(reason: counts.Reason, most: int) -> Html:
    examples = [element("li", who, f": {detail}" if detail else None) for who, detail in reason.examples.values()]
    bar = element("i", class_="share", style=f"--w:{reason.count / most:.4f}")
    return element(
        "tr",
        element("td", reason.name, bar, class_="name"),
        element("td", number(reason.count), class_="n"),
        element("td", reason.meaning),
        element("td", element("ul", examples)),
    )


def feature_charts(dataset: Dataset) -> Html | None:
    """A histogram of each feature."""
    features = counts.features(dataset)
    if not features:
        return None
    meanings = known_features()
    limits = limits_of(dataset.order)
    # Those with a threshold first: they decide. Then as the filter lists them.
    place = {name: i for i, name in enumerate(meanings)}
    order = sorted(features, key=lambda name: (not limits.get(name), place.get(name, len(place)), name))
    charts = {name: _chart(name, meanings.get(name, ""), *features[name], limits.get(name, ())) for name in order}
    deciding = [charts[name] for name in order if limits.get(name)] or list(charts.values())
    others = list(charts.values())[len(deciding) :]
    summary = element("summary", element("b", f"{len(others)} more, by which nothing was decided"))
    more = element("details", summary, element("div", others, class_="charts")) if others else None
    key = element(
        "ul",
        element("li", element("i", class_="dot kept"), "accepted, above"),
        element("li", element("i", class_="dot gone"), "rejected, below"),
        element("li", "dashed: the filter's threshold") if any(limits.get(name) for name in order) else None,
        class_="key",
    )
    note = "What was measured of each animation. Heights are square roots of counts; the outermost bins hold the rest."
    return section("features", "Features", key, element("div", deciding, class_="charts"), more, note=note)


def _chart(name: str, meaning: str, accepted: Any, rejected: Any, limits: Sequence[Limit]) -> Html:
    title = element("h3", name.replace("_", " "))
    drawing = histogram(name, accepted, rejected, limits)
    return element("div", title, element("p", _first_clause(meaning), title=meaning), drawing, class_="chart")


def _first_clause(text: str) -> str:
    """What a feature is, without how it is measured."""
    for stop in (": ", "; ", ". "):
        text = text.partition(stop)[0]
    return text


def times(dataset: Dataset) -> Html | None:
    """Where the time went, and the slowest assets."""
    spent = counts.seconds((*dataset.assets, *dataset.animations))
    total = sum(spent.values())
    if total <= 0:
        return None
    colours = {stage: f"t{i % 8}" for i, stage in enumerate(spent)}
    key = [
        element("li", element("i", class_=colours[stage]), stage, element("b", _share_of_time(value, total)))
        for stage, value in spent.items()
    ]
    clips = dict(counts.stages(dataset))["clips"]
    pace = f"{duration(total)} of work" + (f", {total / clips:.1f} s a clip." if clips else ".")
    rows = [
        element(
            "tr",
            element("td", asset, class_="name"),
            element("td", duration(seconds), class_="n"),
            element("td", _stack(stages, colours, sum(stages.values()), "stack mini")),
        )
        for asset, seconds, stages in counts.seconds_by_asset(dataset)[:SLOWEST]
    ]
    overview = [_stack(spent, colours, total, "stack"), element("ul", key, class_="key")]
    return section("time", "Time", overview, table(("Slowest assets", "Time#", "By stage"), rows), note=pace)


def _share_of_time(seconds: float, total: float) -> str:
    return f"{duration(seconds)} · {percent(seconds / total)}"


def _stack(spent: Mapping[str, float], colours: Mapping[str, str], total: float, class_: str) -> Html:
    parts = [
        element("i", class_=colours.get(stage), style=f"--w:{value / total:.4f}", title=f"{stage}: {duration(value)}")
        for stage, value in spent.items()
        if value > 0
    ]
    return element("div", parts, class_=class_, aria_hidden="true")


def failure_list(dataset: Dataset) -> Html:
    """What failed or is damaged, each with what Blender said, folded."""
    lines = counts.failures(dataset)
    if not lines:
        return section("failures", "Failures", note="Nothing failed, and no file is damaged.")
    failed = sum(line["outcome"] == "failed" for line in lines)
    note = f"{number(failed)} failed while being worked on, {number(len(lines) - failed)} damaged files."
    shown = [_failure(line) for line in lines[:MOST_FAILURES]]
    rest = len(lines) - len(shown)
    more = element("p", f"{number(rest)} more are in the ledger.", class_="soft") if rest else None
    return section("failures", "Failures", shown, more, note=note)


def _failure(line: Line) -> Html:
    outcome = str(line["outcome"])
    summary = element(
        "summary",
        element("b", counts.label(line)),
        element("span", line.get("reason") or outcome, class_=f"badge {outcome}"),
        element("span", line.get("detail") or "", class_="soft"),
    )
    said = str(line.get("stderr") or "").strip()
    source = element("p", "Source: ", element("code", line["source"]), class_="soft") if line.get("source") else None
    return element("details", summary, source, element("pre", said or "Nothing was written to stderr."))


def licence_table(dataset: Dataset) -> Html | None:
    """Licences, and whom to name."""
    licences = counts.licences(dataset)
    if not licences:
        return None
    rows = [
        element(
            "tr",
            element("td", licence.name, class_="name"),
            element("td", number(licence.assets), class_="n"),
            element("td", number(licence.clips), class_="n"),
        )
        for licence in licences
    ]
    overview = table(("Licence", "Assets#", "Clips#"), rows)
    return section("licences", "Licences", overview, _credits(counts.credited(dataset)))


def _credits(lines: Sequence[Line]) -> Html | None:
    if not lines:
        return None
    items = [element("li", _credit(line)) for line in lines[:MOST_CREDITS]]
    summary = element("summary", element("b", f"Attribution of {plural(len(lines), 'asset')} that gave clips"))
    return element("details", summary, element("ul", items, class_="credits"))


def _credit(line: Line) -> list[object]:
    """Title, author and licence, as far as they are known, with a link to the asset's page."""
    facts = line.get("facts") if isinstance(line.get("facts"), dict) else {}
    title = str(line.get("title") or facts.get("title") or line["asset"])
    page = str(line.get("url") or facts.get("url") or "")
    named: object = element("a", title, href=page) if page.startswith(("https://", "http://")) else title
    rest = [str(line[key]) for key in ("author", "licence") if line.get(key)]
    return [named, " · ", " · ".join(rest)]


def number(value: int) -> str:
    """12 345, with thin spaces."""
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def percent(share: float) -> str:
    """A share in per cent; never 0 or 100 unless it is."""
    if 0 < share < 0.005:
        return "<1 %"
    if 0.995 < share < 1:
        return ">99 %"
    return f"{share:.0%}".replace("%", " %")


def duration(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{number(int(seconds // 3600))} h {int(seconds % 3600 // 60)} min"


def plural(count: int, one: str, many: str = "") -> str:
    """`1 clip`, `2 clips`."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"

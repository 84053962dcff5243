# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of an evaluation: figures, charts and films of the clips, in one HTML file that opens from disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.markup import Html, element
from .clips import RealClip
from .eval_charts import key_colour, scatter
from .eval_films import Films
from .eval_store import Store
from .eval_table import CHECKS, ROWS, interval, number
from .whole_files import write_whole

FILM_BYTES = 20_000_000  # of the page's about 25 MB at most
EXTREMES = 8  # clips shown as the worst and as the best
MOST_FILMS = 60
RANKED_BY = "psnr_moving"  # over the frozen still
RANKING = (
    "By what the first model gains in PSNR over the frozen still where the real clip moves. Each drag: a ring where it "
    "starts, an arrow where it ends, a dot where it is now; diamonds are pins. Point at a clip to stop it, click it to "
    "see it large; the difference is shown three times as bright."
)
CHARTS = (
    ("PSNR (dB)", "psnr", True),
    ("PSNR of moving pixels (dB)", "psnr_moving", True),
    ("Motion error of drags (px)", "motion_error", False),
    ("Motion error of all points (px)", "points_error", False),
)
# Column of the table of clips, label, decimals.
COLUMNS = (
    ("psnr", "PSNR", 2),
    ("psnr_gain", "gain", 2),
    ("psnr_moving", "moving", 2),
    ("psnr_moving_gain", "gain", 2),
    ("ssim", "SSIM", 3),
    ("lpips", "LPIPS", 3),
    ("motion_error", "motion error", 1),
    ("motion_error_still", "still", 1),
    ("motion_error_truth", "real", 1),
    ("motion_gap_closed", "gap closed", 2),
    ("points_error", "all points", 1),
    ("points_gap_closed", "gap closed", 2),
    ("pin_error", "pins", 1),
    ("rest_motion", "rest", 1),
    ("drift_untouched", "drift", 2),
)


@dataclass(frozen=True)
class Groups:
    """Places of the clips that are shown: the worst, the best and some of the others."""

    worst: list[int]
    best: list[int]
    others: list[int]


def write_page(
    path: Path, report: dict[str, Any], clips: Iterable[RealClip], keys: Sequence[Sequence[str]], store: Store
) -> Path:
    """Write the page, whole or not at all.

    Args:
        path: of the page.
        report: of `report.evaluate_models`.
        clips: those of the report, in its order.
        keys: of each model's prediction of each clip.
        store: that holds the predictions.

    Raises:
        OutputError: it cannot be written.
    """
    groups = group(report)
    wanted = [*groups.worst, *groups.best, *groups.others]
    models = report["models"]
    cards = {}
    for index, clip in enumerate(clips):
        if index in wanted:
            found = [store.prediction(own[index]) for own in keys]
            made = {model["label"]: one.frames for model, one in zip(models, found, strict=True) if one}
            cards[index] = _card(clip.name, Films(clip.frames, made, clip.drags), index, models)
    return write_whole(path, render(report, groups, _affordable(cards, wanted)))


def group(report: dict[str, Any]) -> Groups:
    """Which clips are shown; by the first model's gain, those without anything that moves among the others."""
    rows = report["models"][0]["per_clip"]
    gains = {i: row[RANKED_BY] - row[f"{RANKED_BY}_still"] for i, row in enumerate(rows) if row[RANKED_BY] is not None}
    ranked = sorted(gains, key=lambda index: (gains[index], index))
    extremes = min(EXTREMES, (len(ranked) + 1) // 2)
    worst = ranked[:extremes]
    best = [index for index in reversed(ranked[-extremes:]) if index not in worst]
    rest = [index for index in range(len(rows)) if index not in worst and index not in best]
    count = max(0, min(len(rest), MOST_FILMS - len(worst) - len(best)))
    spread = np.unique(np.linspace(0, len(rest) - 1, count).round().astype(int)) if count else []
    return Groups(worst, best, [rest[i] for i in spread])


def render(report: dict[str, Any], groups: Groups, cards: Mapping[int, Html]) -> Html:
    """The whole page.

    Args:
        report: of `report.evaluate_models`.
        groups: which clips to show.
        cards: theirs; those that are too large for the page are not there.
    """
    models = report["models"]
    names = ", ".join(model["label"] for model in models)
    parts = [
        _figures(report),
        _charts(models),
        _checks(models),
        _sheet("worst", "Worst clips", groups.worst, cards, RANKING),
        _sheet("best", "Best clips", groups.best, cards, ""),
        _sheet("others", "Other clips", groups.others, cards, ""),
        _clip_table(models, cards),
        _provenance(report),
    ]
    head = [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{names}: evaluation"),
        element("style", _file("eval_page.css")),
    ]
    body = [
        element("header", element("h1", names), _lead(report)),
        _navigation([part for part in parts if part]),
        element("main", parts),
        element("footer", "Made by puppet-master eval. How each figure is measured: docs/evaluation.md."),
        _large_view(),
        element("script", _file("eval_page.js")),
    ]
    page = element("html", element("head", head), element("body", body), lang="en")
    return Html(f"<!doctype html>\n{page}\n")


def _affordable(cards: Mapping[int, tuple[Html, int]], order: Sequence[int]) -> dict[int, Html]:
    """The cards, in this order, that the page has room for."""
    left, kept = FILM_BYTES, {}
    for index in order:
        card, size = cards[index]
        if size <= left:
            left -= size
            kept[index] = card
    return kept


def _file(name: str) -> Html:
    """A file beside this one, to be put into the page."""
    return Html(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def _section(id_: str, title: str, *children: object, note: str = "") -> Html:
    heading = [element("h2", title, id=id_), element("p", note, class_="soft") if note else None]
    return element("section", heading, children, aria_labelledby=id_)


def _lead(report: dict[str, Any]) -> Html:
    """The one sentence: how much better than nothing."""
    first = report["models"][0]
    gap, gain = first["motion_gap_closed"], first["psnr_gain"]
    words: list[object] = ["On ", element("b", f"{report['dataset']['clips']} clips"), ", ", first["label"]]
    words += [f" {'gains' if gain >= 0 else 'loses'} ", element("b", f"{abs(gain):.2f} dB")]
    words.append(" of PSNR against the frozen still")
    if gap is not None:
        words += ["; motion gap closed: ", element("b", f"{gap:.0%}")]
    return element("p", words, ".", class_="lead")


def _figures(report: dict[str, Any]) -> Html:
    models = report["models"]
    head = [element("th", "Measure"), element("th", "Frozen still", class_="n")]
    head += [element("th", model["label"], class_="n") for model in models]
    head += [element("th", "Real frames", class_="n")]
    rows = [_figure_row(models, *row) for row in ROWS if any(model[row[0]] is not None for model in models)]
    note = (
        "Means over clips with their 95 % intervals; below, the mean difference from the frozen still, clip by clip, "
        "coloured where its interval leaves out zero. Pixels are those of frames whose longer side has 256."
    )
    table = element("table", element("thead", element("tr", head)), element("tbody", rows), class_="figures")
    return _section("figures", "Figures", element("div", table, class_="scroll"), note=note)


def _figure_row(models: list[dict[str, Any]], name: str, label: str, decimals: int, more: bool | None) -> Html:
    cells = [element("td", label, class_="name"), _cell(number(models[0].get(f"{name}_still"), decimals))]
    for model in models:
        spread = interval(model["confidence_95"].get(name), decimals)
        parts = [element("b", number(model[name], decimals)), element("small", spread) if spread else None]
        cells.append(_cell(parts, _difference(model["difference_to_still"].get(name), decimals, more)))
    return element("tr", cells, _cell(number(models[0].get(f"{name}_truth"), decimals)))


def _difference(difference: dict[str, Any] | None, decimals: int, more: bool | None) -> Html | None:
    if difference is None or more is None:
        return None
    mean, ends = difference["mean"], difference["confidence_95"]
    if mean == 0.0 and (ends is None or tuple(ends) == (0.0, 0.0)):
        return None
    sure = ends is not None and (ends[0] > 0 or ends[1] < 0)
    class_ = ("good" if (mean > 0) == more else "bad") if sure else "soft"
    spread = f" ({interval(ends, decimals)})" if ends is not None else ""
    return element("small", f"{mean:+.{decimals}f}{spread}", class_=class_)


def _cell(*children: object) -> Html:
    return element("td", children, class_="n")


def _charts(models: list[dict[str, Any]]) -> Html | None:
    charts = [chart for title, name, more in CHARTS if (chart := scatter(title, name, models, more))]
    key = [
        element("li", element("i", class_="dot", style=f"background:{key_colour(index)}"), model["label"])
        for index, model in enumerate(models)
    ]
    note = "Each dot is a clip: what the frozen still scores across, what the model scores upwards."
    return _section(
        "charts", "Clip by clip", element("ul", key, class_="key"), element("div", charts, class_="charts"), note=note
    )


def _checks(models: list[dict[str, Any]]) -> Html | None:
    if not any("behaviour" in model for model in models):
        return None
    head = [element("th", "Check"), *(element("th", model["label"], class_="n") for model in models)]
    rows = []
    for name, label, decimals in CHECKS:
        found = [model["behaviour"][name] for model in models]
        cells = [
            _cell(
                element("b", number(one["mean"], decimals)), element("small", interval(one["confidence_95"], decimals))
            )
            for one in found
        ]
        rows.append(element("tr", element("td", label, class_="name"), cells))
    table = element("table", element("thead", element("tr", head)), element("tbody", rows), class_="figures")
    note = "From each clip's middle frame: drags along the rest of the clip and along its way back, pins, no drags."
    return _section("checks", "Checks", element("div", table, class_="scroll"), note=note)


def _card(name: str, films: Films, index: int, models: list[dict[str, Any]]) -> tuple[Html, int]:
    """A clip's card, and about how many bytes it takes."""
    lines = []
    for model in models:
        row = model["per_clip"][index]
        facts = [f"PSNR {row['psnr']:.1f} dB (still {row['psnr_still']:.1f})"]
        if row["psnr_moving"] is not None:
            facts.append(f"moving {row['psnr_moving']:.1f} ({row['psnr_moving_still']:.1f})")
        if row["motion_error"] is not None:
            errors = [row[f"motion_error{ending}"] for ending in ("", "_still", "_truth")]
            facts.append("off by {:.1f} px (still {:.1f}, real {:.1f})".format(*errors))
        label = element("b", model["label"]) if len(models) > 1 else None
        lines.append(element("p", label, " " if label else None, " · ".join(facts), class_="facts"))
    heading = element("h3", name)
    strip = element("div", films.players(), class_="films")
    card = element("article", heading, lines, strip, class_="clip", id=_anchor(index), style=films.style, tabindex="0",
                   data_n=films.count, aria_label=f"{name}; arrow keys step")  # fmt: skip
    return card, films.size


def _sheet(id_: str, title: str, indices: Sequence[int], cards: Mapping[int, Html], note: str) -> Html | None:
    shown = [cards[index] for index in indices if index in cards]
    if not shown:
        return None
    return _section(id_, title, element("div", shown, class_="sheet"), note=note)


def _clip_table(models: list[dict[str, Any]], cards: Mapping[int, Html]) -> Html:
    there = [
        column for column in COLUMNS
        if column[0].endswith("_gain") or any(row[column[0]] is not None for m in models for row in m["per_clip"])
    ]  # fmt: skip
    several = len(models) > 1
    head = [_sorter("Clip")]
    head += [_sorter("Model")] if several else []
    head += [_sorter(label, "n") for _, label, _ in there]
    rows = []
    for index in range(len(models[0]["per_clip"])):
        for model in models:
            row = model["per_clip"][index]
            name = element("a", row["clip"], href=f"#{_anchor(index)}") if index in cards else row["clip"]
            cells = [element("td", name, class_="name", data_v=row["clip"])]
            cells += [element("td", model["label"], data_v=model["label"])] if several else []
            cells += [_value(_of(row, column), decimals) for column, _, decimals in there]
            rows.append(element("tr", cells))
    table = element("table", element("thead", element("tr", head)), element("tbody", rows), class_="sortable")
    note = "Click a heading to sort. Gains are over the frozen still; errors in pixels at 256."
    return _section("clips", "All clips", element("div", table, class_="scroll"), note=note)


def _of(row: dict[str, Any], column: str) -> float | None:
    """A column's value; a gain is the measure's difference from the frozen still."""
    if not column.endswith("_gain"):
        return row[column]
    name = column.removesuffix("_gain")
    return None if row[name] is None else row[name] - row[f"{name}_still"]


def _value(value: float | None, decimals: int) -> Html:
    return element("td", number(value, decimals), class_="n", data_v="" if value is None else f"{value:.6g}")


def _sorter(label: str, class_: str | None = None) -> Html:
    return element("th", element("button", label, type="button"), class_=class_, scope="col")


def _provenance(report: dict[str, Any]) -> Html:
    facts = [
        ("clips", f"{report['dataset']['clips']}, SHA-256 {report['dataset']['sha256'][:16]}"),
        ("tracker", report["tracker"]),
    ]
    for network in ("lpips", "fvd"):
        if digest := report[f"{network}_network"]:
            facts.append((f"{network.upper()} network", f"SHA-256 {digest[:16]}"))
    for model in report["models"]:
        made = (
            f"{model['model']} {model['model_hash'][:16]}, seed {model['seed']}, {model['steps']} steps, guidance "
            f"{model['guidance'][0]:g} to {model['guidance'][1]:g}, {model['device']}, "
            f"{model['seconds_per_clip']:.2f} s a clip"
        )
        facts.append((model["label"], made))
    rows = [element("tr", element("td", name, class_="name"), element("td", text)) for name, text in facts]
    return _section("made", "How it was made", element("table", element("tbody", rows)))


def _navigation(parts: list[Html]) -> Html:
    known = {
        "figures": "Figures", "charts": "Clip by clip", "checks": "Checks", "worst": "Worst", "best": "Best",
        "others": "Others", "clips": "All clips", "made": "Made by",
    }  # fmt: skip
    whole = "".join(parts)
    there = [(id_, text) for id_, text in known.items() if f'id="{id_}"' in whole]
    links = element("ul", [element("li", element("a", text, href=f"#{id_}")) for id_, text in there])
    button = element("button", "Pause clips", id="motion", type="button", hidden=True)
    return element("nav", element("div", links, button), aria_label="Sections")


def _large_view() -> Html:
    """Where a clip is shown large, frame by frame."""
    slider = element("input", type="range", min=0, max=1, value=0, aria_label="Frame")
    close = element("form", element("button", "Close"), method="dialog")
    row = element("div", slider, element("output", class_="n"), close, class_="row")
    return element("dialog", element("div", class_="place"), row, id="large")


def _anchor(index: int) -> str:
    return f"clip-{index}"

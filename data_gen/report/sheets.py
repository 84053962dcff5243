# SPDX-License-Identifier: GPL-3.0-or-later
"""Contact sheets: accepted clips with their drags, and rejected animations by reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...backend.clips import META
from ...backend.markup import Html, element
from .counts import UNKNOWN
from .films import Budget, choose, player
from .reading import Dataset, Film, Line, Strip
from .sections import number, plural, section

ACCEPTED, REJECTED = 72, 12  # films shown at most: of the clips, and of each reason
REJECTED_SHARE = 0.4  # of the bytes, at least


def contact_sheets(dataset: Dataset, budget: int) -> list[Html]:
    """Both sections; together they take at most about `budget` bytes.

    Unreadable strips are added to the dataset's notes.
    """
    kept_back = int(budget * REJECTED_SHARE) if dataset.rejected else 0
    left = Budget(budget - kept_back)
    accepted = _accepted(dataset, left)
    left.left += kept_back
    return [accepted, *_rejected(dataset, left)]


def _accepted(dataset: Dataset, budget: Budget) -> Html:
    films = choose(dataset.clips, ACCEPTED, budget, dataset.notes)
    if not films:
        note = "No clips yet." if not dataset.clips else "The clips are too large to be shown here."
        return section("accepted", "Accepted clips", note=note)
    note = f"{_shown(len(films), len(dataset.clips))} Each drag: a ring where it starts, an arrow where it ends, a dot \
where it is now; diamonds are pins, which hold still. Point at a clip to stop it, click it to see it large."
    cards = [_card(strip, film, _clip_detail(film.meta)) for strip, film in films]
    return section("accepted", "Accepted clips", element("div", cards, class_="sheet"), note=note)


def _rejected(dataset: Dataset, budget: Budget) -> list[Html]:
    if not dataset.rejected:
        return []
    groups = group_by_reason(dataset)
    share = budget.left // max(1, len(groups))
    parts = []
    for reason, (strips, details) in groups.items():
        own = Budget(share)
        films = choose(strips, REJECTED, own, dataset.notes)
        if not films:
            continue
        cards = [_card(strip, film, details.get(strip.name, "")) for strip, film in films]
        heading = element("h3", reason, element("small", f"{len(films)} of {number(len(strips))}"))
        parts.append([heading, element("div", cards, class_="sheet")])
    return [section("rejected", "Rejected animations", parts, note="By reason, a few of each.")] if parts else []


def group_by_reason(dataset: Dataset) -> dict[str, tuple[list[Strip], dict[str, str]]]:
    """Reason -> (strips of the animations it turned away, what was found by strip), most frequent first."""
    lines = {(str(line["asset"]), line.get("index")): line for line in dataset.animations}
    groups: dict[str, tuple[list[Strip], dict[str, str]]] = {}
    for strip in dataset.rejected:
        line = lines.get(_animation_of(strip.name)) or _meta(strip)
        strips, details = groups.setdefault(str(line.get("reason") or UNKNOWN), ([], {}))
        strips.append(strip)
        details[strip.name] = str(line.get("detail") or "")
    return dict(sorted(groups.items(), key=lambda item: (-len(item[1][0]), item[0])))


def _animation_of(name: str) -> tuple[str, int | None]:
    """Asset key and animation's place of a sample called KEY_aAAA or KEY_aAAA_vVV."""
    head, _, tail = name.partition("_a") if name.count("_a") == 1 else name.rpartition("_a")
    digits = tail.split("_")[0]
    return (head, int(digits)) if digits.isdigit() else (name, None)


def _meta(strip: Strip) -> Line:
    """A strip's metadata alone; empty if they cannot be read, which showing the film will say."""
    place = strip.places.get(META)
    if place is None:
        return {}
    try:
        with strip.shard.open("rb") as stream:
            stream.seek(place.start)
            loaded = json.loads(stream.read(place.size))
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _card(strip: Strip, film: Film, detail: str) -> Html:
    asset = str(film.meta.get("asset") or film.meta.get("kind") or strip.name)
    animation = film.meta.get("animation")
    name = animation if isinstance(animation, str) and animation else strip.name
    label = ", ".join(part for part in (asset, name, detail) if part)
    caption = element("figcaption", element("b", name), asset if asset != name else None, element("br"), detail or None)
    return element("figure", player(film, label), caption)


def _clip_detail(meta: Mapping[str, Any]) -> str:
    view = meta.get("view")
    return f"view {view}" if isinstance(view, int) else ""


def _shown(count: int, total: int) -> str:
    if count == total:
        return f"All {plural(total, 'clip')}."
    return f"{number(count)} of {plural(total, 'clip')}, evenly spread over the dataset."

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report counts: stages, reasons, times, licences, features. Plain data, no HTML."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..reasons import REASONS
from .reading import Dataset, Line

OPENED = ("done", "rejected")  # an asset's outcomes after its file was read
BROKEN = ("damaged", "failed")
STAGES = ("import", "features", "record", "tracks", "render", "passes", "encode")
UNKNOWN = "not stated"
EXAMPLES = 3


@dataclass
class Reason:
    """How often something was turned away for one reason.

    Attributes:
        name: a key of `REASONS`, or what the ledger says.
        level: `asset`, `animation` or `view`.
        count: how often.
        examples: asset -> who and what was found.
    """

    name: str
    level: str
    count: int = 0
    examples: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def meaning(self) -> str:
        """The reason in words; empty if it is none of ours."""
        return REASONS.get(self.name, "")

    def note(self, asset: str, who: str, detail: str) -> None:
        """Count one more; the first of each of a few assets is kept as an example."""
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.setdefault(asset, (who, detail))


@dataclass(frozen=True)
class Licence:
    """Assets and clips under one licence."""

    name: str
    assets: int
    clips: int


def stages(dataset: Dataset) -> list[tuple[str, int]]:
    """The counts from assets to clips, each step with its name."""
    animations = dataset.animations
    animated = {line["asset"] for line in animations}
    opened = sum(line.get("outcome") in OPENED for line in dataset.assets)
    # Assets in work have animation lines and no line of their own yet.
    in_work = len(animated - {line["asset"] for line in dataset.assets})
    views = [view for line in animations for view in line.get("views") or ()]
    clips = sum(len(line.get("clips") or ()) for line in animations)
    return [
        ("assets", len(dataset.assets) + in_work),
        ("opened", opened + in_work),
        ("animations", len(animations)),
        ("accepted", sum(line.get("outcome") == "accepted" for line in animations)),
        ("views", len(views)),
        ("clips", clips or (len(dataset.clips) if not animations else 0)),
    ]


def reasons(dataset: Dataset) -> list[Reason]:
    """Why assets, animations and views did not become clips: by level, most frequent first."""
    found: dict[tuple[str, str], Reason] = {}

    def note(level: str, asset: Any, entry: Mapping[str, Any], who: str) -> None:
        if name := str(entry.get("reason") or ""):
            reason = found.setdefault((level, name), Reason(name, level))
            reason.note(str(asset), who, str(entry.get("detail") or ""))

    for line in dataset.assets:
        note("asset", line["asset"], line, str(line["asset"]))
    for line in dataset.animations:
        note("animation", line["asset"], line, label(line))
        for view in line.get("views") or ():
            note("view", line["asset"], view, f"{label(line)}, view {view.get('view')}")
    order = {"asset": 0, "animation": 1, "view": 2}
    return sorted(found.values(), key=lambda reason: (order[reason.level], -reason.count, reason.name))


def label(line: Line) -> str:
    """What a ledger line speaks of: the asset, and the animation with its place in the file."""
    asset = str(line["asset"])
    if line.get("index") is None and line.get("animation") is None:
        return asset
    name = line.get("animation") or f"animation {line.get('index')}"
    return f"{asset} · {name}"


def failures(dataset: Dataset) -> list[Line]:
    """Ledger lines of what is damaged or failed: the program's own faults first, then the files'."""
    broken = [line for line in (*dataset.assets, *dataset.animations) if line.get("outcome") in BROKEN]
    return sorted(broken, key=lambda line: (line["outcome"] != "failed", str(line.get("reason")), label(line)))


def seconds(lines: Iterable[Line]) -> dict[str, float]:
    """Seconds of each stage over all lines, in the order of work, then `other` for what no stage counts.

    Each line counts its own work alone: an asset's line that of opening it, an animation's line the rest.
    """
    spent: defaultdict[str, float] = defaultdict(float)
    other = 0.0
    for line in lines:
        stages_of_line = {key: value for key, value in (line.get("seconds") or {}).items() if _is_number(value)}
        total = stages_of_line.pop("total", 0.0)
        other += max(0.0, total - sum(stages_of_line.values()))
        for stage, value in stages_of_line.items():
            spent[stage] += value
    ordered = {stage: spent.pop(stage) for stage in STAGES if stage in spent} | dict(spent)
    return ordered | ({"other": other} if other > 0.005 * sum(ordered.values()) else {})


def seconds_by_asset(dataset: Dataset) -> list[tuple[str, float, dict[str, float]]]:
    """(asset, seconds in all, seconds by stage), slowest first."""
    by_asset: defaultdict[str, list[Line]] = defaultdict(list)
    for line in (*dataset.assets, *dataset.animations):
        if line.get("seconds"):
            by_asset[str(line["asset"])].append(line)
    times = [(asset, seconds(lines)) for asset, lines in by_asset.items()]
    return sorted(((asset, sum(spent.values()), spent) for asset, spent in times), key=lambda row: -row[1])


def licences(dataset: Dataset) -> list[Licence]:
    """Licences of the assets, most clips first."""
    clips: Counter[str] = Counter()
    for line in dataset.animations:
        clips[str(line["asset"])] += len(line.get("clips") or ())
    rows: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for line in dataset.assets:
        row = rows[str(line.get("licence") or UNKNOWN)]
        row[0] += 1
        row[1] += clips[str(line["asset"])]
    named = [Licence(name, assets, made) for name, (assets, made) in rows.items()]
    return sorted(named, key=lambda licence: (-licence.clips, -licence.assets, licence.name))


def credited(dataset: Dataset) -> list[Line]:
    """Lines of the assets that gave clips and whose author or licence is known, by author."""
    gave = {str(line["asset"]) for line in dataset.animations if line.get("clips")}
    lines = [
        line for line in dataset.assets
        if str(line["asset"]) in gave and (line.get("author") or line.get("licence"))
    ]  # fmt: skip
    return sorted(lines, key=lambda line: (str(line.get("author") or "~").lower(), str(line["asset"])))


def features(dataset: Dataset) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Feature -> its finite values over accepted and over rejected animations, in the ledger's order."""
    values: dict[str, tuple[list[float], list[float]]] = {}
    for line in dataset.animations:
        if (outcome := line.get("outcome")) not in ("accepted", "rejected"):
            continue
        for name, value in (line.get("features") or {}).items():
            if isinstance(value, bool):
                value = float(value)
            if _is_number(value):
                values.setdefault(name, ([], []))[outcome == "rejected"].append(float(value))
    return {name: (np.array(kept), np.array(gone)) for name, (kept, gone) in values.items()}


def spread_evenly(items: Sequence[Any], limit: int) -> list[Any]:
    """At most `limit` of the items, evenly spread over their order; the same items give the same choice."""
    if limit <= 0 or len(items) <= limit:
        return list(items) if limit > 0 else []
    return [items[math.floor((i + 0.5) * len(items) / limit)] for i in range(limit)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger: one JSON line for each asset and for each of its animations, saying what became of it.

Appended to and flushed to the disk while a run works, so that a run killed at any moment is continued; an
asset's lines are written together, its own line last. stdlib only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..backend.workers.ledger_file import read_lines
from ..backend.workers.slot import STDERR_KEPT
from .reasons import Rejection

LEDGER = "ledger.jsonl"
ASSET_OUTCOMES = ("done", "rejected", "damaged", "failed", "licence", "duplicate")
ANIMATION_OUTCOMES = ("accepted", "rejected", "failed")
INCOMPLETE = ("damaged", "failed")  # outcomes with which a run ends as "done, but not everything"

Line = dict[str, Any]


def asset_line(asset: str, source: str, outcome: str, **known: Any) -> Line:
    """What became of an asset as a whole; further fields as in `_line`."""
    if outcome not in ASSET_OUTCOMES:
        raise ValueError(f"no outcome of an asset is called {outcome!r}")
    return _line(asset, source, outcome, **known)


def animation_line(asset: str, source: str, animation: str, index: int, outcome: str, **known: Any) -> Line:
    """What became of one animation; further fields as in `_line`."""
    if outcome not in ANIMATION_OUTCOMES:
        raise ValueError(f"no outcome of an animation is called {outcome!r}")
    return _line(asset, source, outcome, animation=animation, index=index, **known)


def turned_away(rejection: Rejection) -> dict[str, str]:
    """The fields of a line that say why."""
    return {"reason": rejection.reason, "detail": rejection.detail}


def _line(
    asset: str,
    source: str,
    outcome: str,
    *,
    animation: str | None = None,
    index: int | None = None,
    reason: str | None = None,
    detail: str = "",
    clips: Sequence[str] = (),
    features: Mapping[str, float] | None = None,
    views: Sequence[Mapping[str, Any]] = (),
    seconds: Mapping[str, float] | None = None,
    licence: str | None = None,
    author: str | None = None,
    stderr: str | None = None,
    **more: Any,
) -> Line:
    return {
        "asset": asset, "source": source, "animation": animation, "index": index, "outcome": outcome,
        "reason": reason, "detail": detail, "clips": list(clips),
        "features": None if features is None else dict(features), "views": [dict(view) for view in views],
        "seconds": {stage: round(spent, 4) for stage, spent in (seconds or {}).items()},
        "licence": licence, "author": author, "stderr": stderr and stderr[-STDERR_KEPT:], **more,
    }  # fmt: skip


def is_asset_line(line: Mapping[str, Any]) -> bool:
    """Whether a line speaks of an asset as a whole rather than of one animation."""
    return line.get("animation") is None and line.get("index") is None


def read_ledger(path: Path) -> list[Line]:
    """All whole lines of a ledger; a torn last line, which a killed run leaves, is passed over.

    An absent ledger is empty.
    """
    return [line for line in read_lines(path) if isinstance(line, dict) and "asset" in line]


def by_asset(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """The lines of each asset whose own line is there; where an asset was tried twice, the last try counts."""
    pending: dict[str, list[Line]] = {}
    whole: dict[str, list[Line]] = {}
    for line in lines:
        pending.setdefault(line["asset"], []).append(line)
        if is_asset_line(line):
            whole[line["asset"]] = pending.pop(line["asset"])
    return whole

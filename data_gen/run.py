# SPDX-License-Identifier: GPL-3.0-or-later
"""A run: plan, have the units made, keep the ledger, pack the shards. Killed at any moment, it is continued.

Everything that must not be lost lies on disk before it counts: a unit's clips before its lines, its lines
before the shard, the shard before its clips are forgotten.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..backend.errors import Cancelled, InputError, from_wire
from ..backend.shards import REJECTED
from ..backend.workers.ledger_file import Ledger, only_run, replace_file
from ..backend.workers.pool import Pool
from ..backend.workers.slot import Outcome
from .card import write_card
from .ledger import INCOMPLETE, LEDGER, Line, by_asset, is_asset_line, read_ledger
from .options import FilterOrder, RenderOrder
from .packing import (
    WORK,
    Shards,
    make_work_folder,
    read_unit,
    refuse_to_drop,
    remove_work_folder,
    sweep,
    take_up,
)
from .plan import Unit, make_plan

SETTINGS = "dataset.json"
FORMAT = 1  # of the dataset folder
PARTLY_DONE = 3  # exit code
FILES_TOLD = 20  # files read between two events

Listener = Callable[[dict[str, Any]], None]


@dataclass
class Summary:
    """What a dataset holds after a run, and what the run did.

    Attributes:
        assets: outcome -> number of assets.
        animations: outcome -> number of animations.
        reasons: reason -> how often anything was turned away for it.
        clips: number of clips.
        rejected: number of film strips of what was turned away.
        made: assets this run has worked on.
        seconds: this run's.
    """

    assets: Counter[str] = field(default_factory=Counter)
    animations: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    clips: int = 0
    rejected: int = 0
    made: int = 0
    seconds: float = 0.0

    def count(self, lines: list[Line]) -> None:
        """Add an asset's lines."""
        for line in lines:
            whole = is_asset_line(line)
            (self.assets if whole else self.animations)[line["outcome"]] += 1
            if whole:
                self.clips += len(line.get("clips") or ())
                self.rejected += len(line.get(REJECTED) or ())
            for place in (line, *(line.get("views") or ())):
                if place.get("reason"):
                    self.reasons[place["reason"]] += 1

    @property
    def exit_code(self) -> int:
        """0, or 3 where assets were damaged or failed."""
        return PARTLY_DONE if any(self.assets[outcome] for outcome in INCOMPLETE) else 0

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "assets": dict(self.assets), "animations": dict(self.animations), "reasons": dict(self.reasons),
            "clips": self.clips, "rejected": self.rejected, "made": self.made, "seconds": round(self.seconds, 2),
        }  # fmt: skip


def run(order: FilterOrder, stage: str, pool: Pool, listen: Listener, plan: list[Unit] | None = None) -> Summary:
    """Make, or go on with, the dataset that an order stands for.

    Args:
        order: what is wanted.
        stage: `plan.RENDER` or `plan.FILTER`.
        pool: where the units are made.
        listen: told what happens: events `files`, `begin`, `stage`, `asset`, `end`.
        plan: the units, where they do not follow from the order (the scene open in Blender).

    Raises:
        InputError: the order cannot be carried out, or the dataset there is of another order.
        OutputError: the dataset cannot be written; what is done stays done.
        RequirementError: Blender cannot run here.
        Cancelled: interrupted from the keyboard; the same order goes on from there.
    """
    assert order.out is not None
    if isinstance(order, RenderOrder):
        order = order.resolved()
    if plan is None:
        plan = make_plan(order, lambda count: count % FILES_TOLD or listen({"event": "files", "files": count}))
    begun = (order.out / WORK).exists()
    make_work_folder(order.out)
    with only_run(order.out / WORK / "lock", order.out):
        try:
            prepared = _Run(order, stage, plan, listen)
        except InputError:
            if not begun:  # a refused order leaves no trace
                remove_work_folder(order.out)
            raise
        return prepared.work(pool)


class _Run:
    """The state of a run."""

    def __init__(self, order: FilterOrder, stage: str, plan: list[Unit], listen: Listener) -> None:
        assert order.out is not None
        self._out, self._order, self._stage, self._listen = order.out, order, stage, listen
        self._plan = plan
        self._unit_of = {unit.key: unit for unit in plan}
        self._ledger = Ledger(order.out / LEDGER)
        self._lines: dict[str, list[Line]] = {}
        self._summary = Summary()
        self._began = time.monotonic()
        self._settings = _Settings(order.out, stage, order.settings())
        self._settings.check()
        sweep(self._out)
        self._shards = self._resume()

    def work(self, pool: Pool) -> Summary:
        """Make what is not made yet, and finish."""
        todo = [unit for unit in self._plan if unit.key not in self._lines]
        self._listen({"event": "begin", "assets": len(self._plan), "done": len(self._lines), "todo": len(todo)})
        try:
            self._make(todo, pool)
        except KeyboardInterrupt:
            made = self._summary.made
            raise Cancelled(f"interrupted after {made} asset(s); the same command goes on from there") from None
        self._shards.finish()
        self._close()
        return self._summary

    def _resume(self) -> Shards:
        """Find out what is done already, and put the shards in the state that belongs to it."""
        found = read_ledger(self._ledger.path)
        lines = by_asset(found)
        if self._order.retry_failed:
            for key in [key for key, known in lines.items() if known[-1]["outcome"] == "failed"]:
                del lines[key]
                take_up(self._out, key)
        shards = Shards(self._out, self._order.shard_mb, [unit.key for unit in self._plan])
        refuse_to_drop({key: known[-1] for key, known in lines.items()}, self._unit_of, self._out)
        kept = {key: lines[key] for key in self._unit_of if key in lines and shards.holds_all(lines[key][-1])}
        if sum(map(len, kept.values())) != len(found):  # torn, given up, or no longer ordered
            self._ledger.rewrite(line for known in kept.values() for line in known)
        for unit in self._plan:
            if unit.key not in kept and (fresh := self._settled(unit)):
                self._ledger.append(fresh)
                kept[unit.key] = fresh
        self._lines = kept
        for known in kept.values():
            self._summary.count(known)
        shards.settle({key: known[-1] for key, known in kept.items()})
        return shards

    def _settled(self, unit: Unit) -> list[Line] | None:
        """The lines of a unit that needs no work any more, though the ledger does not know it yet."""
        if unit.settled:
            return [unit.settled]
        lines = read_unit(self._out, unit.key)
        return lines if lines and self._settings.same_versions(lines[-1]) else None

    def _make(self, todo: list[Unit], pool: Pool) -> None:
        if not todo:
            return
        threads = max(1, (os.cpu_count() or 1) // max(1, self._order.workers))
        tasks = (unit.task(self._order, self._out, self._stage, threads) for unit in todo)
        with closing(pool.results(tasks, self._listen)) as outcomes:
            for outcome in outcomes:
                lines = self._take(outcome)
                self._shards.add(lines[-1])
                self._tell(lines[-1], outcome, len(todo))

    def _take(self, outcome: Outcome) -> list[Line]:
        """Enter what became of a unit in the ledger."""
        if outcome.stop is not None:
            raise from_wire(*outcome.stop)
        unit = self._unit_of[outcome.key]
        lines = read_unit(self._out, unit.key)  # whatever else was said: with this file it is done
        if lines is None:
            spent = {"total": outcome.seconds}
            lines = [
                unit.line(
                    "failed", reason=outcome.reason or "crashed", detail=outcome.detail, stderr=outcome.stderr or None,
                    seconds=spent,
                )
            ]  # fmt: skip
        elif not self._settings.same_versions(lines[-1]):
            take_up(self._out, unit.key)
            raise self._settings.other_versions(lines[-1])
        self._ledger.append(lines)
        self._lines[unit.key] = lines
        take_up(self._out, unit.key)
        self._summary.count(lines)
        self._summary.made += 1
        return lines

    def _tell(self, own: Line, outcome: Outcome, todo: int) -> None:
        made = self._summary.made
        self._summary.seconds = time.monotonic() - self._began
        event = {
            "event": "asset", "asset": own["asset"], "outcome": own["outcome"], "reason": own["reason"],
            "detail": own["detail"], "clips": len(own.get("clips") or ()), "seconds": round(outcome.seconds, 2),
            "memory_gb": round(outcome.memory_gb, 2), "done": len(self._lines), "total": len(self._plan),
            "eta_s": round(self._summary.seconds / made * (todo - made), 1),
        }  # fmt: skip
        self._listen(event)

    def _close(self) -> None:
        """Ledger in the plan's order, card, and nothing left over."""
        ordered = [line for unit in self._plan for line in self._lines[unit.key]]
        self._ledger.rewrite(ordered)
        write_card(self._out, self._stage, self._settings.known, ordered)
        remove_work_folder(self._out)
        self._summary.seconds = time.monotonic() - self._began
        self._listen({"event": "end", **self._summary.to_json()})


class _Settings:
    """What a dataset was ordered with; one folder takes one kind of order.

    Attributes:
        known: what `dataset.json` says: format, stage, settings, versions.
    """

    def __init__(self, out: Path, stage: str, settings: Mapping[str, Any]) -> None:
        self._path = out / SETTINGS
        self.known: dict[str, Any] = {"format": FORMAT, "stage": stage, "settings": dict(settings), "versions": {}}

    def check(self) -> None:
        """Compare with what is there, or write it.

        Raises:
            InputError: the dataset there is of other settings.
        """
        try:
            there = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            self._write()
            return
        except (OSError, ValueError) as error:
            raise InputError(f"{self._path} cannot be read: {error}; choose another --out") from error
        for name, value, wanted in self._pairs(there):
            if value != wanted:
                raise InputError(
                    f"the dataset in {self._path.parent} was made with {name} {json.dumps(value)}, "
                    f"not {json.dumps(wanted)}; give the same, or choose another --out"
                )
        self.known["versions"] = there.get("versions") or {}

    def _pairs(self, there: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
        """(name, there, wanted) of everything that must be equal."""
        yield "format", there.get("format"), FORMAT
        yield "stage", there.get("stage"), self.known["stage"]
        old, new = there.get("settings") or {}, self.known["settings"]
        for name in sorted(old.keys() | new.keys()):
            yield f"--{name.replace('_', '-')}", old.get(name), new.get(name)

    def same_versions(self, own: Line) -> bool:
        """Whether a unit was made by the same Blender as the rest; the first one decides."""
        if not self.known["versions"] and own.get("versions"):
            self.known["versions"] = own["versions"]
            self._write()
        return (own.get("versions") or {}) == self.known["versions"]

    def other_versions(self, own: Line) -> InputError:
        """The error that says which versions differ."""
        return InputError(
            f"the dataset in {self._path.parent} is made with {_words(self.known['versions'])}, but here is "
            f"{_words(own.get('versions') or {})}; use the same everywhere, or choose another --out"
        )

    def _write(self) -> None:
        replace_file(self._path, json.dumps(self.known, indent=2, ensure_ascii=False).encode() + b"\n")


def _words(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name.capitalize()} {version}" for name, version in versions.items()) or "no Blender"

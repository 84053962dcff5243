# SPDX-License-Identifier: GPL-3.0-or-later
"""A run: what is missing or changed is made, and the ledger says what became of each preview.

Killed at any moment, it is continued by the same command: a preview's files come before its sidecar, that before its
record, that before its line in the ledger, and only then is the record forgotten.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import Cancelled, PuppetMasterError, RequirementError, from_wire
from ..workers.ledger_file import Ledger, Line, only_run, read_lines, unwritable
from ..workers.slot import Outcome
from .feed import PREVIEWS, STILLS, Feed, Task, still_task
from .layout import Layout
from .places import Places
from .plan import Prepared, Variation, prepare
from .records import (
    DONE,
    FAILED,
    INVALID,
    count,
    known_lines,
    line_key,
    other_lines,
    read_record,
    read_records,
    still_holds,
)

SOME, NONE = 3, 12  # exit codes
GROUPS = 2  # forward passes in one task: while one is at work, the other's files are written
LIMITS = {"time limit": "--time-limit", "memory limit": "--memory-limit-gb"}  # by why a worker was ended
Listener = Callable[[dict[str, Any]], None]


@dataclass
class Summary:
    """What a run's share of a batch holds afterwards, and what the run did.

    Attributes:
        outcomes: outcome -> number of previews.
        made: previews this run has made, or failed to.
        seconds: this run's.
    """

    outcomes: dict[str, int] = field(default_factory=dict)
    made: int = 0
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0: all is done; 3: some; 12: none."""
        done = self.outcomes.get(DONE, 0)
        return 0 if done == sum(self.outcomes.values()) else SOME if done else NONE

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {**self.outcomes, "made": self.made, "seconds": round(self.seconds, 2), "exit_code": self.exit_code}


@dataclass
class Todo:
    """What a run finds before it works.

    Attributes:
        variations: its share of the plan.
        lines: what is known already and holds, by `records.line_key`.
        prepared: what is to be made.
    """

    variations: Sequence[Variation]
    lines: dict[str, Line]
    prepared: list[Prepared]

    @property
    def stills(self) -> dict[str, dict[str, Any]]:
        """Stills that have to be rendered, each once, by key."""
        return {made.still["key"]: made.still for made in self.prepared if made.still}


def look(variations: Sequence[Variation], out: Path, retry_failed: bool = False, force: bool = False) -> Todo:
    """Find out what is missing or changed.

    Args:
        variations: of the plan.
        out: the batch's folder; need not exist.
        retry_failed: make again what failed before.
        force: make everything again.
    """
    known = {} if force else known_lines(out)
    todo = Todo(variations, {}, [])
    for variation in variations:
        key = line_key(variation)
        try:
            prepared = prepare(variation)
        except PuppetMasterError as error:
            todo.lines[key] = _line(variation, INVALID, error.kind, str(error))
            continue
        line = known.get(key)
        if line is not None and still_holds(line, prepared.digest, out, retry_failed):
            todo.lines[key] = {**line, **variation.described()}
        else:
            todo.prepared.append(prepared)
    return todo


def run(
    variations: Sequence[Variation],
    layout: Layout,
    places_for: Callable[[bool], Places],
    listen: Listener,
    retry_failed: bool = False,
    force: bool = False,
) -> Summary:
    """Make what is missing or changed of a share of a plan.

    Args:
        variations: the share.
        layout: of the batch's folder and this run.
        places_for: gives where to work, told whether Blender is needed; asked only where there is work.
        listen: told what happens: events `begin`, `still`, `preview`, `nodes`, `end`.
        retry_failed: make again what failed before.
        force: make everything again.

    Raises:
        OutputError: the folder cannot be written, or another run is at work there; what is done stays done.
        RequirementError: no worker can work.
        Cancelled: interrupted; the same command goes on from there.
    """
    began = time.monotonic()
    try:
        layout.make()
    except OSError as error:
        raise unwritable(layout.out, error) from error
    with only_run(layout.lock, layout.out):
        shutil.rmtree(layout.staging, ignore_errors=True)
        layout.staging.mkdir(exist_ok=True)
        ledger = Ledger(layout.ledger)
        _take_up(layout, ledger)
        working = _Run(look(variations, layout.out, retry_failed, force), layout, ledger, listen, began)
        return working.work(places_for)


def _take_up(layout: Layout, ledger: Ledger) -> None:
    """Enter what a killed run has made but not entered."""
    entered = {line.get("key"): line for line in read_lines(layout.ledger) if isinstance(line, dict)}
    for path, line in read_records(layout):
        if entered.get(line["key"]) != line:
            ledger.append([line])
        path.unlink(missing_ok=True)


class _Unfit(Exception):
    """No worker could begin with previews of one model; perhaps they can with others."""

    def __init__(self, model: str, error: RequirementError) -> None:
        super().__init__(model)
        self.model, self.error = model, error


class _Run:
    """The state of a run."""

    def __init__(self, todo: Todo, layout: Layout, ledger: Ledger, listen: Listener, began: float) -> None:
        self._todo, self._layout, self._ledger, self._listen, self._began = todo, layout, ledger, listen, began
        self._lines = dict(todo.lines)
        self._of_still: dict[str, list[Prepared]] = {}
        self._tasks: dict[str, list[Prepared]] = {}  # groups at hand
        self._lost: dict[str, int] = {}  # workers that cannot work any more, by side
        self._groups = 0
        self._made = 0

    def work(self, places_for: Callable[[bool], Places]) -> Summary:
        """Make what is to be made, and finish."""
        todo = self._todo.prepared
        stills = self._missing_stills(todo)
        found = count(self._lines.values())
        self._listen({
            "event": "begin", "previews": len(self._todo.variations), "todo": len(todo), **found,
            "stills": len(stills),
        })  # fmt: skip
        for line in self._lines.values():
            if line["outcome"] == INVALID:
                told = {name: line[name] for name in ("name", "where", "outcome", "kind", "message")}
                self._listen({"event": "refused", **told})
        if todo:
            try:
                self._make_all(todo, stills, places_for)
            except KeyboardInterrupt:
                message = f"interrupted after {self._made} preview(s); the same command goes on from there"
                raise Cancelled(message) from None
        mine = [self._lines[line_key(variation)] for variation in self._todo.variations]
        self._ledger.rewrite([*mine, *other_lines([self._layout.ledger], self._lines, self._layout.out)])
        summary = Summary(count(self._lines.values()), self._made, time.monotonic() - self._began)
        self._listen({"event": "end", **summary.to_json()})
        return summary

    def _make_all(self, todo: Sequence[Prepared], stills: Sequence[Task], places_for: Callable[[bool], Places]) -> None:
        """Make everything that there are the means for: a model too large for this machine spoils no other's previews.

        Raises:
            RequirementError: no worker can work, whatever the model.
        """
        unfit: dict[str, RequirementError] = {}
        while todo:
            try:
                self._make(todo, stills, places_for)
                break
            except _Unfit as found:
                unfit[found.model] = found.error
            unmade = [made for made in self._todo.prepared if line_key(made.variation) not in self._lines]
            todo = [made for made in unmade if made.task["model"] not in unfit]
            if not todo:  # perhaps it is not the model's fault at all: nothing is said of its previews
                raise unfit.popitem()[1]
            for state in (self._of_still, self._tasks, self._lost):
                state.clear()
            stills = self._missing_stills(todo)
        for prepared in self._todo.prepared:
            error = unfit.get(prepared.task["model"])
            if error and line_key(prepared.variation) not in self._lines:
                line = _line(prepared.variation, FAILED, error.kind, str(error))
                self._enter(prepared, {**line, "digest": prepared.digest})

    def _make(self, todo: Sequence[Prepared], stills: Sequence[Task], places_for: Callable[[bool], Places]) -> None:
        """Make what is to be made, once all of it or until a worker's fault ends it. Raises `_Unfit`."""
        end = self._made + len(todo)
        self._places = places_for(bool(stills))
        self._feed = Feed(stills, self._task_of, lambda: self._places.together * GROUPS)
        self._feed.add(prepared for prepared in todo if not self._waits(prepared))
        self._end_blender()
        with closing(self._places.results(self._feed, self._listen)) as outcomes:
            for outcome in outcomes:
                if outcome.stop is not None:
                    self._worker_stopped(outcome)
                elif outcome.key.startswith(STILLS):
                    self._still(outcome)
                    self._end_blender()
                else:
                    self._previews(outcome)
                if self._made == end:
                    self._feed.close()
        if self._made < end:
            raise RequirementError("the workers ended before the batch was done; the same command goes on from there")

    def _end_blender(self) -> None:
        """Once all stills are there, Blender's memory is better used by others."""
        if not self._of_still:
            self._feed.stills.finish()

    def _missing_stills(self, todo: Sequence[Prepared]) -> list[Task]:
        """Tasks for Blender; what waits for each is remembered."""
        tasks = []
        for prepared in todo:
            still = prepared.still
            if still is None or "error" not in (_still_said(self._layout, still["key"]) or {"error": "not there"}):
                continue
            if still["key"] not in self._of_still:
                tasks.append(still_task(still, str(self._layout.stills.absolute())))
            self._of_still.setdefault(still["key"], []).append(prepared)
        return tasks

    def _waits(self, prepared: Prepared) -> bool:
        return prepared.still is not None and prepared.still["key"] in self._of_still

    def _task_of(self, group: Sequence[Prepared]) -> Task:
        self._groups += 1
        key = f"{PREVIEWS} {self._groups}"
        self._tasks[key] = list(group)
        members = [{**made.task, "about": made.variation.described()} for made in group]
        return {
            "key": key, "out": str(self._layout.out.absolute()), "run": self._layout.run, "members": members,
            "device": self._places.device, "threads": self._places.threads, "together": self._places.together,
            "memory": self._places.wanted.memory, "acceleration": self._places.wanted.acceleration,
        }  # fmt: skip

    def _still(self, outcome: Outcome) -> None:
        key = outcome.key.partition(" ")[2]
        waiting = self._of_still.pop(key)
        said = _still_said(self._layout, key)
        error = said.get("error") if said else {"kind": "error", "message": _ended(outcome)}
        scene = waiting[0].variation.source
        self._listen({
            "event": "still", "scene": scene, "outcome": FAILED if error else DONE, "previews": len(waiting),
            "seconds": round(outcome.seconds, 2), "message": error["message"] if error else "",
        })  # fmt: skip
        if not error:
            self._feed.add(waiting)
            return
        for prepared in waiting:
            self._enter(prepared, self._failure(prepared, error["kind"], error["message"], outcome))
        self._forget_still(key)

    def _forget_still(self, key: str) -> None:
        """So that `--retry-failed` tries again."""
        (self._layout.stills / f"{key}.json").unlink(missing_ok=True)

    def _previews(self, outcome: Outcome) -> None:
        group = self._tasks.pop(outcome.key)
        for prepared in group:
            path = self._layout.record(prepared.variation.name)
            line = read_record(path)
            if line is None and len(group) > 1:  # one of them spoils the task: each by itself
                self._feed.give_back(self._task_of([prepared]))
                continue
            if line is None:  # whatever else was said: with a record it is done
                line = self._failure(prepared, "error", _ended(outcome), outcome)
            self._enter(prepared, line)
            path.unlink(missing_ok=True)

    def _failure(self, prepared: Prepared, kind: str, message: str, outcome: Outcome) -> Line:
        line = _line(prepared.variation, FAILED, kind, message)
        return {**line, "digest": prepared.digest, "stderr": outcome.stderr or None}

    def _enter(self, prepared: Prepared, line: Line) -> None:
        self._ledger.append([line])
        self._lines[line_key(prepared.variation)] = line
        self._made += 1
        left = len(self._todo.prepared) - self._made
        spent = time.monotonic() - self._began
        self._listen({
            "event": "preview", "name": line["name"], "outcome": line["outcome"], "kind": line["kind"],
            "message": line["message"], "files": list(line.get("files") or ()), "done": len(self._lines),
            "total": len(self._todo.variations), "eta_s": round(spent / self._made * left, 1),
        })  # fmt: skip

    def _worker_stopped(self, outcome: Outcome) -> None:
        """A worker met what keeps it from working: others do its task, as long as there are others.

        Raises:
            PuppetMasterError: what it met, where it concerns all of them.
            _Unfit: there are no others.
        """
        assert outcome.stop is not None
        error = from_wire(*outcome.stop)
        side = STILLS if outcome.key.startswith(STILLS) else PREVIEWS
        self._lost[side] = self._lost.get(side, 0) + 1
        if not isinstance(error, RequirementError):
            raise error
        if self._lost[side] >= self._places.count(side):
            raise error if side == STILLS else _Unfit(self._tasks[outcome.key][0].task["model"], error)
        self._listen({"event": "worker", "side": side, "message": str(error)})
        if side == STILLS:
            key = outcome.key.partition(" ")[2]
            still = self._of_still[key][0].still
            assert still is not None
            self._feed.give_back(still_task(still, str(self._layout.stills.absolute())))
        else:
            self._feed.give_back(self._task_of(self._tasks.pop(outcome.key)))


def _still_said(layout: Layout, key: str) -> dict[str, Any] | None:
    """What was said of a rendered still; None where there is none."""
    try:
        said = json.loads((layout.stills / f"{key}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return said if "error" in said or (layout.stills / f"{key}.png").is_file() else None


def _line(variation: Variation, outcome: str, kind: str, message: str) -> Line:
    return {
        "key": line_key(variation), "when": time.time(), **variation.described(), "outcome": outcome, "kind": kind,
        "message": message, "files": {},
    }  # fmt: skip


def _ended(outcome: Outcome) -> str:
    """How a worker ended that left no word of its own, and the option that would have let it go on."""
    option = LIMITS.get(outcome.reason or "")
    return f"{outcome.reason or 'crashed'}: {outcome.detail}" + (f"; {option} allows more" if option else "")

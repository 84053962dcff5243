# SPDX-License-Identifier: GPL-3.0-or-later
"""Making many clips with worker processes: resumable, and a crash costs one clip.

A unit of work is a clip. A worker holds one Blender, is handed one unit at a time, and is replaced after
a number of units or when it dies. The parent never imports bpy.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from ..backend.errors import Cancelled, OutputError, PuppetMasterError, RequirementError
from ..backend.requirements import explain_missing_bpy
from .clips import PARTIAL
from .settings import RenderSettings

RECYCLE_AFTER = 100  # units a worker does before it is replaced, so that Blender's leaks do not add up
STUCK_AFTER = 900.0  # seconds after which a worker counts as hung


@dataclass(frozen=True)
class Unit:
    """One clip to make.

    Attributes:
        kind: a procedural kind, or "asset".
        seed: decides everything random.
        path: the clip file.
        source: the model file of an asset.
    """

    kind: str
    seed: int
    path: Path
    source: Path | None = None


@dataclass(frozen=True)
class Job:
    """What all units of a run share.

    Attributes:
        frames: number of frames of each clip.
        settings: how they are rendered.
        animation: of assets: the animation's name; None lets each clip's seed draw one.
    """

    frames: int
    settings: RenderSettings
    animation: str | None = None


@dataclass
class Summary:
    """What became of a run's units."""

    done: int = 0
    skipped: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        rate = 60 * self.done / self.seconds if self.seconds else 0.0
        return {
            "done": self.done, "skipped": self.skipped, "failed": self.failed,
            "seconds": round(self.seconds, 2), "clips_per_minute": round(rate, 1),
        }  # fmt: skip


class _Worker:
    """A child process with a pipe, and the unit it is at."""

    def __init__(self, job: Job) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, job), daemon=True)
        self.process.start()
        theirs.close()
        self.unit: Unit | None = None
        self.since = 0.0
        self.units_done = 0

    def hand(self, unit: Unit) -> None:
        """Give it the next unit; if it has just died, its silent pipe will say so."""
        self.unit, self.since = unit, time.monotonic()
        with suppress(BrokenPipeError):
            self.pipe.send(unit)

    def stop(self) -> None:
        """End it, by force if it does not end by itself."""
        with suppress(OSError):
            self.pipe.send(None)
        self.pipe.close()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def run_batch(
    units: list[Unit], job: Job, workers: int, on_progress: Callable[[Summary, int], None] | None = None
) -> Summary:
    """Make all clips that do not exist yet.

    Args:
        units: what to make.
        job: what they share.
        workers: number of processes.
        on_progress: called after each unit with the summary so far and the number of units to do.

    Raises:
        RequirementError: Blender's module does not start here.
        OutputError: a clip cannot be written.
        Cancelled: interrupted from the keyboard; finished clips stay.
    """
    summary = Summary()
    todo = [unit for unit in units if not unit.path.exists()]
    summary.skipped = len(units) - len(todo)
    began = time.monotonic()
    try:
        for unit, fault in _results(todo, job, workers):
            if fault is None:
                summary.done += 1
            else:
                summary.failed[unit.path.name] = fault
            summary.seconds = time.monotonic() - began
            if on_progress:
                on_progress(summary, len(todo))
    except KeyboardInterrupt:
        raise Cancelled(f"interrupted after {summary.done} clip(s); the same command goes on from there") from None
    return summary


def _results(todo: list[Unit], job: Job, count: int) -> Iterator[tuple[Unit, str | None]]:
    """Hand the units out and give each with its fault, or None, as it ends."""
    waiting = list(reversed(todo))
    workers: list[_Worker] = []
    os.environ.setdefault("LP_NUM_THREADS", "1")  # software GL would else start a thread a core and worker
    try:
        while waiting or any(worker.unit for worker in workers):
            while waiting and len(workers) < count:
                workers.append(_Worker(job))
            for worker in list(workers):
                if worker.unit is not None:
                    continue
                if not worker.process.is_alive():  # died between two units
                    worker.stop()
                    workers.remove(worker)
                elif waiting:
                    worker.hand(waiting.pop())
            ready = wait([worker.pipe for worker in workers if worker.unit], timeout=5.0)
            for worker in [w for w in workers if w.unit]:
                stuck = time.monotonic() - worker.since > STUCK_AFTER
                if worker.pipe not in ready and not stuck:
                    continue
                unit, fault = worker.unit, _outcome(worker, stuck)
                if not worker.process.is_alive() or stuck or worker.units_done >= RECYCLE_AFTER:
                    worker.stop()
                    workers.remove(worker)
                yield unit, fault
    finally:
        for worker in workers:
            if worker.unit is not None:
                worker.process.kill()
            worker.stop()
        _sweep({unit.path.parent for unit in todo})


def _outcome(worker: _Worker, stuck: bool) -> str | None:
    """What came of the worker's unit: None for success, else the fault in one line."""
    unit, worker.unit = worker.unit, None
    if stuck:
        worker.process.kill()
        return f"no result within {STUCK_AFTER:g} s"
    try:
        error = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join(5)
        return f"the worker died (exit code {worker.process.exitcode})"
    worker.units_done += 1
    if isinstance(error, (RequirementError, OutputError)):
        raise error
    return None if error is None else f"{unit.path.name}: {error}"


def _sweep(folders: set[Path]) -> None:
    """Remove what killed workers left half written."""
    for folder in folders:
        for left in folder.glob(f".*{PARTIAL}"):
            left.unlink(missing_ok=True)


def _work(pipe: Connection, job: Job) -> None:
    """A worker's life: make one unit after another until told to stop or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    _silence()
    _forget_blenders_path()
    try:
        from .maker import make
    except ImportError as error:
        pipe.send(explain_missing_bpy(error))
        return
    while True:
        try:
            unit = pipe.recv()
        except EOFError:
            return
        if unit is None:
            return
        try:
            make(unit, job)
        except PuppetMasterError as error:
            pipe.send(error)
        except Exception as error:  # noqa: BLE001 - one bad clip must not end the run; the parent reports it
            pipe.send(PuppetMasterError(f"{type(error).__name__}: {error}"))
        else:
            pipe.send(None)


def _forget_blenders_path() -> None:
    """Undo what a parent that has loaded bpy hands down: a search path whose first `bpy` is not the module."""
    sys.path[:] = [entry for entry in sys.path if not {"bpy", "scripts"} <= set(Path(entry).parts)]


def _silence() -> None:
    """Send Blender's chatter (one line a frame, GL notices) nowhere; it bypasses sys.stdout."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)

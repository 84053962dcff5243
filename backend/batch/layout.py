# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a batch keeps things, below its folder.

    NAME.mp4 NAME.gif NAME.sheet.png NAME.frames/0000.png   a preview, as ordered
    NAME.json              its sidecar: what made it; written last
    ledger.jsonl           what became of each preview; ledger.*.jsonl of tasks, until they are merged
    batch.html             the page
    .batch/stills          stills rendered of scenes, kept for the next run
    .batch/thumbs          small films for the page
    .batch/RUN/records     what is made and not in the ledger yet
    .batch/RUN/staging     what is not complete
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

WORK = ".batch"
PAGE = "batch.html"
SIDECAR, FRAMES, SHEET = ".json", ".frames", ".sheet.png"
WHOLE = "ledger"


@dataclass(frozen=True)
class Layout:
    """A batch's folder, as one run sees it.

    Attributes:
        out: the folder.
        run: names this run's ledger and its place for work: `WHOLE`, or one of a task's.
    """

    out: Path
    run: str = WHOLE

    @property
    def ledger(self) -> Path:
        """This run's ledger."""
        return self.out / f"{self.run}.jsonl"

    @property
    def own(self) -> Path:
        """This run's place for work."""
        return self.out / WORK / self.run

    @property
    def records(self) -> Path:
        """What is made and not in the ledger yet."""
        return self.own / "records"

    @property
    def staging(self) -> Path:
        """What is not complete yet."""
        return self.own / "staging"

    @property
    def lock(self) -> Path:
        """Held while the run works."""
        return self.own / "lock"

    @property
    def stills(self) -> Path:
        """Stills rendered of scenes."""
        return self.out / WORK / "stills"

    @property
    def thumbs(self) -> Path:
        """Small films for the page."""
        return self.out / WORK / "thumbs"

    def record(self, name: str) -> Path:
        """Where the worker says what became of a preview."""
        return self.records / f"{short(name)}.json"

    def thumb(self, name: str) -> Path:
        """A preview's small film."""
        return self.thumbs / f"{short(name)}.webp"

    def make(self) -> None:
        """Make the folders. Raises OSError."""
        for folder in (self.records, self.staging, self.stills, self.thumbs):
            folder.mkdir(parents=True, exist_ok=True)


def range_run(first: int, end: int) -> str:
    """The run of `--range`."""
    return f"{WHOLE}.{first:06}-{end:06}"


def task_run(task: int, tasks: int) -> str:
    """The run of `--task`."""
    return f"{WHOLE}.task-{task:04}-of-{tasks:04}"


def runs_in(out: Path) -> list[str]:
    """All runs that a batch's folder knows of: those with a ledger, and those cut off before they had one."""
    found = {path.stem for path in out.glob(f"{WHOLE}*.jsonl")}
    found |= {path.name for path in (out / WORK).glob(f"{WHOLE}*") if path.is_dir()}
    return sorted(found)


def short(name: str) -> str:
    """A preview's name as one that any file may have."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]

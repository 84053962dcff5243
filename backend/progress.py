# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress on the terminal: one line per stage with a bar, the time and the time left, on stderr."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.text import Text

from .wire import Status


class StageProgress:
    """Stages that run one after another or beside each other; a context manager.

    On a terminal the lines move; in a log file each finished stage is one line. A quiet one says nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._moving = self._console.is_terminal and not quiet
        self._bars = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:<16}"),
            BarColumn(bar_width=28, complete_style="cyan", finished_style="green"),
            TextColumn("{task.fields[detail]:<14}"),
            _Times(),
            console=self._console,
            disable=not self._moving,
        )
        self._tasks: dict[str, TaskID] = {}
        self._begun: dict[str, float] = {}
        self.seconds: dict[str, float] = {}

    def __enter__(self) -> StageProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def begin(self, stage: str) -> None:
        """Start a stage whose length is not known yet."""
        self._begun[stage] = time.monotonic()
        self._tasks[stage] = self._bars.add_task(stage, total=None, detail="", eta=None)

    def follow(self, stage: str, status: Status) -> None:
        """Show a preview's status as the progress of `stage`."""
        steps = status["steps"] or None
        detail = f"step {status['step']}/{steps}" if steps else status["stage"]
        if status["stage"] == "decoding":
            detail = "decoding"
        self._bars.update(
            self._tasks[stage], total=steps, completed=status["step"], detail=detail, eta=status["eta_s"]
        )

    def end(self, stage: str) -> None:
        """Finish a stage; its time is kept in `seconds`."""
        self.seconds[stage] = round(time.monotonic() - self._begun[stage], 3)
        self._bars.update(self._tasks[stage], total=1, completed=1, detail="done", eta=None)
        self._bars.stop_task(self._tasks[stage])
        if not self._moving:
            self._console.print(f"{stage}: {self.seconds[stage]:.1f} s")


class _Times(ProgressColumn):
    """Time so far, and the backend's own estimate of the time left."""

    def render(self, task: Task) -> Text:
        elapsed = task.finished_time if task.finished else task.elapsed
        text = f"{elapsed or 0.0:5.1f} s"
        if task.fields.get("eta") is not None:
            text += f"  about {task.fields['eta']:.0f} s left"
        return Text(text, style="dim")

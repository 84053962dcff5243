# SPDX-License-Identifier: GPL-3.0-or-later
"""How far an evaluation is, on stderr: bars with the time left on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

QUIET_SECONDS = 20.0  # between two lines in a log
Advance = Callable[[bool], None]


class EvalProgress:
    """Stages of counted clips; a context manager.

    Clips that were done by an earlier run say nothing about how long the others take: the time left is told from
    those alone that were worked on.
    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._clock = clock
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> EvalProgress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        """A stage of `total` clips; what it gives is called after each, with whether it was worked on just now."""
        task = self._bars.add_task(name, total=total, left="")
        begun = said = self._clock()
        done = worked = 0

        def advance(work: bool) -> None:
            nonlocal done, worked, said, begun
            done += 1
            worked += work
            now = self._clock()
            if not worked:
                begun = now
            left = f"about {_duration((now - begun) / max(worked, 1) * (total - done))} left" if done < total else ""
            self._bars.update(task, completed=done, left=left)
            if left and not self._console.is_terminal and now - said >= QUIET_SECONDS:
                said = now
                self._console.print(f"{name}: {done} of {total} clips, {left}", soft_wrap=True)

        yield advance


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"

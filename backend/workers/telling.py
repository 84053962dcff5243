# SPDX-License-Identifier: GPL-3.0-or-later
"""How a run tells how far it is: a bar on a terminal, else a line now and then, or JSON lines for programs.

stdlib only; rich is used where it is there. The events are a run's own; those that every run has are `begin` (`total`
under the name of its units, `done`) and one for each unit (`done`, `total`, `eta_s`).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

LINE_EVERY = 10.0  # seconds between two lines of progress where no terminal is

Event = dict[str, Any]


@dataclass(frozen=True)
class Words:
    """What a run calls things.

    Attributes:
        unit: the event of a unit that is over.
        units: several of them; in the event `begin`, their number.
        trouble: what of an event a person must know at once; None for nothing.
    """

    unit: str
    units: str
    trouble: Callable[[Event], str | None]


def json_lines() -> Callable[[Event], None]:
    """A listener that prints each event for programs, as one line on what is stdout now.

    Later on it may be another: what Ray prints must not get between the events.
    """
    stream = sys.stdout

    def listen(event: Event) -> None:
        print(json.dumps(event), file=stream, flush=True)

    return listen


@contextmanager
def progress(words: Words) -> Iterator[Callable[[Event], None]]:
    """A listener that shows how far a run is, on stderr."""
    if sys.stderr.isatty():
        try:
            import rich  # noqa: F401
        except ImportError:  # in Blender's own Python
            yield _PlainLines(words)
            return
        with _bar(words) as listen:
            yield listen
    else:
        yield _PlainLines(words)


class _PlainLines:
    """Progress for log files."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._said = time.monotonic()

    def __call__(self, event: Event) -> None:
        words = self._words
        if trouble := words.trouble(event):
            self._say(trouble)
        if event["event"] == "begin":
            self._say(f"{event[words.units]} {words.unit}(s), {event['done']} of them done already")
        elif event["event"] == words.unit and (self._is_time() or event["done"] == event["total"]):
            self._say(f"{event['done']} of {event['total']} {words.units}, about {_duration(event['eta_s'])} left")

    def _is_time(self) -> bool:
        return time.monotonic() - self._said > LINE_EVERY

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
        self._said = time.monotonic()


@contextmanager
def _bar(words: Words) -> Iterator[Callable[[Event], None]]:
    """Progress on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=28), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", style="dim"),
    )  # fmt: skip
    console = Console(stderr=True, highlight=False)
    with Progress(*columns, console=console, refresh_per_second=4) as bars:
        task = bars.add_task("reading files", total=None, left="")

        def listen(event: Event) -> None:
            if event["event"] == "files":
                bars.update(task, completed=event["files"])
            elif event["event"] == "begin":
                bars.update(task, description=words.units, total=event[words.units], completed=event["done"])
            elif event["event"] == words.unit:
                bars.update(task, completed=event["done"], left=f"about {_duration(event['eta_s'])} left")
            if trouble := words.trouble(event):
                console.print(trouble, markup=False)

        yield listen


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the doors share: from an order to a run, with its progress and its exit code.

`puppet-master data` and `blender --command puppet_master data` call `carry_out`; the one has rich's bars, the
other plain lines. stdlib only; rich is used where it is there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TextIO

from ..backend.errors import InputError, PuppetMasterError
from ..backend.requirements import check_drawing
from .filter.decide import Decider
from .filter.order import LookOrder
from .ledger import INCOMPLETE
from .options import FilterOrder, RenderOrder, add_arguments, order_of
from .plan import FILTER, RENDER
from .pool import LocalPool, Pool
from .run import Summary, run
from .slot import Limits, Program

LINE_EVERY = 10.0  # seconds between two lines of progress where no terminal is
EXIT_CODES = {
    0: "all done; animations that were turned away are part of that",
    3: "done, but some assets were damaged or failed; the ledger says which and why",
    4: "the order cannot be carried out, or the dataset there is of another order",
    7: "the dataset cannot be written; what is done stays done",
    8: "Blender cannot run here",
    130: "interrupted; the same command goes on from there",
}
STAGES: dict[str, type[FilterOrder]] = {RENDER: RenderOrder, FILTER: LookOrder}

Event = dict[str, Any]


def carry_out(order: FilterOrder, stage: str = RENDER) -> Summary:
    """Run an order with progress on stderr; with `--json`, events and the summary as JSON lines on stdout.

    Raises:
        PuppetMasterError: see `run.run` and `choose_pool`.
    """
    if order.out is None:
        raise InputError("say where the dataset goes: --out DIR")
    order = replace(order, workers=order.workers or os.cpu_count() or 1)
    Decider.of(order.to_json())  # a filter that cannot be read is found out before anything starts
    with ExitStack() as stack:
        listen = partial(_print_json, stream=sys.stdout) if order.as_json else stack.enter_context(progress())
        return run(order, stage, choose_pool(order), listen)


def choose_pool(order: FilterOrder) -> Pool:
    """Where an order is worked on: this machine, or a Ray cluster.

    Raises:
        RequirementError: Blender or Ray is missing.
    """
    limits = Limits(order.time_limit, order.memory_limit_gb, order.recycle)
    if order.ray:
        from .ray_pool import RayPool

        return RayPool(order, limits)
    if order.device == "cpu" and isinstance(order, RenderOrder) and order.resolved().engine != "cycles":
        check_drawing()
    return LocalPool(Program.find(order.blender), limits, order.workers or os.cpu_count() or 1, order.device)


def report(summary: Summary) -> None:
    """The result in a few lines on stdout."""
    assets = ", ".join(f"{count} {outcome}" for outcome, count in sorted(summary.assets.items())) or "none"
    print(f"assets: {assets}")
    if summary.animations:
        print("animations: " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(summary.animations.items())))
    print(f"{summary.clips} clip(s), {summary.made} asset(s) worked on in {summary.seconds:.0f} s")


def main(arguments: Sequence[str], program: str = "data") -> int:
    """The commands without typer, for Blender's own Python: `render` and `filter`; returns the exit code."""
    parser = argparse.ArgumentParser(program, description="Training clips from animated assets.")
    commands = parser.add_subparsers(dest="stage", required=True)
    for stage, order in STAGES.items():
        add_arguments(commands.add_parser(stage, help=order.__doc__, description=order.__doc__), order)
    answers = parser.parse_args(arguments)
    try:
        order = order_of(STAGES[answers.stage], answers)
        summary = carry_out(order, answers.stage)
    except PuppetMasterError as error:
        return fail(error, answers.as_json)
    if not order.as_json:
        report(summary)
    return summary.exit_code


def fail(error: PuppetMasterError, as_json: bool) -> int:
    """Say in one line why it ended; returns the exit code."""
    message = " ".join(str(error).split())
    if as_json:
        _print_json({"event": "error", "kind": error.kind, "message": message}, sys.stdout)
    print(f"error: {message}", file=sys.stderr)
    return error.exit_code


def _print_json(event: Event, stream: TextIO) -> None:
    print(json.dumps(event), file=stream, flush=True)


@contextmanager
def progress() -> Any:
    """A listener that shows how far a run is: a bar on a terminal, else a line now and then."""
    if sys.stderr.isatty():
        try:
            import rich  # noqa: F401
        except ImportError:  # in Blender's own Python
            yield _PlainLines()
            return
        with _bar() as listen:
            yield listen
    else:
        yield _PlainLines()


class _PlainLines:
    """Progress for log files."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, event: Event) -> None:
        if event["event"] == "begin":
            self._say(f"{event['assets']} asset(s), {event['done']} of them done already")
        elif event["event"] == "asset":
            if event["outcome"] in INCOMPLETE:
                self._say(_trouble(event))
            if time.monotonic() - self._said > LINE_EVERY or event["done"] == event["total"]:
                self._say(f"{event['done']} of {event['total']} assets, about {_duration(event['eta_s'])} left")
        elif event["event"] == "nodes":
            self._say(_nodes(event))

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
        self._said = time.monotonic()


@contextmanager
def _bar() -> Any:
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
                bars.update(task, description="assets", total=event["assets"], completed=event["done"])
            elif event["event"] == "asset":
                left = f"about {_duration(event['eta_s'])} left"
                bars.update(task, completed=event["done"], left=left)
                if event["outcome"] in INCOMPLETE:
                    console.print(_trouble(event), markup=False)
            elif event["event"] == "nodes":
                console.print(_nodes(event))

        yield listen


def _trouble(event: Event) -> str:
    return f"{event['asset']}: {event['outcome']}, {event['reason']}: {event['detail']}"


def _nodes(event: Event) -> str:
    return f"{event['nodes']} node(s) at work, {event['before']} before"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"

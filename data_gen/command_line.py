# SPDX-License-Identifier: GPL-3.0-or-later
"""What the doors share: from an order to a run, with its progress and its exit code.

`puppet-master data` and `blender --command puppet_master data` call `carry_out`; the one has rich's bars, the
other plain lines. stdlib only; rich is used where it is there.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from ..backend.errors import InputError, PuppetMasterError
from ..backend.requirements import check_drawing
from ..backend.workers.pool import LocalPool, Pool
from ..backend.workers.slot import Limits, Program
from ..backend.workers.telling import Words, json_lines, progress
from .filter.decide import Decider
from .filter.order import LookOrder
from .ledger import INCOMPLETE
from .options import FilterOrder, RenderOrder, add_arguments, order_of
from .plan import FILTER, MAKER, RENDER
from .run import Summary, run

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
        listen = json_lines() if order.as_json else stack.enter_context(progress(WORDS))
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
    return LocalPool(Program.find(MAKER, order.blender), limits, order.workers or os.cpu_count() or 1, order.device)


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
        json_lines()({"event": "error", "kind": error.kind, "message": message})
    print(f"error: {message}", file=sys.stderr)
    return error.exit_code


def _trouble(event: Event) -> str | None:
    """What a person must know at once."""
    if event["event"] == "nodes":
        return f"{event['nodes']} node(s) at work, {event['before']} before"
    if event["event"] == "asset" and event["outcome"] in INCOMPLETE:
        return f"{event['asset']}: {event['outcome']}, {event['reason']}: {event['detail']}"
    return None


WORDS = Words("asset", "assets", _trouble)

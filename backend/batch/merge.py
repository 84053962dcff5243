# SPDX-License-Identifier: GPL-3.0-or-later
"""One ledger of the ledgers of many tasks, in the plan's order."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from ..errors import InputError
from ..workers.ledger_file import Ledger, only_run, unwritable
from .layout import WHOLE, Layout, runs_in
from .plan import Variation
from .records import MISSING, count, known_lines, line_key, other_lines
from .run import Summary


def merge(plan: Sequence[Variation], out: Path) -> Summary:
    """Join all ledgers of a batch's folder into `ledger.jsonl`; previews no task has made count as missing.

    What a killed task had made but not entered is taken in, too.

    Raises:
        InputError: there is nothing to join.
        OutputError: a task is still at work there, or the ledger cannot be written.
    """
    began = time.monotonic()
    runs = runs_in(out)
    if not runs:
        raise InputError(f"{out} holds no ledger; give the --out of the tasks that are to be merged")
    with ExitStack() as stack:
        try:
            for run in {WHOLE, *runs}:
                Layout(out, run).make()
                stack.enter_context(only_run(Layout(out, run).lock, out))
        except OSError as error:
            raise unwritable(out, error) from error
        known = known_lines(out)
        lines = [{**line, **made.described()} for made in plan if (line := known.get(line_key(made)))]
        mine = {line_key(made) for made in plan}
        others = other_lines([Layout(out, run).ledger for run in runs], mine, out)
        Ledger(Layout(out).ledger).rewrite([*lines, *others])
        for run in runs:
            if run != WHOLE:
                Layout(out, run).ledger.unlink(missing_ok=True)
            for record in Layout(out, run).records.glob("*.json"):
                record.unlink(missing_ok=True)
    for run in runs:
        if run != WHOLE:
            shutil.rmtree(Layout(out, run).own, ignore_errors=True)
    outcomes = count(lines)
    outcomes[MISSING] = len(plan) - len(lines)
    return Summary(outcomes, 0, time.monotonic() - began)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Showing the animations that a filter run has left to the judge, and entering what it says in the ledger."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backend.clips import FRAMES, META, decode_strip
from ...backend.shards import REJECTED, read_tar
from ...backend.workers.ledger_file import Ledger
from ..card import write_card
from ..ledger import LEDGER, read_ledger
from ..plan import FILTER
from ..run import SETTINGS
from .judge import KEY_VARIABLE, Judge, NoVerdict, OutOfBudget, Verdicts, contact_sheet

VERDICTS = "verdicts.jsonl"
UNREALISTIC = "unrealistic"
FAILURES_IN_A_ROW = 3  # after which the endpoint is given up


@dataclass
class Judged:
    """What came of asking.

    Attributes:
        kept: animations found realistic.
        rejected: animations found unrealistic.
        left: animations without a verdict; they stay accepted.
        calls: requests sent.
        note: why some were left.
    """

    kept: int = 0
    rejected: int = 0
    left: int = 0
    calls: int = 0
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)

    def in_words(self) -> str:
        """The same in a line."""
        text = f"judge: {self.kept} realistic, {self.rejected} unrealistic, {self.calls} request(s)"
        return f"{text}; {self.left} without a verdict, since {self.note}" if self.left else text


def new_judge(url: str, model: str, budget: int, out: Path) -> Judge:
    """The judge that the options ask for; its key comes from the environment, its memory lies in the dataset.

    Raises:
        InputError: the URL cannot be used, or the verdicts there cannot be read.
    """
    verdicts = Verdicts(out / VERDICTS)
    return Judge(url, model, budget, verdicts, os.environ.get(KEY_VARIABLE, ""))


def judge_dataset(judge: Judge, out: Path) -> Judged:
    """Ask about every accepted animation of a filter run and enter the verdicts in its ledger.

    Raises:
        BackendError: the endpoint refuses requests; verdicts given before are kept.
        OutputError: a verdict or the ledger cannot be written.
    """
    lines = read_ledger(out / LEDGER)
    waiting = {
        (line["asset"], line["index"]): line
        for line in lines
        if line.get("index") is not None and (line["outcome"] == "accepted" or line.get("reason") == UNREALISTIC)
    }
    judged, in_a_row = Judged(), 0
    try:
        for frames, meta in _strips(out):
            line = waiting.pop((meta["asset"], meta["animation_index"]), None)
            if line is None:
                continue
            judged.left += 1
            if in_a_row >= FAILURES_IN_A_ROW:
                continue
            try:
                verdict = judge.judge(contact_sheet(frames), asset=line["asset"], animation=line["animation"])
            except OutOfBudget:
                judged.note = "the budget is used up"
                continue  # others may be remembered
            except NoVerdict as error:
                judged.note, in_a_row = f"the judge gave none ({error})", in_a_row + 1
                continue
            in_a_row = 0
            judged.left -= 1
            judged.kept, judged.rejected = judged.kept + verdict.realistic, judged.rejected + (not verdict.realistic)
            _enter(line, verdict.realistic, f"{verdict.score:g}: {verdict.reason}")
            line["judge"] = asdict(verdict)
    finally:
        judged.calls = judge.calls
        Ledger(out / LEDGER).rewrite(lines)
        write_card(out, FILTER, json.loads((out / SETTINGS).read_text("utf-8")), lines)
    if waiting:
        judged.left += len(waiting)
        judged.note = judged.note or "they have no strip"
    return judged


def _enter(line: dict[str, Any], realistic: bool, detail: str) -> None:
    line["outcome"] = "accepted" if realistic else "rejected"
    line["reason"], line["detail"] = (None, "") if realistic else (UNREALISTIC, detail)


def _strips(out: Path) -> Iterator[tuple[NDArray[np.uint8], Mapping[str, Any]]]:
    """The film strips of a filter run with their metadata, one at a time."""
    for shard in sorted(out.glob(f"{REJECTED}-*.tar")):
        for _, members in read_tar(shard):
            meta = json.loads(members[META])
            yield decode_strip(members[FRAMES], len(meta["times"])), meta

# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a batch's previews: ledgers, and records that no ledger has taken in yet."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

from ..workers.ledger_file import Line, read_lines
from .layout import Layout, runs_in
from .outputs import are_there
from .plan import Variation

DONE, FAILED, INVALID, MISSING = "done", "failed", "invalid", "missing"
OUTCOMES = (DONE, FAILED, INVALID, MISSING)


def line_key(variation: Variation) -> str:
    """What a ledger knows a preview by: its name, or where that cannot be, its place in the plan."""
    return f"#{variation.index}" if variation.fault else variation.name


def known_lines(out: Path) -> dict[str, Line]:
    """The last line of each preview in all ledgers and records of a batch's folder, by `line_key`.

    Within a run the order of its lines counts, between runs the clock: those of a disk and its computers may differ.
    """
    runs = [{line["key"]: line for line in _lines_of(Layout(out, run))} for run in runs_in(out)]
    lines = [line for run in runs for line in run.values()]
    lines.sort(key=lambda line: line.get("when") or 0.0)
    return {line["key"]: line for line in lines}


def _lines_of(layout: Layout) -> Iterator[Line]:
    for line in read_lines(layout.ledger):
        if isinstance(line, dict) and "key" in line and line.get("outcome") in OUTCOMES:
            yield line
    yield from (line for _, line in read_records(layout))


def read_records(layout: Layout) -> list[tuple[Path, Line]]:
    """Records of previews that are made but not in the ledger."""
    found = []
    for path in sorted(layout.records.glob("*.json")):
        line = read_record(path)
        if line is not None:
            found.append((path, line))
    return found


def read_record(path: Path) -> Line | None:
    """A record, if it is there."""
    try:
        said: Any = json.loads(path.read_text(encoding="utf-8"))
        return {"key": said["name"], "when": path.stat().st_mtime, **said}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def still_holds(line: Line | None, digest: str, out: Path, retry_failed: bool) -> bool:
    """Whether a preview need not be made again."""
    if line is None or line.get("digest") != digest:
        return False
    if line["outcome"] == DONE:
        return are_there(out, line.get("files") or {})
    return not retry_failed


def other_lines(ledgers: Iterable[Path], keys: Container[str], out: Path) -> list[Line]:
    """Lines of previews of other job files in the same folder, as long as their files are there."""
    found: dict[str, Line] = {}
    for ledger in ledgers:
        for line in read_lines(ledger):
            if isinstance(line, dict) and line.get("outcome") == DONE and line.get("key") not in keys:
                found[line["key"]] = line
    return [line for line in found.values() if are_there(out, line.get("files") or {})]


def count(lines: Iterable[Line]) -> dict[str, int]:
    """How many previews have each outcome."""
    found = dict.fromkeys(OUTCOMES, 0)
    for line in lines:
        found[line["outcome"]] += 1
    return found

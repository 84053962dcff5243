# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips rendered an hour, and where the time of a clip goes.

    python tests/bench/bench_render.py [--clips 40] [--size 128] [--engine workbench] [--samples 16] [--workers 2]

Runs the real command on procedural rigs, once with one process and once with several, starts included, and
reads the times from the ledger. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from puppet_master.data_gen.command_line import carry_out
from puppet_master.data_gen.ledger import LEDGER, read_ledger
from puppet_master.data_gen.options import ENGINES, RenderOrder


def measure(order: RenderOrder) -> dict[str, Any]:
    """Clips an hour, shares of the stages, and the share of everything but the renderer."""
    summary = carry_out(order)
    spent: Counter[str] = Counter()
    assert order.out is not None
    for line in read_ledger(order.out / LEDGER):
        spent.update(line["seconds"])
    whole = spent.pop("total")
    spent["rest"] = whole - sum(spent.values())
    return {
        "workers": order.workers,
        "clips_per_hour": round(3600 * summary.clips / summary.seconds),
        "failed": summary.assets["failed"],
        "shares": {stage: round(seconds / whole, 3) for stage, seconds in sorted(spent.items())},
        "overhead": round(1 - spent["render"] / whole, 3),
    }


def main() -> None:
    """Measure and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--engine", choices=ENGINES, default="workbench")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    figures = []
    for workers in sorted({1, given.workers}):
        with tempfile.TemporaryDirectory() as folder:
            order = RenderOrder(
                procedural=f"all:{given.clips}", out=Path(folder), workers=workers, size=given.size,
                engine=given.engine, samples=given.samples,
            )  # fmt: skip
            figures.append(measure(order))
    print(json.dumps({"size": given.size, "engine": given.engine, "runs": figures}))


if __name__ == "__main__":
    main()

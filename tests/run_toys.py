# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the engine on toys in a process of its own, so that tests can kill it: `python run_toys.py ORDER.json`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from puppet_master.backend.errors import PuppetMasterError
from puppet_master.backend.workers.pool import LocalPool
from puppet_master.backend.workers.slot import WORKER, Limits, Program
from puppet_master.data_gen.options import RenderOrder
from puppet_master.data_gen.run import Summary, run

HERE = Path(__file__).resolve().parent


def toy_program() -> Program:
    """A worker whose maker is the toy maker."""
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    return Program((sys.executable, str(WORKER)), ("toy_maker",), {"PYTHONPATH": path})


def run_toys(order: RenderOrder, listen=lambda event: None) -> Summary:
    """A run on this machine."""
    limits = Limits(order.time_limit, order.memory_limit_gb, order.recycle)
    return run(order, "render", LocalPool(toy_program(), limits, order.workers or 1), listen)


def main() -> int:
    order = RenderOrder.from_json(json.loads(Path(sys.argv[1]).read_text()))
    try:
        return run_toys(order, lambda event: print(json.dumps(event), flush=True)).exit_code
    except PuppetMasterError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames rendered a minute, and where the time of a clip goes.

    python tests/bench/bench_render.py [--clips 40] [--size 128] [--engine workbench] [--workers 2]

First one process makes clips with its stages timed; then the real command's workers make as many, with
their start included. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from puppet_master.data_gen.batch import Job, run_batch
from puppet_master.data_gen.kinds import plan_procedural
from puppet_master.data_gen.settings import ENGINES, RenderSettings

FRAMES = 14
# Stage name -> where its function is looked up when a clip is made.
STAGES = {
    "build": ("procedural", "build_rig"),
    "frame": ("film", "bounds_over_time"),
    "track": ("film", "follow"),
    "render": ("film", "render_frames"),
    "write": ("maker", "write_clip"),
}


def timed(function: Callable[..., Any], seconds: dict[str, float], stage: str) -> Callable[..., Any]:
    """The function, its time added to `seconds[stage]`."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[stage] += time.perf_counter() - began

    return run


def time_stages(clips: int, settings: RenderSettings, folder: Path) -> dict[str, Any]:
    """One process: clips a minute, processor time a clip (does not mind other programs), shares of the time."""
    from puppet_master.data_gen import film, maker, procedural

    modules = {"film": film, "maker": maker, "procedural": procedural}
    seconds: dict[str, float] = defaultdict(float)
    for stage, (module, name) in STAGES.items():
        setattr(modules[module], name, timed(getattr(modules[module], name), seconds, stage))
    units = plan_procedural(f"all:{clips + 1}", 0, folder)
    job = Job(FRAMES, settings)
    maker.make(units[0], job)  # the first clip starts the renderer
    seconds.clear()
    began, began_cpu = time.perf_counter(), time.process_time()
    for unit in units[1:]:
        maker.make(unit, job)
    whole, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    shares = {stage: round(spent / whole, 3) for stage, spent in seconds.items()}
    shares["rest"] = round(1 - sum(seconds.values()) / whole, 3)
    return {
        "clips_per_minute": round(60 * clips / whole, 1), "cpu_seconds_per_clip": round(cpu / clips, 3),
        "shares": shares,
    }  # fmt: skip


def time_workers(clips: int, settings: RenderSettings, workers: int, folder: Path) -> dict[str, Any]:
    """The command's worker processes, their start included."""
    summary = run_batch(plan_procedural(f"all:{clips}", 1, folder), Job(FRAMES, settings), workers)
    rate = 60 * summary.done / summary.seconds
    return {
        "workers": workers, "clips_per_minute": round(rate, 1),
        "frames_per_minute": round(rate * FRAMES), "failed": len(summary.failed),
    }  # fmt: skip


def main() -> None:
    """Run both and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--engine", choices=list(ENGINES), default="workbench")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    os.environ.setdefault("LP_NUM_THREADS", "1")
    settings = RenderSettings(size=options.size, engine=options.engine)
    with tempfile.TemporaryDirectory() as folder:
        many = time_workers(options.clips, settings, options.workers, Path(folder))
        one = time_stages(options.clips, settings, Path(folder))
    print(json.dumps({"size": options.size, "engine": options.engine, "one_process": one, "command": many}))


if __name__ == "__main__":
    main()

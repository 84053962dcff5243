# SPDX-License-Identifier: GPL-3.0-or-later
"""Previews a minute: `puppet-master batch` against a shell loop of `puppet-master preview`, as users run both.

    python tests/bench/bench_batch.py [--scenes 3] [--each 4] [--loop 4] [--workers 0]

The batch makes `scenes` x `each` previews, the loop `loop` of the same (any number tells its rate),
half of them before the batch and half after it, so that a machine whose load drifts favours neither. Prints one JSON
object with both rates and their ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROGRAM = [sys.executable, "-m", "puppet_master.backend"]


def timed(command: list[str]) -> float:
    """Seconds that a command takes; ends the program if it fails."""
    began = time.perf_counter()
    done = subprocess.run([*PROGRAM, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return time.perf_counter() - began


def loop(scenes: list[Path], out: Path, numbers: range) -> float:
    """Seconds of a shell's loop over some previews."""
    return sum(
        timed(["preview", str(scenes[number % len(scenes)]), "--seed", str(number), "--out", str(out / str(number))])
        for number in numbers
    )


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Both, in one run."""
    builder = [sys.executable, str(Path(__file__).with_name("batch_scenes.py")), "--out", str(folder / "scenes")]
    subprocess.run([*builder, "--count", str(options.scenes)], stdout=subprocess.DEVNULL, check=True)
    scenes = sorted((folder / "scenes").glob("*.blend"))
    jobs = folder / "jobs.json"
    # What `preview` writes, so that both write the same.
    outputs = ["mp4", "png", "sheet"]
    jobs.write_text(json.dumps([
        {"scene": str(scene), "seed": f"0:{options.each}", "outputs": outputs} for scene in scenes
    ]))  # fmt: skip
    half = options.loop // 2
    before = loop(scenes, folder / "loop", range(half))
    batch = timed(["batch", str(jobs), "--out", str(folder / "batch"), "--workers", str(options.workers)])
    after = loop(scenes, folder / "loop", range(half, options.loop))
    count = options.scenes * options.each
    rates = {"batch": 60 * count / batch, "loop": 60 * options.loop / (before + after)}
    return {
        "bench": "batch against a loop of previews", "previews": count, "scenes": options.scenes,
        "batch_seconds": round(batch, 1), "loop_seconds_each": round((before + after) / options.loop, 1),
        "previews_per_minute": {name: round(rate, 2) for name, rate in rates.items()},
        "ratio": round(rates["batch"] / rates["loop"], 2), "cores": os.cpu_count(), "load": os.getloadavg()[0],
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=3)
    parser.add_argument("--each", type=int, default=4, help="previews of a scene")
    parser.add_argument("--loop", type=int, default=4, help="previews of the loop")
    parser.add_argument("--workers", type=int, default=0, help="as of `puppet-master batch`")
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(parser.parse_args(), Path(folder))))


if __name__ == "__main__":
    main()

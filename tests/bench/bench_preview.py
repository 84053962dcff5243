# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded preview end to end: `puppet-master preview` as a user runs it, Blender and backend included.

    python tests/bench/bench_preview.py [--scene examples/cabinet.blend] [--times 3]

Prints one JSON object: wall time, peak memory of all its processes together, and the command's own
account of its stages.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from peak_memory import PeakMemory

ROOT = Path(__file__).resolve().parents[2]


def preview_once(scene: Path, out: Path) -> tuple[float, float, dict[str, Any]]:
    """Seconds, peak MiB and the content of `preview.json` of one preview."""
    command = [sys.executable, "-m", "puppet_master.backend", "preview", str(scene), "--out", str(out), "--json"]
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        with PeakMemory(process.pid) as memory:
            output, _ = process.communicate()
        seconds = time.perf_counter() - begun
    made = json.loads(output)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {made['error']['message']}")
    return seconds, memory.mib, made


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", type=Path, default=ROOT / "examples" / "cabinet.blend")
    parser.add_argument("--times", type=int, default=3, help="how many previews")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [preview_once(arguments.scene, Path(folder) / str(index)) for index in range(arguments.times)]
    seconds = [run[0] for run in runs]
    fastest = min(runs, key=lambda run: run[0])
    report = {
        "bench": "embedded preview end to end",
        "seconds_first": round(seconds[0], 2),
        "seconds_median": round(statistics.median(seconds), 2),
        "seconds_fastest": round(fastest[0], 2),
        "peak_mib": round(max(run[1] for run in runs)),
        "frames": fastest[2]["frames"],
        "stages_of_fastest": fastest[2]["timings"],
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Backend from start to ready: time and peak memory of its process until a job would begin at once.

    python tests/bench/bench_backend_start.py [--times 5] [--model tiny]

It answers first and loads the libraries and the model beside that; both moments are told. Prints one JSON
object. The first start reads the libraries from disk; the others find them cached.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

from peak_memory import PeakMemory
from puppet_master.backend.process import BackendProcess

POLL_S = 0.02


def start_once(model: str) -> tuple[float, float, float]:
    """Seconds to the first answered request, seconds until the model is loaded, and peak MiB until then."""
    begun = time.perf_counter()
    backend = BackendProcess.spawn(arguments=["--preload", model])
    try:
        with PeakMemory(backend.pid) as memory:
            client = backend.client()
            health = client.health()
            answers = time.perf_counter() - begun
            while not any(each["loaded"] for each in health["models"]):
                if health["status"] == "failed":
                    raise SystemExit(f"the backend could not load {model}; its log: {backend.log}")
                time.sleep(POLL_S)
                health = client.health()
            ready = time.perf_counter() - begun
    finally:
        backend.stop()
    return answers, ready, memory.mib


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5, help="how many starts")
    parser.add_argument("--model", default="tiny", help="name or folder of the model to load")
    arguments = parser.parse_args()
    starts = [start_once(arguments.model) for _ in range(arguments.times)]
    answers, ready, peaks = zip(*starts, strict=True)
    report = {
        "bench": "backend start to ready",
        "answers_seconds_median": round(statistics.median(answers), 2),
        "ready_seconds_first": round(ready[0], 2),
        "ready_seconds_median": round(statistics.median(ready), 2),
        "peak_mib": round(max(peaks)),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Backend from start to ready: time until its first answer, and peak memory of its process.

    python tests/bench/bench_backend_start.py [--times 5]

Prints one JSON object. The first start reads the libraries from disk; the others find them cached.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

from peak_memory import PeakMemory
from puppet_master.backend.process import BackendProcess


def start_once(arguments: list[str]) -> tuple[float, float]:
    """Seconds to the first answered request, and peak MiB until then."""
    begun = time.perf_counter()
    backend = BackendProcess.spawn(arguments=arguments)
    try:
        with PeakMemory(backend.pid) as memory:
            backend.wait_ready()
            backend.client().health()
            seconds = time.perf_counter() - begun
    finally:
        backend.stop()
    return seconds, memory.mib


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5, help="how many starts")
    times = parser.parse_args().times
    starts = [start_once([]) for _ in range(times)]
    seconds = [second for second, _ in starts]
    report = {
        "bench": "backend start to ready",
        "seconds_first": round(seconds[0], 2),
        "seconds_median": round(statistics.median(seconds), 2),
        "peak_mib": round(max(mib for _, mib in starts)),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes the embedded model quicker on this machine's CPU: each way against the plain one, in turns, in one run.

    python tests/bench/bench_motion_cpu.py [--repeats 7] [--threads 1 2 4] [--compile]

Ways: convolutions' weights in channels-last order, bfloat16 by autocast, the network compiled (needs a C++ compiler;
its first call, minutes on a slow machine, is told apart), several previews in one pass, and other numbers of threads.
A ratio above 1 is quicker than plain. The network and the whole preview are timed; the frames' largest difference to
the plain ones, of 255, is told.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from PIL import Image
from puppet_master.backend.acceleration import channels_last
from puppet_master.backend.loader import load_pipeline
from puppet_master.backend.motion_pipeline import MotionPipeline
from puppet_master.backend.protocol import Drag, DragPoint, PreviewRequest
from puppet_master.backend.registry import find_model

TOGETHER = 4


class Autocast(torch.nn.Module):
    """A field that runs in bfloat16 where torch deems that safe."""

    def __init__(self, field: torch.nn.Module) -> None:
        super().__init__()
        self.field, self.config = field, field.config

    def forward(self, *given: torch.Tensor) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return self.field(*given)


class Compiled(torch.nn.Module):
    """A compiled field."""

    def __init__(self, field: torch.nn.Module) -> None:
        super().__init__()
        self.compiled, self.config = torch.compile(field, dynamic=False), field.config

    def forward(self, *given: torch.Tensor) -> Any:
        return self.compiled(*given)


def make_request() -> PreviewRequest:
    """A round thing on white, dragged by three."""
    y, x = np.mgrid[0:256, 0:256]
    pixels = np.full((256, 256, 3), 255, np.uint8)
    inside = (x - 128) ** 2 + (y - 128) ** 2 < 70**2
    pixels[inside] = np.random.default_rng(0).integers(40, 200, (int(inside.sum()), 3))
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    drags = [Drag(f"d{i}", (DragPoint(0, 0.4, 0.4 + 0.1 * i), DragPoint(1, 0.6, 0.5))) for i in range(3)]
    return PreviewRequest(stream.getvalue(), tuple(drags))


def variant(plain: MotionPipeline, change: Callable[[torch.nn.Module], torch.nn.Module]) -> MotionPipeline:
    """The pipeline with another field of the same weights."""
    changed = change(deepcopy(plain.field)).eval()
    return MotionPipeline(plain.folder, plain.info, plain.model_hash, changed)


def in_channels_last(field: torch.nn.Module) -> torch.nn.Module:
    """The field, its weights in another order."""
    channels_last(field)
    return field


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[])
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--no-bfloat16", action="store_true", help="without units for it, it is slow")
    options = parser.parse_args()
    plain, request = load_pipeline(find_model("tiny")), make_request()
    ways = {"channels last": variant(plain, in_channels_last)}
    if not options.no_bfloat16:
        ways["bfloat16"] = variant(plain, Autocast)
    if options.compile:
        ways["compile"] = variant(plain, Compiled)
    runs: dict[str, Callable[[], Any]] = {"plain": lambda: [plain.generate(request)]}
    for name, pipeline in ways.items():
        runs[name] = lambda pipeline=pipeline: [pipeline.generate(request)]
    runs[f"{TOGETHER} together"] = lambda: plain.generate_batch([request] * TOGETHER)
    usual = torch.get_num_threads()
    first, frames, network, whole = {}, {}, {name: [] for name in runs}, {name: [] for name in runs}
    for turn in range(options.repeats + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            made = run()
            seconds = time.perf_counter() - began
            if turn == 0:  # warm-up
                first[name], frames[name] = round(seconds, 3), made[0][0].astype(int)
                continue
            network[name].append(made[0][1].timings["sample"] / len(made))
            whole[name].append(seconds / len(made))
    report: dict[str, Any] = {"threads": usual, "torch": torch.__version__, "repeats": options.repeats, "ways": {}}
    base = statistics.median(whole["plain"]), statistics.median(network["plain"])
    for name in runs:
        mine = statistics.median(whole[name]), statistics.median(network[name])
        report["ways"][name] = {
            "preview_s": round(mine[0], 4),
            "network_s": round(mine[1], 4),
            "preview_ratio": round(base[0] / mine[0], 3),
            "network_ratio": round(base[1] / max(mine[1], 1e-4), 3),
            "first_call_s": first[name],
            "largest_difference": int(np.abs(frames[name] - frames["plain"]).max()),
        }
    report["plain_by_threads"] = {}
    for threads in options.threads:
        torch.set_num_threads(threads)
        seconds = [timed(runs["plain"]) for _ in range(options.repeats)]
        report["plain_by_threads"][threads] = round(statistics.median(seconds), 4)
    print(json.dumps(report, indent=1))


def timed(run: Callable[[], Any]) -> float:
    """Seconds of a call."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""What measuring a clip costs, part by part, without any model's time.

    .venv/bin/python tests/bench/bench_eval.py [--clips DIR] [--repeats N]

Prints a Markdown table of seconds of processor time on one thread: on clips of the test suite (a square that slides, 14
frames of 256 x 256, points on it), or on those of a folder.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np
import sliding_squares
from puppet_master.training import metrics
from puppet_master.training.clips import RealClip, read_clips
from puppet_master.training.eval_films import Films
from puppet_master.training.measuring import Measuring, score_clip
from puppet_master.training.motion import Watched
from puppet_master.training.summary import summarise
from puppet_master.training.tracking import DEFAULT_TRACKER, TRACKERS

FRAMES = 14


def sample() -> list[RealClip]:
    sliding_squares.FRAMES = FRAMES
    return [sliding_squares.sliding_clip(step=step, seed=i, points=True) for i, step in enumerate([(6, 0), (3, 5)])]


def seconds(work: Callable[[RealClip], object], clips: list[RealClip], repeats: int) -> float:
    """Processor time of `work`, per clip, the least of the repeats."""
    times = []
    for _ in range(repeats):
        begun = time.process_time()
        for clip in clips:
            work(clip)
        times.append((time.process_time() - begun) / len(clips))
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, help="folder of shards, or of .npz clips")
    parser.add_argument("--limit", type=int, default=4, help="the first so many clips of it")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    clips = list(read_clips(arguments.clips, arguments.limit)) if arguments.clips else sample()
    noise = np.random.default_rng(0)
    made = {clip.name: _worse(clip, noise) for clip in clips}
    measurings = {clip.name: Measuring(clip) for clip in clips}
    for measuring in measurings.values():
        _ = measuring.real
    scores = [score_clip(clip, clip.frames, 0.0, TRACKERS["still"]) for clip in clips] * 25
    track = TRACKERS[DEFAULT_TRACKER]
    rows = {
        "tracker, drags and all points": lambda clip: Watched.of(clip).find(made[clip.name], track),
        "SSIM": lambda clip: metrics.ssim_map(made[clip.name][1:], clip.frames[1:]),
        "all measures of a model": lambda clip: measurings[clip.name].of(made[clip.name]),
        "all measures of the frozen still": lambda clip: measurings[clip.name].of(measurings[clip.name].frozen),
        "tracker on the real frames, once": lambda clip: Watched.of(clip).find(clip.frames, track),
        "films of the page": lambda clip: Films(clip.frames, {"model": made[clip.name]}, clip.drags).players(),
    }
    print("| | s per clip |")
    print("|---|---|")
    for name, work in rows.items():
        print(f"| {name} | {seconds(work, clips, arguments.repeats):.2f} |", flush=True)
    begun = time.process_time()
    summarise(scores)
    print(f"| summary and intervals of {len(scores)} clips, all in all | {time.process_time() - begun:.2f} |")


def _worse(clip: RealClip, noise: np.random.Generator) -> np.ndarray:
    """The clip, blurred and noisy, as a model might make it."""
    blurred = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in clip.frames]).astype(np.float32)
    return np.clip(blurred + noise.normal(0, 2, blurred.shape), 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()

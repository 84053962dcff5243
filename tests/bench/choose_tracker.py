# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tracker to measure motion with: the one that agrees best with the drags on real frames.

    .venv/bin/python tests/bench/choose_tracker.py CLIPS_DIR [--limit N] [--only NAME ...]

No model takes part. Prints a Markdown table: the error on the real frames (mean and median over clips, px
at 256), the 95 % interval of the mean, and the time per clip.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from puppet_master.training.clips import RealClip, read_clips
from puppet_master.training.metrics import bootstrap_interval, point_error
from puppet_master.training.tracking import DEFAULT_TRACKER, TRACKERS, Track


def error_on_real_frames(track: Track, clip: RealClip) -> float | None:
    asked = clip.to_pixels(clip.drags[clip.moving_drags])
    if len(asked) == 0:
        return None
    return point_error(track(clip.at_measuring_size(clip.frames), asked[:, 0]), asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, help="folder of shards, or of .npz clips")
    parser.add_argument("--limit", type=int, default=None, help="the first so many clips only")
    parser.add_argument("--only", nargs="+", choices=TRACKERS, default=list(TRACKERS), help="these trackers")
    arguments = parser.parse_args()
    clips = list(read_clips(arguments.clips, arguments.limit))

    print("| tracker | mean (px) | 95 % interval | median (px) | s per clip |")
    print("|---|---|---|---|---|")
    for name in arguments.only:
        track = TRACKERS[name]
        begun = time.process_time()
        errors = [error for clip in clips if (error := error_on_real_frames(track, clip)) is not None]
        seconds = (time.process_time() - begun) / len(clips)
        low, high = bootstrap_interval(np.array(errors)[:, None], lambda means: means[:, 0]) or (np.nan, np.nan)
        label = f"**{name}**" if name == DEFAULT_TRACKER else name
        print(
            f"| {label} | {np.mean(errors):.2f} | {low:.1f} ... {high:.1f} | {np.median(errors):.2f} | {seconds:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of a motion field's error is motion: the same warping along the clips' true paths, beside the field's own.

    .venv/bin/python tests/bench/motion_bound.py CLIPS_DIR [--model tiny] [--limit N]

CLIPS_DIR holds clips rendered with `puppet-master data render --passes paths`. Prints a Markdown table: PSNR over
frames 2 to the last, of all pixels and of those that move, averaged over clips.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from puppet_master.backend.clips import Clip
from puppet_master.backend.model.motion_field import Motion
from puppet_master.backend.motion_pipeline import MotionPipeline
from puppet_master.backend.object_window import FAR
from puppet_master.backend.registry import find_model
from puppet_master.backend.shards import ShardFolder
from puppet_master.training.clips import RealClip, read_clips
from puppet_master.training.dataset import View
from puppet_master.training.evaluate import PipelineUnderTest
from puppet_master.training.metrics import moving_mask, psnr
from puppet_master.training.paths import PATHS, window_paths


def true_motion(clip: Clip, size: int) -> Motion:
    """The clip's own paths as a field would tell them, for stills of `size` pixels a side."""
    displacement, depth = window_paths(clip.passes[PATHS], View(), size)
    return Motion(
        torch.from_numpy(np.nan_to_num(displacement))[None],
        torch.from_numpy(np.where(np.isfinite(depth), depth, FAR).astype(np.float32))[None],
        torch.ones(1, size, size),
    )


def scores(frames: NDArray[np.uint8], clip: RealClip) -> tuple[float, float]:
    """PSNR of all pixels, and of those that move."""
    moves = moving_mask(clip.frames)
    return psnr(frames[1:], clip.frames[1:]), psnr(frames[1:], clip.frames[1:], moves)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, help="folder of shards with the pass paths")
    parser.add_argument("--model", default="tiny", help="a motion field")
    parser.add_argument("--limit", type=int, default=None, help="the first so many clips only")
    arguments = parser.parse_args()
    pipeline = MotionPipeline.load(find_model(arguments.model))
    predictor, stored = PipelineUnderTest(pipeline), ShardFolder(arguments.clips)
    found = {"frozen still": [], "the field": [], "true paths": []}
    for index, clip in enumerate(read_clips(arguments.clips, arguments.limit)):
        found["frozen still"].append(scores(np.repeat(clip.frames[:1], len(clip.frames), axis=0), clip))
        found["the field"].append(scores(predictor(clip), clip))
        truth = true_motion(stored.load(index), pipeline.info.width)
        own, pipeline._predict = pipeline._predict, lambda looks, truth=truth: [truth]
        found["true paths"].append(scores(predictor(clip), clip))
        pipeline._predict = own
    print(f"| {len(found['the field'])} clips | PSNR | moving pixels |\n|---|---|---|")
    for name, rows in found.items():
        whole, moving = np.nanmean(np.array(rows, float), axis=0)
        print(f"| {name} | {whole:.2f} | {moving:.2f} |")


if __name__ == "__main__":
    main()

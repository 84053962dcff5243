# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips as data generation leaves them, drawn with numpy: nothing to render, motion known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from puppet_master.backend.clips import Clip, encode_clip
from puppet_master.backend.shards import shard_name, write_tar

FRAMES, SIDE = 6, 64


def a_clip(shift: int = 0) -> Clip:
    """A red square that moves right on a still green one, `shift` pixels lower; tracks on both, a drag on the red."""
    frames = np.zeros((FRAMES, SIDE, SIDE, 4), dtype=np.uint8)
    frames[:, 40:56, 8:24] = (0, 200, 0, 255)
    top, centres = 12 + shift, []
    for n in range(FRAMES):
        left = 10 + 5 * n
        frames[n, top : top + 12, left : left + 12] = (220, 0, 0, 255)
        centres.append(((left + 6) / SIDE, (top + 6) / SIDE))
    moving = np.array(centres, dtype=np.float32)
    still = np.repeat(np.array([[16 / SIDE, 48 / SIDE]], dtype=np.float32), FRAMES, axis=0)
    tracks = np.stack([moving, moving + np.float32(0.03), still, still + np.float32(0.02)])
    visible, part = np.ones((4, FRAMES), dtype=bool), np.array([1, 1, 0, 0], dtype=np.int16)
    return Clip(frames, moving[None], tracks, visible, part, meta={"shift": shift})


def write_dataset(folder: Path, count: int, per_shard: int = 2, prefix: str = "square") -> Path:
    """A dataset folder of `count` clips named PREFIX-0, PREFIX-1 and so on, each a pixel lower than the one before."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, first in enumerate(range(0, count, per_shard)):
        indices = range(first, min(first + per_shard, count))
        samples = ((f"{prefix}-{index}", encode_clip(a_clip(index))) for index in indices)
        write_tar(folder / shard_name("clips", number), samples)
    return folder


def damage(shard: Path, at: bytes) -> None:
    """Overwrite what follows the first `at` in a shard, as a bad disk might."""
    content = bytearray(shard.read_bytes())
    place = content.index(at) + len(at)
    content[place : place + 48] = bytes(48)
    shard.write_bytes(content)

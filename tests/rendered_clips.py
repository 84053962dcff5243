# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips as data generation leaves them, drawn with numpy: nothing to render, motion known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from puppet_master.backend.clips import Clip, encode_clip
from puppet_master.backend.shards import shard_name, write_tar

FRAMES, SIDE = 6, 64


def a_clip(shift: int = 0, frames: int = FRAMES, side: int = SIDE, grain: int = 0, paths: bool = False) -> Clip:
    """A red square that moves right on a still green one, `shift` pixels lower; tracks on both, a drag on the red.

    Args:
        shift: pixels of the smallest side, 64.
        frames: of the clip.
        side: in pixels, a multiple of 64.
        grain: how far the colours of pixels differ, as they do in renders: that makes files as long as theirs.
        paths: with the pass that says where the first frame's pixels go.
    """
    unit = side // SIDE
    film = np.zeros((frames, side, side, 4), dtype=np.uint8)
    film[:, 40 * unit : 56 * unit, 8 * unit : 24 * unit] = (0, 200, 0, 255)
    top, size = (12 + shift) * unit, 12 * unit
    lefts = [10 * unit + round(25 * unit * n / (frames - 1)) for n in range(frames)]
    for frame, left in zip(film, lefts, strict=True):
        frame[top : top + size, left : left + size] = (220, 0, 0, 255)
    if grain:
        noise = np.random.default_rng(shift).integers(-grain, grain + 1, film[..., :3].shape)
        film[..., :3] = np.where(film[..., 3:] > 0, film[..., :3].astype(int) + noise, 0).clip(0, 255)
    moving = np.array([((left + size / 2) / side, (top + size / 2) / side) for left in lefts], dtype=np.float32)
    still = np.repeat(np.array([[16 / SIDE, 48 / SIDE]], dtype=np.float32), frames, axis=0)
    tracks = np.stack([moving, moving + np.float32(0.03), still, still + np.float32(0.02)])
    visible, part = np.ones((4, frames), dtype=bool), np.array([1, 1, 0, 0], dtype=np.int16)
    passes = {"paths": _paths(film[0, ..., 3] > 0, top, size, lefts)} if paths else {}
    return Clip(film, moving[None], tracks, visible, part, meta={"shift": shift}, passes=passes)


def _paths(there: np.ndarray, top: int, size: int, lefts: list[int]) -> np.ndarray:
    """Where the first frame's pixels go: those of the moving square, nearer than the rest, to the right."""
    found = np.full((len(lefts) - 1, *there.shape, 3), np.nan, np.float16)
    found[:, there] = (0, 0, 2)
    for path, left in zip(found, lefts[1:], strict=True):
        path[top : top + size, lefts[0] : lefts[0] + size] = (left - lefts[0], 0, 1)
    return found


def write_dataset(folder: Path, count: int, per_shard: int = 2, prefix: str = "square", **clips: Any) -> Path:
    """A dataset folder of `count` clips named PREFIX-0, PREFIX-1 and so on, each a pixel lower than the one before.

    `clips`: further arguments of `a_clip`; the shift begins again after 24 clips, lower ones would leave the frame.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, first in enumerate(range(0, count, per_shard)):
        indices = range(first, min(first + per_shard, count))
        samples = ((f"{prefix}-{index}", encode_clip(a_clip(index % 24, **clips))) for index in indices)
        write_tar(folder / shard_name("clips", number), samples)
    return folder


def damage(shard: Path, at: bytes) -> None:
    """Overwrite what follows the first `at` in a shard, as a bad disk might."""
    content = bytearray(shard.read_bytes())
    place = content.index(at) + len(at)
    content[place : place + 48] = bytes(48)
    shard.write_bytes(content)

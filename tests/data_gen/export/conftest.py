# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest
from puppet_master.backend.clips import Clip, encode_clip
from puppet_master.backend.shards import CLIPS, shard_name, write_tar

COUNT, POINTS, HEIGHT, WIDTH = 5, 40, 24, 32


def make_clip(seed: int, passes: bool = True) -> Clip:
    """A clip whose tracks are its 3-D points seen by its camera."""
    rng = np.random.default_rng(seed)
    centre, size = np.array([3.0, -2.0, 1.0]), 2.5
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    pose = np.column_stack((turn, -turn @ centre + (0, 0, 8)))
    intrinsics = np.array([[1.9, 0, 0.5], [0, 1.9 * WIDTH / HEIGHT, 0.5], [0, 0, 1]])
    world = centre + rng.uniform(-size / 2, size / 2, (POINTS, COUNT, 3))
    camera = world @ pose[:, :3].T + pose[:, 3]
    image = camera @ intrinsics.T
    xy = (image[..., :2] / image[..., 2:]).astype(np.float32)
    visible = (rng.random((POINTS, COUNT)) < 0.7) & ((xy > 0) & (xy < 1)).all(-1)
    frames = rng.integers(0, 256, (COUNT, HEIGHT, WIDTH, 4), np.uint8)
    frames[:, : HEIGHT // 2, :, 3] = 255
    meta = {
        "asset": f"asset-{seed}", "camera": {"intrinsics": intrinsics.tolist(), "pose": pose.tolist()},
        "centre": centre.tolist(), "size": size,
    }  # fmt: skip
    depth = rng.uniform(1, 6, (COUNT, HEIGHT, WIDTH)).astype(np.float16)
    depth[:, 0] = np.inf
    pixels = rng.integers(0, 256, (COUNT, HEIGHT, WIDTH, 3), np.uint8)
    extra = {"points_3d": ((world - centre) / size).astype(np.float32)}
    known = {"depth": depth, "part": pixels[..., 0], "normal": pixels} if passes else {}
    part = rng.integers(0, 3, POINTS).astype(np.int16)
    return Clip(frames, xy[:2].copy(), xy, visible, part, meta, extra, known)


@pytest.fixture
def clips():
    """Name -> clip, in the shards' order."""
    return {f"asset-{seed}_a000_v00": make_clip(seed) for seed in range(3)}


@pytest.fixture
def dataset(clips, tmp_path):
    """A dataset folder of two shards."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    samples = [(name, encode_clip(clip)) for name, clip in clips.items()]
    write_tar(folder / shard_name(CLIPS, 0), samples[:2])
    write_tar(folder / shard_name(CLIPS, 1), samples[2:])
    return folder

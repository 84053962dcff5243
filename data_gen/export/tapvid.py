# SPDX-License-Identifier: GPL-3.0-or-later
"""TAP-Vid's layout: pickles of name -> video, points, occluded. We write that pickle and never read one."""

from __future__ import annotations

import pickle
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...backend.clips import Clip
from .formats import Options


def part_name(index: int, count: int) -> str:
    """The file name of one part; TAP-Vid names Kinetics' ten parts so."""
    return f"{index:04d}_of_{count:04d}.pkl"


def parts(names: Sequence[str], options: Options) -> list[tuple[str, range]]:
    """File name and the clips' places for each part."""
    starts = range(0, len(names), options.per_file)
    return [
        (part_name(i, len(starts)), range(start, min(start + options.per_file, len(names))))
        for i, start in enumerate(starts)
    ]


def entry(clip: Clip, name: str, options: Options) -> dict[str, NDArray[np.generic]] | None:
    """A video as the readers want it; None if no point of it is ever seen, on which they would fail.

    `video` uint8 `[N, H, W, 3]`; `points` float32 `[P, N, 2]` as x, y in [0, 1] of the image's sides (raster: a
    pixel's centre lies at (i + 0.5) / size); `occluded` bool `[P, N]`, true also where a point is outside.
    """
    if not clip.visible.any():
        return None
    return {
        "video": options.background.behind(clip.frames, name),
        "points": clip.tracks.astype(np.float32),
        "occluded": ~clip.visible,
    }


def encode(videos: dict[str, dict[str, NDArray[np.generic]]]) -> bytes:
    """One part."""
    return pickle.dumps(videos, protocol=4)

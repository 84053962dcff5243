# SPDX-License-Identifier: GPL-3.0-or-later
"""What every layout is made of, and those of one folder a clip."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...backend.clips import Clip
from .background import Background


@dataclass(frozen=True)
class Options:
    """How clips are exported.

    Attributes:
        background: what stands behind them.
        split: folder between the export's and the clips' (PointOdyssey).
        per_file: videos in one pickle (TAP-Vid).
        quality: of JPEG images, 1 to 100 (PointOdyssey).
    """

    background: Background = field(default_factory=Background)
    split: str = "train"
    per_file: int = 100
    quality: int = 95


@dataclass(frozen=True)
class FolderFormat:
    """A layout with one folder a clip.

    Attributes:
        place: where the clip of a name goes, below the export's folder.
        write: fills the folder; returns what the clip lacks for this layout, in a few words each.
    """

    place: Callable[[str, Options], str]
    write: Callable[[Clip, str, Path, Options], list[str]]


def save_frames(frames: NDArray[np.uint8], folder: Path, pattern: str, **how: int) -> None:
    """Save images `[N, H, W]` or `[N, H, W, C]` as files named by `pattern % index`."""
    folder.mkdir()
    for i, frame in enumerate(frames):
        Image.fromarray(np.ascontiguousarray(frame)).save(folder / (pattern % i), **how)


def _write_cotracker(clip: Clip, name: str, folder: Path, options: Options) -> list[str]:
    """CoTracker's Kubric: `NAME/frames/000.png`, `NAME/NAME.npy` (a pickled dict).

    `coords` float32 `[P, N, 2]` in pixels whose centres are whole numbers: CoTracker samples its features
    there. `visibility` bool `[P, N]` is true where a point is *not* seen: the loader inverts it.
    """
    height, width = clip.frames.shape[1:3]
    save_frames(options.background.behind(clip.frames, name), folder / "frames", "%03d.png")
    coords = (clip.tracks * (width, height) - 0.5).astype(np.float32)
    annotation = {"coords": coords, "visibility": ~clip.visible}
    np.save(folder / f"{name}.npy", np.array(annotation, dtype=object), allow_pickle=True)
    return []


def _write_frames(clip: Clip, name: str, folder: Path, options: Options) -> list[str]:
    """Plain: `NAME/frames/000.png` and `NAME/points.json`, coordinates normalised as in the clip."""
    background = options.background
    images = clip.frames if background.transparent else background.behind(clip.frames, name)
    save_frames(images, folder / "frames", "%03d.png")
    number, height, width = clip.frames.shape[:3]
    listed = {
        "name": name, "frames": number, "width": width, "height": height,
        "drags": _rounded(clip.drags), "tracks": _rounded(clip.tracks), "visible": clip.visible.astype(int).tolist(),
        "part": clip.part.tolist(), "meta": clip.meta,
    }  # fmt: skip
    (folder / "points.json").write_text(json.dumps(listed, ensure_ascii=False), encoding="utf-8")
    return []


def _rounded(values: NDArray[np.float32]) -> list:
    """As lists of numbers that float32 reads back exactly."""
    return [[[float(f"{x:.9g}"), float(f"{y:.9g}")] for x, y in row] for row in values]


COTRACKER = FolderFormat(lambda name, options: name, _write_cotracker)
FRAMES = FolderFormat(lambda name, options: name, _write_frames)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Clip files: one .npz per clip, frames with tracks, drags and metadata; no pickles."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backend.errors import InputError, OutputError

PARTIAL = ".partial"


@dataclass(frozen=True)
class Clip:
    """A rendered clip.

    Attributes:
        frames: uint8 `[N, H, W, 4]`, straight alpha.
        drags: float32 `[K, N, 2]`, normalised image coordinates, pins included.
        tracks: float32 `[P, N, 2]`, normalised image coordinates.
        visible: bool `[P, N]`.
        part: int16 `[P]`, 0 for the static body.
        meta: where the clip comes from; JSON values only.
    """

    frames: NDArray[np.uint8]
    drags: NDArray[np.float32]
    tracks: NDArray[np.float32]
    visible: NDArray[np.bool_]
    part: NDArray[np.int16]
    meta: dict[str, Any]


def write_clip(clip: Clip, path: Path) -> None:
    """Write a clip file: whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        with partial.open("wb") as stream:
            np.savez_compressed(
                stream,
                frames=clip.frames,
                drags=clip.drags.astype(np.float32),
                tracks=clip.tracks.astype(np.float32),
                visible=clip.visible,
                part=clip.part.astype(np.int16),
                meta=np.array(json.dumps(clip.meta)),
            )
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"cannot write clip {path}: {error.strerror or error}") from error


def read_clip(path: Path) -> Clip:
    """Read and check a clip file.

    Raises:
        InputError: the file is missing, damaged, or its arrays do not fit together.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ("frames", "drags", "tracks", "visible", "part", "meta")}
        meta = json.loads(str(arrays.pop("meta")))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"clip {path} cannot be read: {error}; render it again") from error
    clip = Clip(**arrays, meta=meta)
    _check(clip, path)
    return clip


def _check(clip: Clip, path: Path) -> None:
    frames, points = len(clip.frames), len(clip.tracks)
    expected = {
        "frames": (clip.frames, np.uint8, (*clip.frames.shape[:3], 4)),
        "drags": (clip.drags, np.float32, (len(clip.drags), frames, 2)),
        "tracks": (clip.tracks, np.float32, (points, frames, 2)),
        "visible": (clip.visible, np.bool_, (points, frames)),
        "part": (clip.part, np.int16, (points,)),
    }
    for name, (array, dtype, shape) in expected.items():
        if array.dtype != dtype or array.shape != shape:
            raise InputError(
                f"clip {path}: {name} is {array.dtype} {list(array.shape)}, "
                f"expected {np.dtype(dtype)} {list(shape)}; render it again"
            )

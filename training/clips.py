# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips as a model is measured on them: real frames, the drags that say where points go, and what else is known.

They come from the shards that data generation writes, or from `.npz` files, which other benchmarks use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..backend.clips import DAMAGE
from ..backend.errors import InputError
from ..backend.protocol import MAX_FRAMES
from ..backend.shards import CLIPS, ShardFolder
from .dataset import TrackedPoints
from .metrics import MOVING_THRESHOLD, composite

# Distances are given in pixels of frames whose longer side has this many.
MEASURING_SIZE = 256
# A drag that never asks for more than this is a pin: it asks its point to stay.
PIN_PIXELS = 1.0
SMALLEST_SIDE = 16
POINTS = ("tracks", "visible", "part")  # of use together only


@dataclass(frozen=True)
class RealClip:
    """A clip to measure on.

    Attributes:
        name: the clip's name; of an `.npz`, the file's without its ending.
        frames: uint8 RGB `[N, H, W, 3]`, transparent ones put on white; frame 0 is the still.
        drags: float32 `[K, N, 2]`, normalised; may be empty.
        points: points of the surfaces whose places are known in every frame; None: there are none.
        alpha: uint8 `[N, H, W]`, how much of each pixel the object covers; None: not known.
    """

    name: str
    frames: NDArray[np.uint8]
    drags: NDArray[np.float32]
    points: TrackedPoints | None = None
    alpha: NDArray[np.uint8] | None = None

    @property
    def still(self) -> NDArray[np.uint8]:
        """The first frame, `[H, W, 3]`."""
        return self.frames[0]

    @property
    def moving_drags(self) -> NDArray[np.bool_]:
        """For each drag, whether it asks its point to move, bool `[K]`; the others are pins."""
        paths = self.to_pixels(self.drags)
        return np.linalg.norm(paths - paths[:, :1], axis=-1).max(axis=1, initial=0) > PIN_PIXELS

    @cached_property
    def object_cover(self) -> NDArray[np.bool_]:
        """Where the object is, bool `[N, H, W]`: by alpha, or else where colours differ from the still's border."""
        if self.alpha is not None:
            return self.alpha > 0
        still = self.still.astype(np.int16)
        border = np.concatenate([still[0], still[-1], still[:, 0], still[:, -1]])
        differs = np.abs(self.frames.astype(np.int16) - np.median(border, axis=0).astype(np.int16))
        return differs.max(axis=-1) > MOVING_THRESHOLD

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that the clip holds but its name."""
        total = hashlib.sha256()
        points = () if self.points is None else (self.points.tracks, self.points.visible, self.points.part)
        for array in (self.frames, self.drags, *points, *(() if self.alpha is None else (self.alpha,))):
            total.update(f"{array.dtype} {array.shape};".encode())
            total.update(np.ascontiguousarray(array).tobytes())
        return total.hexdigest()

    def to_pixels(self, places: NDArray[np.floating]) -> NDArray[np.float64]:
        """Normalised `[..., xy]` as pixel positions in frames whose longer side is `MEASURING_SIZE`."""
        return places.astype(np.float64) * self._measured_extent() - 0.5

    def at_measuring_size(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Frames of this clip's size scaled so that `to_pixels` gives places in them."""
        extent = np.rint(self._measured_extent()).astype(int)
        if frames.shape[1:3] == (extent[1], extent[0]):
            return frames
        shrinks = max(frames.shape[1:3]) > MEASURING_SIZE
        kind = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        return np.stack([cv2.resize(frame, extent.tolist(), interpolation=kind) for frame in frames])

    def _measured_extent(self) -> NDArray[np.float64]:
        height, width = self.frames.shape[1:3]
        return np.array([width, height]) * (MEASURING_SIZE / max(width, height))


def read_clips(folder: Path, limit: int | None = None) -> Iterator[RealClip]:
    """The clips of `folder`, one after the other: those in its shards, or else its `.npz` files by name.

    Args:
        folder: of shards (`clips-*.tar`) or of `.npz` files with `frames` and `drags`.
        limit: the first so many only; None: all.

    Raises:
        InputError: no such folder, no clips in it, or one that cannot be used; the message names it.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; give the folder that holds the clips")
    if any(folder.glob(f"{CLIPS}-*.tar")):
        found = _read_shards(folder)
    elif files := sorted(folder.glob("*.npz")):
        found = map(read_npz, files)
    else:
        raise InputError(
            f"the folder {folder} holds no clips; they are shards ({CLIPS}-*.tar), or .npz files with frames and drags"
        )
    return islice(found, limit)


def _read_shards(folder: Path) -> Iterator[RealClip]:
    clips = ShardFolder(folder)
    for index, name in enumerate(clips.names):
        clip = clips.load(index)
        yield _checked(f"{name} in {folder}", name, vars(clip))


def read_npz(path: Path) -> RealClip:
    """Read a clip from an `.npz` of its own.

    Its arrays `frames` and `drags` are needed; `tracks`, `visible` and `part` are read where all three are
    there; others are ignored.

    Raises:
        InputError: unreadable, pickled, without the arrays, or arrays of a wrong type, shape or value;
            the message names the file.
    """
    try:
        stored = np.load(path, allow_pickle=False)
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise InputError(f"clip {path} is a single array, not an .npz archive of frames and drags")
        with stored as archive:
            missing = [name for name in ("frames", "drags") if name not in archive.files]
            if missing:
                raise InputError(f"clip {path} has no array {' and none '.join(missing)}")
            points = POINTS if all(name in archive.files for name in POINTS) else ()
            arrays = {name: archive[name] for name in ("frames", "drags", *points)}
    except DAMAGE as error:
        raise InputError(f"cannot read clip {path}: {_one_line(error)}") from error
    return _checked(str(path), path.stem, arrays)


def _checked(where: str, name: str, arrays: Mapping[str, NDArray[np.generic]]) -> RealClip:
    frames, drags = arrays["frames"], arrays["drags"]
    points = None
    try:
        _check_frames(frames)
        _check_drags(drags, len(frames))
        if "tracks" in arrays:
            points = _checked_points(*(arrays[name] for name in POINTS), len(frames))
    except InputError as error:
        raise InputError(f"clip {where}: {error}") from error
    alpha = frames[..., 3] if frames.shape[-1] == 4 else None
    return RealClip(name, composite(frames), drags.astype(np.float32), points, alpha)


def _checked_points(
    tracks: NDArray[np.generic], visible: NDArray[np.generic], part: NDArray[np.generic], count: int
) -> TrackedPoints | None:
    if not np.issubdtype(tracks.dtype, np.floating) or tracks.ndim != 3 or tracks.shape[1:] != (count, 2):
        raise InputError(f"tracks must be float [P, {count}, 2] (one place a frame), not {_describe(tracks)}")
    if visible.dtype != np.bool_ or visible.shape != tracks.shape[:2]:
        raise InputError(f"visible must be bool {list(tracks.shape[:2])}, not {_describe(visible)}")
    if not np.issubdtype(part.dtype, np.integer) or part.shape != tracks.shape[:1]:
        raise InputError(f"part must be integers [{len(tracks)}], not {_describe(part)}")
    if not np.isfinite(tracks[visible]).all():
        raise InputError("tracks hold values that are not finite where they are visible")
    if len(tracks) == 0:
        return None
    return TrackedPoints(tracks.astype(np.float32), visible, part.astype(np.int16))


def _check_frames(frames: NDArray[np.generic]) -> None:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] not in (3, 4):
        raise InputError(f"frames must be uint8 [N, H, W, 3 or 4], not {_describe(frames)}")
    if not 2 <= len(frames) <= MAX_FRAMES:
        raise InputError(f"it has {len(frames)} frame(s); 2 to {MAX_FRAMES} can be measured")
    if min(frames.shape[1:3]) < SMALLEST_SIDE:
        raise InputError(f"frames of {frames.shape[2]} x {frames.shape[1]} are too small to measure")


def _check_drags(drags: NDArray[np.generic], count: int) -> None:
    if not np.issubdtype(drags.dtype, np.floating) or drags.ndim != 3 or drags.shape[1:] != (count, 2):
        raise InputError(f"drags must be float [K, {count}, 2] (one place a frame), not {_describe(drags)}")
    if not np.isfinite(drags).all():
        raise InputError("drags hold values that are not finite")
    outside = ((drags[:, 0] < 0) | (drags[:, 0] > 1)).any(axis=1)
    if outside.any():
        index = int(outside.argmax())
        x, y = drags[index, 0]
        raise InputError(f"drag {index} starts at ({x:g}, {y:g}), outside the still")


def _describe(array: NDArray[np.generic]) -> str:
    return f"{array.dtype} {list(array.shape)}"


def _one_line(error: BaseException) -> str:
    if "allow_pickle" in str(error):
        return "it holds pickled objects, which are never loaded; save plain arrays"
    return " ".join(str(error).split()) or type(error).__name__

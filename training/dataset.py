# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendered clips as training material: frames on a background, points that follow the surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..backend.clips import Clip
from ..backend.errors import InputError
from ..backend.shards import ShardFolder
from .settings import ViewSettings


class RenderedClips:
    """The clips of dataset folders, one folder after the other, each read when it is asked for.

    Attributes:
        names: the clips' names; folders may share some.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        """Find the clips of `folders`.

        Raises:
            InputError: a folder has no shards, or a damaged one, or none of them holds a clip.
        """
        datasets = [ShardFolder(folder) for folder in folders]
        self._places = [(dataset, index) for dataset in datasets for index in range(len(dataset))]
        self.names = [name for dataset in datasets for name in dataset.names]
        if not self.names:
            raise InputError(f"the shards in {', '.join(map(str, folders))} hold no clips; render some more")

    def __len__(self) -> int:
        return len(self._places)

    def load(self, index: int) -> Clip:
        """Read a clip.

        Raises:
            InputError: it is damaged; the message names clip and shard.
        """
        dataset, place = self._places[index]
        return dataset.load(place)


@dataclass(frozen=True)
class TrackedPoints:
    """Points of a clip's surfaces where a view shows them.

    Attributes:
        tracks: float32 `[P, N, 2]`, normalised image coordinates.
        visible: bool `[P, N]`.
        part: int16 `[P]`, 0 for the static body.
    """

    tracks: NDArray[np.float32]
    visible: NDArray[np.bool_]
    part: NDArray[np.int16]


@dataclass(frozen=True)
class View:
    """How a clip is shown to the model: everything that may change without changing what moves.

    Attributes:
        start, stride, frames: which frames are shown, in the clip's own order; no `frames`: all from `start` on.
        flip: mirror left and right.
        reverse: play them backwards.
        zoom: size of the window cut out, in image sides; below 1 magnifies.
        centre: the window's middle, normalised.
        background: RGB in [0, 1] behind the object.
        channels: order of the colour channels.
        gain: brightness factor of each channel.
    """

    flip: bool = False
    reverse: bool = False
    zoom: float = 1.0
    centre: tuple[float, float] = (0.5, 0.5)
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: tuple[int, int, int] = (0, 1, 2)
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    start: int = 0
    stride: int = 1
    frames: int | None = None

    def order(self, length: int) -> NDArray[np.int_]:
        """The frames shown of a clip of `length`, in the order they are shown in."""
        shown = np.arange(self.start, length, self.stride)[: self.frames]
        return shown[::-1] if self.reverse else shown


def random_view(clip: Clip, rng: np.random.Generator, ranges: ViewSettings | None = None) -> View:
    """Draw a view; the window is centred on the object and mostly magnifies it.

    Raises:
        InputError: the clip has fewer frames than a view is to have.
    """
    ranges = ranges or ViewSettings()
    alpha = clip.frames[..., 3].max(axis=0) > 0
    rows, columns = np.nonzero(alpha)
    height, width = alpha.shape
    middle = np.array([columns.mean() / width, rows.mean() / height]) if len(rows) else np.array([0.5, 0.5])
    extent = 1.0
    if len(rows):
        extent = max(np.ptp(columns) / width, np.ptp(rows) / height, 0.3)
    zoom = float(np.clip(extent * rng.uniform(*ranges.zoom), 0.4, 1.25))
    centre = middle + rng.uniform(-ranges.shift, ranges.shift, 2)
    white = rng.random() < ranges.white
    shade = rng.uniform(0.0, 1.0, 3)
    channels = rng.permutation(3) if rng.random() < ranges.recolour else np.arange(3)
    flip, reverse = bool(rng.random() < ranges.flip), bool(rng.random() < ranges.reverse)
    gain = rng.uniform(1 - ranges.gain, 1 + ranges.gain, 3)
    start, stride = _random_stretch(len(clip.frames), ranges.frames, rng)
    return View(
        flip=flip,
        reverse=reverse,
        zoom=zoom,
        centre=(float(centre[0]), float(centre[1])),
        background=(1.0, 1.0, 1.0) if white else tuple(float(s) for s in shade),
        channels=tuple(int(c) for c in channels),
        gain=tuple(float(g) for g in gain),
        start=start,
        stride=stride,
        frames=ranges.frames or None,
    )


def _random_stretch(length: int, wanted: int, rng: np.random.Generator) -> tuple[int, int]:
    """Start and stride of `wanted` frames (0: all) of `length`."""
    if not wanted or wanted == length:
        return 0, 1
    if wanted > length:
        raise InputError(f"a clip has {length} frames, but views of {wanted} are asked for; lower views.frames")
    stride = int(rng.integers(1, (length - 1) // max(1, wanted - 1) + 1))
    return int(rng.integers(length - (wanted - 1) * stride)), stride


def apply_view(clip: Clip, view: View, size: int) -> tuple[NDArray[np.float32], TrackedPoints]:
    """Show a clip through a view.

    Returns:
        frames float32 `[N, size, size, 3]` in [-1, 1], and the clip's points moved along. Points that leave
        the window are no longer visible.
    """
    order = view.order(len(clip.frames))
    rgba = clip.frames[order].astype(np.float32) / 255.0
    colour = np.clip(rgba[..., list(view.channels)] * np.array(view.gain, dtype=np.float32), 0, 1)
    alpha = rgba[..., 3:]
    # Premultiplied while resampling, so that hidden colours do not bleed over the edges.
    premultiplied = _window(np.concatenate([colour * alpha, alpha], axis=-1), view, size)
    background = np.array(view.background, dtype=np.float32)
    frames = premultiplied[..., :3] + (1 - premultiplied[..., 3:]) * background
    if view.flip:
        frames = frames[:, :, ::-1]
    return np.ascontiguousarray(frames, dtype=np.float32) * 2 - 1, show_points(clip, view, order)


def show_points(clip: Clip, view: View, order: NDArray[np.int_]) -> TrackedPoints:
    """A clip's points in some of its frames, where a view shows them."""
    tracks = (clip.tracks[:, order] - np.array(view.centre, dtype=np.float32)) / view.zoom + 0.5
    if view.flip:
        tracks = np.stack([1 - tracks[..., 0], tracks[..., 1]], axis=-1)
    inside = ((tracks > 0) & (tracks < 1)).all(axis=-1)
    return TrackedPoints(tracks.astype(np.float32), clip.visible[:, order] & inside, clip.part)


def _window(image: NDArray[np.float32], view: View, size: int) -> NDArray[np.float32]:
    """Bilinear resampling of a window of `[N, H, W, C]` to `[N, size, size, C]`; outside is transparent."""
    height, width = image.shape[1:3]
    at = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    xs = (view.centre[0] + at * view.zoom) * width - 0.5
    ys = (view.centre[1] + at * view.zoom) * height - 0.5
    image = _lerp(image, ys, axis=1)
    return _lerp(image, xs, axis=2)


def _lerp(image: NDArray[np.float32], at: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    length = image.shape[axis]
    low = np.floor(at).astype(int)
    weight = (at - low).astype(np.float32)
    shape = [1] * image.ndim
    shape[axis] = len(at)

    def take(index: NDArray[np.int_]) -> NDArray[np.float32]:
        inside = ((index >= 0) & (index < length)).astype(np.float32).reshape(shape)
        return np.take(image, np.clip(index, 0, length - 1), axis=axis) * inside

    weight = weight.reshape(shape)
    return take(low) * (1 - weight) + take(low + 1) * weight


def draw_drags(
    points: TrackedPoints,
    rng: np.random.Generator,
    slots: int,
    straighten: float = 0.5,
    more: float = 0.0,
    pins: float = 0.3,
) -> NDArray[np.float32]:
    """Choose drags among a clip's points, as an animator would set them.

    Each moving part gets at least one drag (while slots last), drawn among its points that are visible at
    the start with probability by displacement; some clips also get further drags and pins on still points.

    Args:
        points: to draw from.
        rng: source of chance.
        slots: number of drags at most.
        straighten: share of drags replaced by the straight line from start to end at constant speed, the
            way people draw them.
        more: chance of each further drag after a part's first one.
        pins: chance of each pin, at most two.

    Returns:
        float32 `[K, N, 2]` in random order, K from 0 to `slots`.
    """
    displacement = np.linalg.norm(points.tracks - points.tracks[:, :1], axis=-1).max(axis=1)
    start_visible = points.visible[:, 0]
    chosen: list[NDArray[np.float32]] = []
    moving = [
        part for part in np.unique(points.part) if (displacement[(points.part == part) & start_visible] > 0.02).any()
    ]
    rng.shuffle(moving)
    for part in moving[:slots]:
        candidates = np.nonzero((points.part == part) & start_visible & (displacement > 0.01))[0]
        weight = displacement[candidates]
        count = 1 + rng.binomial(max(slots - len(moving), 0), more)
        count = min(count, len(candidates), slots - len(chosen))
        for index in rng.choice(candidates, size=count, replace=False, p=weight / weight.sum()):
            path = points.tracks[index]
            if rng.random() < straighten:
                path = np.linspace(path[0], path[-1], len(path), dtype=np.float32)
            chosen.append(path)
    still = np.nonzero(start_visible & (displacement < 0.002))[0]
    for _ in range(2):
        if len(still) and len(chosen) < slots and rng.random() < pins:
            place = points.tracks[rng.choice(still), 0]
            chosen.append(np.repeat(place[None], points.tracks.shape[1], axis=0))
    if not chosen:
        return np.zeros((0, points.tracks.shape[1], 2), dtype=np.float32)
    rng.shuffle(chosen)
    return np.stack(chosen).astype(np.float32)

# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold of any model, whatever its pictures are like: checks that need no real clip.

Drags in opposite directions from the same still give opposite motions; pins hold; with no drags nothing moves. For
tests of models and for `puppet-master eval --checks`. Lengths are pixels of frames whose longer side has
`MEASURING_SIZE`; motions are found by the tracker of the evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..backend.media import encode_png
from ..backend.protocol import PreviewRequest, PreviewResult
from .clips import PIN_PIXELS, RealClip
from .evaluate import path_to_drag
from .metrics import bootstrap_interval, mean_or_none
from .motion import Watched
from .tracking import DEFAULT_TRACKER, TRACKERS, Points, Track, follow

FOLLOWS = 0.1  # of the asked way, at least, is a motion in that direction
PINS = 2
REACH = 0.15  # of the image, how far a drag goes that the check invents
INVENTED_FRAMES = 14

Settings = Mapping[str, Any]
Paths = NDArray[np.floating]  # [K, N, 2], normalised


class Pipeline(Protocol):
    """What is checked: `backend.pipeline.PreviewPipeline`, or whatever answers like it."""

    info: Any

    def generate(self, request: PreviewRequest) -> tuple[NDArray[np.uint8], PreviewResult]:
        """Frames uint8 `[N, H, W, 3]` and their record."""


@dataclass(frozen=True)
class Behaviour:
    """What a model does with one still. None: there was nothing to check it on.

    Attributes:
        followed: share of the asked way that the dragged points go, along its direction, at the end of the clip;
            1 arrives, 0 stays, below 0 goes the other way. The mean of both directions.
        followed_least: the lesser of the two directions.
        opposite_cosine: cosine of the angle between the points' ends when dragged one way and when dragged the
            opposite way; -1 is opposite, 1 the same.
        opposite: share of the dragged points that go at least a tenth of the asked way in both directions.
        pin_drift: mean distance of pinned points from their places while others are dragged.
        pin_drift_most: of the pinned point that goes farthest, at its farthest.
        unasked_motion: mean distance that the object's points go when there are no drags.
        unasked_change: mean absolute difference from the still, in levels of 255, when there are no drags.
    """

    followed: float | None
    followed_least: float | None
    opposite_cosine: float | None
    opposite: float | None
    pin_drift: float | None
    pin_drift_most: float | None
    unasked_motion: float | None
    unasked_change: float


def check_behaviour(
    pipeline: Pipeline,
    still: NDArray[np.uint8],
    forward: Paths | None = None,
    backward: Paths | None = None,
    pins: Paths | None = None,
    settings: Settings | None = None,
    track: Track = TRACKERS[DEFAULT_TRACKER],
) -> Behaviour:
    """Check a model on one still.

    Args:
        pipeline: the model.
        still: uint8 `[H, W, 3]`.
        forward: drags, normalised `[K, N, 2]`; one to the right from the object's middle if not given.
        backward: the same points dragged the opposite way; mirrored about their starts if not given.
        pins: places to hold while `forward` is dragged, `[K, 2]`; the object's points farthest from it if not given.
        settings: of the requests: seed, steps, guidance.
        track: finds the motions.
    """
    settings = dict(settings or {})
    if forward is None:
        forward = _invented(still)
    if backward is None:
        backward = 2 * forward[:, :1] - forward
    if pins is None:
        pins = _far_places(still, forward[:, 0])
    model = _Asked(pipeline, still, forward.shape[1], settings, track)
    return Behaviour(**_opposite(model, forward, backward), **_pinned(model, forward, pins), **_without_drags(model))


def behaviour_on_clip(
    pipeline: Pipeline,
    clip: RealClip,
    settings: Settings | None = None,
    track: Track = TRACKERS[DEFAULT_TRACKER],
) -> Behaviour:
    """Check a model on a real clip's middle frame: the rest of the clip is one way from there, the way back the other.

    So both ways are ones that the object can go. Without moving drags, `followed` and `opposite` are None.
    """
    middle = len(clip.frames) // 2
    count = len(clip.frames)
    starts = clip.drags[:, middle]
    inside = ((starts >= 0) & (starts <= 1)).all(axis=-1)
    forward = _stretched(clip.drags[inside, middle:], count)
    backward = _stretched(clip.drags[inside, middle::-1], count)
    goes = np.minimum(_reach(clip, forward), _reach(clip, backward)) > PIN_PIXELS
    slots = pipeline.info.num_drags
    pins = _far_places(clip.frames[middle], forward[goes][:, 0])
    still, forward, backward = clip.frames[middle], forward[goes][:slots], backward[goes][:slots]
    return check_behaviour(pipeline, still, forward, backward, pins, settings, track)


def summarise_behaviour(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over stills with 95 % intervals, and every still's own figures."""
    report: dict[str, Any] = {}
    for name in (field.name for field in fields(Behaviour)):
        values = [row[name] for row in found if row[name] is not None]
        rows = np.array(values, dtype=np.float64)[:, None]
        interval = bootstrap_interval(rows, lambda means: means[:, 0])
        report[name] = {"mean": mean_or_none(values), "confidence_95": interval, "stills": len(values)}
    return {**report, "per_clip": [dict(row) for row in found]}


@dataclass(frozen=True)
class _Asked:
    """A model, a still and the settings of all requests."""

    pipeline: Pipeline
    still: NDArray[np.uint8]
    count: int
    settings: Settings
    track: Track

    @property
    def clip(self) -> RealClip:
        """The still as a clip that does not move, for its measuring size and its object."""
        frames = np.broadcast_to(self.still, (self.count, *self.still.shape))
        return RealClip("still", frames, np.zeros((0, self.count, 2), np.float32))

    def frames(self, drags: Paths) -> NDArray[np.uint8]:
        """What the model makes of `drags` `[K, N, 2]`."""
        asked = tuple(path_to_drag(f"drag {index}", path) for index, path in enumerate(drags))
        request = PreviewRequest(encode_png(self.still), asked, frames=self.count, **self.settings)
        return self.pipeline.generate(request)[0]

    def find(self, frames: NDArray[np.uint8], dragged: Points, points: Points) -> tuple[Points, Points]:
        """Tracks in `frames` of starts in measuring pixels."""
        return follow(self.track, self.clip.at_measuring_size(frames), dragged, points)


def _opposite(model: _Asked, forward: Paths, backward: Paths) -> dict[str, float | None]:
    if len(forward) == 0:
        return dict.fromkeys(("followed", "followed_least", "opposite_cosine", "opposite"))
    ends, shares = [], []
    for paths in (forward, backward):
        asked = model.clip.to_pixels(paths)
        found, _ = model.find(model.frames(paths), asked[:, 0], np.zeros((0, 2)))
        went, way = found[:, -1] - found[:, 0], asked[:, -1] - asked[:, 0]
        shares.append((went * way).sum(axis=-1) / np.square(way).sum(axis=-1))
        ends.append(went)
    lengths = np.linalg.norm(ends[0], axis=-1) * np.linalg.norm(ends[1], axis=-1)
    dots = (ends[0] * ends[1]).sum(axis=-1)
    moved = lengths > 0
    return {
        "followed": float(np.mean(shares)),
        "followed_least": float(np.minimum(*shares).mean()),
        "opposite_cosine": float((dots[moved] / lengths[moved]).mean()) if moved.any() else None,
        "opposite": float((np.minimum(*shares) >= FOLLOWS).mean()),
    }


def _pinned(model: _Asked, drags: Paths, pins: Paths) -> dict[str, float | None]:
    room = model.pipeline.info.num_drags - len(pins)
    if len(pins) == 0 or room < 0:
        return dict.fromkeys(("pin_drift", "pin_drift_most"))
    held = np.repeat(pins[:, None], model.count, axis=1)
    frames = model.frames(np.concatenate([drags[:room], held]))
    places = model.clip.to_pixels(pins)
    _, found = model.find(frames, np.zeros((0, 2)), places)
    away = np.linalg.norm(found[:, 1:] - places[:, None], axis=-1)
    return {"pin_drift": float(away.mean()), "pin_drift_most": float(away.max())}


def _without_drags(model: _Asked) -> dict[str, float | None]:
    frames = model.frames(np.zeros((0, model.count, 2)))
    change = np.abs(frames[1:].astype(np.int16) - model.still).mean()
    places = Watched.of(model.clip).starts
    _, found = model.find(frames, np.zeros((0, 2)), places)
    motion = np.linalg.norm(found[:, 1:] - places[:, None], axis=-1)
    return {"unasked_motion": float(motion.mean()) if motion.size else None, "unasked_change": float(change)}


def _object_places(still: NDArray[np.uint8]) -> Paths:
    """Places on the object, normalised `[P, 2]`; on everything where nothing stands out."""
    clip = RealClip("still", np.stack([still, still]), np.zeros((0, 2, 2), np.float32))
    rows, columns = np.nonzero(clip.object_cover[0])
    height, width = still.shape[:2]
    if len(rows) == 0:
        rows, columns = (axis.ravel() for axis in np.mgrid[0:height:8, 0:width:8])
    return np.stack([(columns + 0.5) / width, (rows + 0.5) / height], axis=-1)


def _invented(still: NDArray[np.uint8]) -> Paths:
    """One drag to the right from the object's middle."""
    places = _object_places(still)
    start = places[np.linalg.norm(places - places.mean(axis=0), axis=-1).argmin()]
    return np.linspace(start, start + np.array([REACH, 0.0]), INVENTED_FRAMES)[None]


def _far_places(still: NDArray[np.uint8], starts: Paths) -> Paths:
    """`PINS` places on the object, far from `starts` `[K, 2]` and from each other."""
    places = _object_places(still)
    chosen = list(starts) or [places.mean(axis=0)]
    for _ in range(PINS):
        away = np.min([np.linalg.norm(places - other, axis=-1) for other in chosen], axis=0)
        chosen.append(places[away.argmax()])
    return np.array(chosen[-PINS:])


def _stretched(paths: Paths, count: int) -> Paths:
    """Paths `[K, N, 2]` at `count` evenly spaced times."""
    at = np.linspace(0, paths.shape[1] - 1, count)
    low = np.minimum(at.astype(int), paths.shape[1] - 2)
    u = (at - low)[:, None]
    return paths[:, low] * (1 - u) + paths[:, low + 1] * u


def _reach(clip: RealClip, paths: Paths) -> NDArray[np.float64]:
    pixels = clip.to_pixels(paths)
    return np.linalg.norm(pixels[:, -1] - pixels[:, 0], axis=-1)

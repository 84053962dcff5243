# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured of an animation before anything is rendered.

Lengths are in *sizes*: the asset's own size is twice the radius about its middle that holds 98 % of its surface,
the median over the animation. So no feature changes when the whole asset is scaled, turned or moved. Changes "within
a clip" are between any two moments that one clip can show (`Motion.window` seconds apart at most), in either
direction, wherever in the animation. Speeds are per second, so that the frame rate does not matter.

The features follow the paper (Puppet-Master, arXiv 2408.04631, data curation: no drastic change of the whole, motion
of parts, a random forest on motion features, a judge that sees frames). How each is computed is our own unless its
description names a source; the published code compared one corner's sign of the bounding box with an absolute limit.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..reasons import Rejection
from .fitting import Body, find_body, turn_angles
from .rigid import RigidParts, find_parts

if TYPE_CHECKING:
    from .motion import Motion

GRID = 32  # moments, evenly spread, for what compares every two
POSES = 48  # moments, evenly spread, whose poses are compared
MOVES = 0.03  # sizes: how far a point gets against the body, within a clip, to count as moving
STANDS = 0.005  # sizes: what gets less far over the whole animation stands still
VANISHED = 0.02  # of its largest extent: an item scaled down below this is not there
NEIGHBOURS = 4
SHORTEST_EDGE = 0.02  # sizes: between closer points stretching is not measured
APART, NEAR, INSIDE = 0.15, 0.08, 0.01  # sizes; see `_intersecting_share`


def _meaning(text: str) -> float:
    return field(metadata={"meaning": text})


@dataclass(frozen=True)
class Features:
    """What is measured of an animation; every value is a finite number. `FEATURES` says what each means."""

    frames: float = _meaning("length of the animation in frames, both ends included")
    seconds: float = _meaning("length of the animation in seconds")
    vertices: float = _meaning("number of the surface's vertices")
    triangles: float = _meaning("number of the surface's triangles")
    items: float = _meaning("number of objects and instances of objects")
    missing_textures: float = _meaning("images the asset names and does not bring")
    displacement: float = _meaning(
        "sizes the farthest-moving points get within a clip, in the world: largest distance between two of a point's "
        "places; of the points the third-highest, as everywhere below where the most of points is meant"
    )
    relative_displacement: float = _meaning("as displacement, but against the body (see global_travel)")
    relative_median: float = _meaning("as relative_displacement, the surface's median instead of its farthest points")
    internal_share: float = _meaning(
        "share of motion that is not the whole's: relative_displacement / (relative_displacement + what the body's "
        "own travel, turn and change of scale displace), 0 to 1"
    )
    moving_share: float = _meaning(f"share of the surface that gets {MOVES:g} sizes or farther against the body")
    static_share: float = _meaning(
        f"share of the surface that gets less than {STANDS:g} sizes in the world over the whole animation"
    )
    global_travel: float = _meaning(
        "sizes the body's middle travels within a clip: largest distance between two of its places. The body is the "
        "half of the surface that best moves as one (least trimmed squares over Umeyama fits), or what stands still"
    )
    global_turn: float = _meaning("degrees the body turns within a clip, 0 to 180: largest angle between two moments")
    global_scale: float = _meaning(
        "factor by which the body's scale changes within a clip, larger over smaller, so 1 or more"
    )
    mirrored: float = _meaning("share of moments at which the body is mirrored (negative scale) against the others")
    whole_travel: float = _meaning("as global_travel, over the whole animation")
    whole_turn: float = _meaning("as global_turn, over the whole animation")
    parts: float = _meaning("rigid parts, of at least 1 % of the surface each, that explain the motion")
    rigid_share: float = _meaning("share of the surface that those parts explain; the rest bends or stretches")
    part_turn: float = _meaning("degrees a rigid part turns against the body over the animation, the most, 0 to 180")
    part_travel: float = _meaning("sizes a rigid part's middle travels against the body over the animation, the most")
    speed: float = _meaning(
        "sizes a second, of the fastest points, between the two moments looked at where they are fastest"
    )
    speed_median: float = _meaning("as speed, the median over the moments looked at")
    acceleration: float = _meaning(
        "sizes a second squared, of the points where it is most, at the worst three frames in a row"
    )
    jump: float = _meaning(
        "sizes by which a step between two neighbouring frames is longer than both steps beside it, of the points "
        "where it is most, at the worst place: fast motion has fast neighbours, a teleport has not"
    )
    pop: float = _meaning(
        "share of the surface whose items appear or vanish (hidden, or scaled down to nothing), counting each item once"
    )
    extent_growth: float = _meaning(
        "factor by which the farthest point's distance from the body's middle changes within a clip, larger over "
        "smaller, the body's own change of scale taken out"
    )
    stretch: float = _meaning(
        "factor by which the distance of neighbouring points of an item changes over the animation, longest over "
        "shortest, 99th percentile over pairs"
    )
    intersection: float = _meaning(
        "share of points that at some moment lie behind a near surface which they were not near at the reference "
        "moment: a proxy for parts going through each other"
    )
    periodicity: float = _meaning("1 where the motion repeats exactly within the animation, 0 where it never does")
    period: float = _meaning("seconds after which it repeats best, 0 where periodicity is below 0.5")
    loop: float = _meaning("1 where the last pose is the first one again, 0 where it is as far off as poses get")

    def to_json(self) -> dict[str, float]:
        """Values by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, float]) -> Features:
        """The inverse of `to_json`.

        Raises:
            KeyError: a feature is missing.
        """
        return cls(**{name: float(data[name]) for name in FEATURES})


FEATURES: dict[str, str] = {item.name: item.metadata["meaning"] for item in fields(Features)}


def measure(motion: Motion) -> Features:
    """Measure an animation.

    Raises:
        Rejection: a point is at no finite place, or the surface has no extent ("degenerate geometry").
    """
    places, there = _fill_absent(motion)
    weight = _weights(motion)
    grid = even_moments(motion.times)
    size = _size(places[grid], weight)
    typical = _typical_moment(places[grid], weight)
    reference = int(grid[typical])
    body = find_body(places, weight, motion.owner, size, reference)
    relative = body.fits.undo(places)
    window = motion.window * motion.fps * (1 + 1e-6)
    close = np.abs(motion.times[:, None] - motion.times) <= window
    close_grid = close[np.ix_(grid, grid)]
    moved = _farthest(places[grid], close_grid) / size
    moved_relative = _farthest(relative[grid], close_grid) / size
    half = np.union1d(grid[even_moments(motion.times[grid], GRID // 2)], reference)
    parts = find_parts(relative[half], weight, motion.owner, size, int(np.searchsorted(half, reference)))
    steps = _Steps.of(motion, places, there, size)
    values = {
        "frames": motion.times[-1] - motion.times[0] + 1,
        "seconds": (motion.times[-1] - motion.times[0]) / motion.fps,
        "vertices": motion.vertices,
        "triangles": motion.triangles,
        "items": len(motion.area),
        "missing_textures": motion.missing_textures,
        "displacement": _peak(moved),
        "relative_displacement": _peak(moved_relative),
        "relative_median": _weighted_quantile(moved_relative, weight, 0.5),
        "moving_share": _share(weight, moved_relative >= MOVES),
        "static_share": _share(weight, np.linalg.norm(np.ptp(places, axis=0), axis=1) < STANDS * size),
        **_global_features(body, close, size),
        **_part_features(parts, weight, size),
        "speed": steps.speed.max(),
        "speed_median": np.median(steps.speed),
        "acceleration": steps.acceleration,
        "jump": steps.jump,
        "pop": _popping_share(motion, places, size),
        "extent_growth": _extent_growth(relative, there, body, close),
        "stretch": _stretch(relative[half], motion.owner, size, int(np.searchsorted(half, reference))),
        "intersection": _intersecting_share(motion, relative, body, size, half[::2]),
        **_repetition(relative, weight, motion.times / motion.fps),
    }
    whole = values["global_travel"] + np.radians(values["global_turn"]) / 2 + (values["global_scale"] - 1) / 2
    values["internal_share"] = values["relative_displacement"] / max(values["relative_displacement"] + whole, 1e-9)
    return Features(**{name: float(values[name]) for name in FEATURES})


def _fill_absent(motion: Motion) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Places `[F, P, 3]`, absent points held where they are at the nearest moment they are there; and who is there."""
    there = motion.present[:, motion.owner]
    places = motion.points.astype(np.float64)
    if not np.isfinite(places[there]).all():
        raise Rejection("degenerate geometry", "a point of the surface is at no finite place")
    for point in np.flatnonzero(~there.all(0)):
        rows = np.flatnonzero(there[:, point])
        if len(rows):
            nearest = rows[np.abs(motion.times[rows][None] - motion.times[:, None]).argmin(1)]
            places[:, point] = places[nearest, point]
        else:
            places[:, point] = 0.0
    return places, there


def _weights(motion: Motion) -> NDArray[np.float64]:
    """The share of the surface that each point stands for, `[P]`, summing up to 1."""
    counts = np.bincount(motion.owner, minlength=len(motion.area))
    weight = np.where(motion.present.any(0), motion.area, 0.0)[motion.owner] / counts[motion.owner]
    if not len(weight) or not weight.sum() > 0:
        raise Rejection("degenerate geometry", "there is no surface")
    return weight / weight.sum()


def even_moments(times: NDArray[np.float64], count: int = GRID) -> NDArray[np.intp]:
    """Indices of at most `count` moments spread as evenly in time as there are."""
    wanted = np.linspace(times[0], times[-1], min(count, len(times)))
    return np.unique(np.abs(times[:, None] - wanted).argmin(0))


def _weighted_quantile(values: NDArray[np.float64], weight: NDArray[np.float64], share: float) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weight[order])
    return float(values[order][min(int(np.searchsorted(total, share * total[-1])), len(values) - 1)])


def _share(weight: NDArray[np.float64], chosen: NDArray[np.bool_]) -> float:
    return min(float(weight[chosen].sum()), 1.0)


def _peak(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The third-highest along the last axis: a small part has more points than that, a stray one has not."""
    rank = min(3, values.shape[-1])
    return np.partition(values, -rank, axis=-1)[..., -rank]


def _radii(places: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances from the middle of the surface, `[F, P]`."""
    middle = np.einsum("p,fpi->fi", weight, places)
    return np.linalg.norm(places - middle[:, None], axis=2)


def _size(places: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """The asset's size; moments at which it is scaled down to nothing do not count."""
    sizes = np.array([2 * _weighted_quantile(radii, weight, 0.98) for radii in _radii(places, weight)])
    size = float(np.median(sizes[sizes >= VANISHED * sizes.max()]))
    if not np.isfinite(size) or size <= 1e-6 * np.abs(places).max(initial=0.0) or size <= 0:
        raise Rejection("degenerate geometry", f"the surface's extent is {size:g}")
    return size


def _typical_moment(places: NDArray[np.float64], weight: NDArray[np.float64]) -> int:
    """The moment whose extent is the median one, those aside at which things are scaled down to nothing."""
    spread = np.sqrt((_radii(places, weight) ** 2) @ weight)
    there = np.flatnonzero(spread >= VANISHED * spread.max())
    return int(there[np.argsort(spread[there], kind="stable")[len(there) // 2]])


def _pair_distances(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distances between every two moments of every point `[F, P, 3]`: `[P, F, F]`."""
    points = np.moveaxis(points - points.mean(0), 1, 0)
    square = (points**2).sum(2)
    return np.maximum(square[:, :, None] + square[:, None] - 2 * points @ np.moveaxis(points, 1, 2), 0.0)


def _farthest(points: NDArray[np.float64], close: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How far apart two places of each point get at moments of one clip, `[P]`."""
    return np.sqrt((_pair_distances(points) * close).max((1, 2)))


def _global_features(body: Body, close: NDArray[np.bool_], size: float) -> dict[str, float]:
    fits = body.fits
    travel = np.sqrt(_pair_distances(fits.centre[:, None])[0]) / size
    angles = turn_angles(fits.turn) * (fits.turn_known[:, None] & fits.turn_known)
    scale = np.maximum(np.abs(fits.scale), 1e-3)
    return {
        "global_travel": (travel * close).max(),
        "global_turn": (angles * close).max(),
        "global_scale": np.where(close, scale[:, None] / scale, 1.0).max(),
        "mirrored": min((fits.scale < 0).mean(), (fits.scale > 0).mean()),
        "whole_travel": travel.max(),
        "whole_turn": angles.max(),
    }


def _part_features(parts: RigidParts, weight: NDArray[np.float64], size: float) -> dict[str, float]:
    return {
        "parts": len(parts),
        "rigid_share": _share(weight, parts.label >= 0),
        "part_turn": parts.turn_between(),
        "part_travel": parts.travel() / size,
    }


@dataclass(frozen=True)
class _Steps:
    """What happens from one frame to the next, wherever two neighbouring frames were looked at.

    Attributes:
        speed: of the fastest points in each interval between moments, sizes a second.
        acceleration: the largest, sizes a second squared.
        jump: by how much a step is longer than those beside it, the most, in sizes.
    """

    speed: NDArray[np.float64]
    acceleration: float
    jump: float

    @classmethod
    def of(cls, motion: Motion, places: NDArray[np.float64], there: NDArray[np.bool_], size: float) -> _Steps:
        apart = np.diff(motion.times)
        vectors = np.diff(places, axis=0) / size * (there[1:] & there[:-1])[..., None]
        length = np.linalg.norm(vectors, axis=2)
        single = apart < 1.5
        seconds = apart / motion.fps
        speed = _peak(length) / seconds
        even = single[1:] & single[:-1] & (np.abs(apart[1:] - apart[:-1]) < 1e-3)
        bend = np.linalg.norm(vectors[1:] - vectors[:-1], axis=2)[even] / seconds[1:][even, None] ** 2
        acceleration = float(_peak(bend).max(initial=0.0))
        return cls(speed, acceleration, _jump(length, apart, single))


def _jump(length: NDArray[np.float64], apart: NDArray[np.float64], single: NDArray[np.bool_]) -> float:
    """See the feature `jump`; `length` `[F-1, P]` of all steps, `apart` their frames, `single` if of one frame."""
    rate = length / apart[:, None]
    nothing = np.zeros((1, length.shape[1]))
    beside = np.maximum(np.concatenate((nothing, rate[:-1])), np.concatenate((rate[1:], nothing)))
    if len(length) == 1:
        return 0.0  # two frames: nothing to compare with
    excess = np.maximum(length - beside * apart[:, None], 0.0)[single]
    return float(_peak(excess).max(initial=0.0))


def _popping_share(motion: Motion, places: NDArray[np.float64], size: float) -> float:
    """See the feature `pop`."""
    shown = motion.present.copy()
    for item in range(len(motion.area)):
        mine = motion.owner == item
        if mine.sum() > 2:
            extent = np.linalg.norm(np.ptp(places[:, mine], axis=1), axis=1)
            shown[:, item] &= extent > VANISHED * extent.max() if extent.max() > 1e-6 * size else True
    pops = shown.any(0) & ~shown.all(0)
    return motion.area[pops].sum() / motion.area.sum()


def _extent_growth(
    relative: NDArray[np.float64], there: NDArray[np.bool_], body: Body, close: NDArray[np.bool_]
) -> float:
    """See the feature `extent_growth`."""
    middle = np.average(relative[body.reference], axis=0, weights=body.weight)
    radius = np.linalg.norm(relative - middle, axis=2)
    farthest = np.where(there, radius, 0.0).max(1)
    farthest = np.maximum(farthest, 1e-3 * farthest.max())
    return float(np.where(close, farthest[:, None] / farthest, 1.0).max())


def _stretch(relative: NDArray[np.float64], owner: NDArray[np.intp], size: float, reference: int) -> float:
    """See the feature `stretch`."""
    base = relative[reference]
    distance = np.linalg.norm(base[:, None] - base, axis=2)
    distance[(owner[:, None] != owner) | (distance < SHORTEST_EDGE * size)] = np.inf
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :NEIGHBOURS]
    length = np.take_along_axis(distance, nearest, axis=1)
    known = np.isfinite(length)
    if not known.any():
        return 1.0
    over_time = np.linalg.norm(relative[:, :, None] - relative[:, nearest], axis=3)[:, known]
    shortest = np.maximum(over_time.min(0), SHORTEST_EDGE * size)
    return float(np.quantile(over_time.max(0) / shortest, 0.99))


def _intersecting_share(
    motion: Motion, relative: NDArray[np.float64], body: Body, size: float, moments: NDArray[np.intp]
) -> float:
    """See the feature `intersection`. Looks at every second point at few moments: it is a proxy."""
    base = relative[body.reference, ::2]
    apart = np.linalg.norm(base[:, None] - base, axis=2) > APART * size
    normals = np.einsum("fji,fpj->fpi", body.fits.turn, np.nan_to_num(motion.normals.astype(np.float64)))[:, ::2]
    inside = np.zeros(len(base), bool)
    for moment in moments:
        points = relative[moment, ::2]
        there = motion.present[moment, motion.owner[::2]]
        away = points[:, None] - points
        distance = np.where(apart & there, np.linalg.norm(away, axis=2), np.inf)
        nearest = distance.argmin(1)
        rows = np.arange(len(points))
        depth = (away[rows, nearest] * normals[moment, nearest]).sum(1)
        near = distance[rows, nearest] < NEAR * size
        inside |= there & near & (depth < -INSIDE * size) & (depth < -0.5 * distance[rows, nearest])
    return float(inside.mean())


def _repetition(
    relative: NDArray[np.float64], weight: NDArray[np.float64], seconds: NDArray[np.float64]
) -> dict[str, float]:
    """Periodicity, period and loop, from how alike every two poses are, evenly spread."""
    count = min(POSES, len(seconds))
    at = np.interp(np.linspace(seconds[0], seconds[-1], count), seconds, np.arange(len(seconds)))
    before = np.minimum(at.astype(int), len(seconds) - 2)
    share = (at - before)[:, None, None]
    poses = (1 - share) * relative[before] + share * relative[before + 1]
    flat = ((poses - poses.mean(0)) * np.sqrt(weight)[:, None]).reshape(count, -1)
    pose = np.sqrt(_pair_distances(flat[:, None])[0])
    most = pose.max()
    if most <= 0 or count < 4:
        return {"periodicity": 0.0, "period": 0.0, "loop": 1.0 if most <= 0 else 1 - pose[0, -1] / most}
    mean = pose.sum() / (count * (count - 1))
    lags = range(2, max(3, int(count * 0.75)))
    unlike = np.array([np.diagonal(pose, lag).mean() / mean for lag in lags])
    # A lag counts only once the poses have first grown unlike: slow motion is like itself a moment later.
    risen = np.maximum.accumulate(unlike)
    back = (risen - unlike) / np.maximum(risen, 1e-9) * np.minimum(risen, 1.0)
    best = int((back >= 0.95 * back.max()).argmax())  # not twice the period
    periodicity = back[best]
    step = (seconds[-1] - seconds[0]) / (count - 1)
    return {
        "periodicity": periodicity,
        "period": lags[best] * step if periodicity >= 0.5 else 0.0,
        "loop": 1 - pose[0, -1] / most,
    }

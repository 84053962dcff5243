# SPDX-License-Identifier: GPL-3.0-or-later
"""Points fixed to surfaces: drawn once on a recording, then followed through it.

A point is a triangle and its barycentric coordinates in it, so it follows rigid parts, armatures and shape keys alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .reasons import Rejection
from .recording import Recording

MOTION_SHARE = 0.5  # of the points are drawn by motion, the rest by area
BODY = 2e-3  # of the size: what is off by more is not held to be of the body
NOISE = 1e-5  # of the size: less motion is rounding
_FEW = 2048  # points that the body's motion is found from
_STEPS = 10  # halvings of the scale
_EVENLY = (0.7548776662466927, 0.5698402909980532)  # multiples of these fill the unit square evenly (Roberts' R2)
_CHUNK = 200_000  # vertices handled at once


@dataclass(frozen=True)
class SurfacePoints:
    """Points fixed to the triangles of a recording.

    Attributes:
        triangle: index of each point's triangle, int32 `[P]`.
        corners: vertex indices of that triangle, int32 `[P, 3]`.
        weights: barycentric coordinates, float64 `[P, 3]`; rows sum to 1.
        owner: the item each lies on, int32 `[P]`.
    """

    triangle: NDArray[np.int32]
    corners: NDArray[np.int32]
    weights: NDArray[np.float64]
    owner: NDArray[np.int32]

    def __len__(self) -> int:
        """Number of points."""
        return len(self.triangle)

    def take(self, chosen: NDArray[np.integer]) -> SurfacePoints:
        """The points with the given indices."""
        return SurfacePoints(self.triangle[chosen], self.corners[chosen], self.weights[chosen], self.owner[chosen])

    def at(self, vertices: NDArray[np.floating]) -> NDArray[np.float64]:
        """Where the points are when the vertices `[V, 3]` are there: `[P, 3]`."""
        return np.einsum("pkx,pk->px", vertices[self.corners].astype(np.float64), self.weights)


def sample_points(
    recording: Recording,
    count: int,
    rng: np.random.Generator,
    shares: Sequence[float] | None = None,
    motion: float = MOTION_SHARE,
) -> SurfacePoints:
    """Draw points evenly by area, and some of them by how far the surface moves as well.

    Areas are those of the first moment. Motion is counted against the rigid motion of the body, so that a walking
    figure's limbs get more points than its trunk.

    Args:
        recording: the animation.
        count: number of points P.
        rng: decides everything random; the same state gives the same points.
        shares: how the points are shared out among the items, any positive scale `[items]`; None: by area.
        motion: the share of points drawn by area times motion instead of by area.

    Raises:
        Rejection: no triangle has an area ("degenerate geometry").
    """
    area = triangle_areas(recording.positions[0], recording.triangles)
    area[~np.isfinite(area)] = 0.0
    if not area.sum() > 0:
        raise Rejection("degenerate geometry", f"the {len(area)} triangles have no area")
    moved = vertex_motion(recording, area)
    moved[moved < NOISE * np.ptp(recording.positions[0], axis=0).max()] = 0.0
    moving = area * moved[recording.triangles].mean(1)
    if shares is not None:
        moving[np.asarray(shares, np.float64)[recording.owner] == 0] = 0.0
    weight = (1 - motion) * _spread_out(area, recording, shares)
    weight += motion * _spread_out(moving if moving.sum() > 0 else area, recording, shares)
    chosen = _draw(weight, count, rng)
    return _on(recording, chosen, spread_in_triangle(rng.random(count), rng.random(count)))


def positions_of(points: SurfacePoints, recording: Recording) -> NDArray[np.float64]:
    """Where the points are at every moment, in the world, `[P, N, 3]`."""
    return np.stack([points.at(vertices) for vertices in recording.positions], axis=1)


def triangle_areas(vertices: NDArray[np.floating], triangles: NDArray[np.int32]) -> NDArray[np.float64]:
    """Areas of triangles, `[T]`."""
    areas = np.empty(len(triangles))
    for start in range(0, len(triangles), _CHUNK):
        a, b, c = np.moveaxis(vertices[triangles[start : start + _CHUNK]].astype(np.float64), 1, 0)
        areas[start : start + _CHUNK] = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    return areas


def vertex_motion(recording: Recording, area: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each vertex gets from where the body's rigid motion would take it, `[V]`, in scene units.

    The body is what most of the area keeps to.
    """
    first = recording.positions[0]
    total = np.cumsum(area)
    order = np.arange(_FEW) + 0.5
    few = np.searchsorted(total, order / _FEW * total[-1])
    few = _on(recording, few, spread_in_triangle(*(np.outer(_EVENLY, order) % 1)))
    source = few.at(first)
    moved = np.zeros(len(first))
    for vertices in recording.positions[1:]:
        turn, shift = body_fit(source, few.at(vertices))
        for start in range(0, len(first), _CHUNK):
            part = slice(start, start + _CHUNK)
            away = vertices[part] - (first[part].astype(np.float64) @ turn.T + shift)
            np.maximum(moved[part], np.linalg.norm(away, axis=1), out=moved[part])
    return moved


def spread_in_triangle(one: NDArray[np.floating], two: NDArray[np.floating]) -> NDArray[np.float64]:
    """Barycentric coordinates `[n, 3]` evenly spread where two numbers `[n]` are evenly spread in [0, 1)."""
    root = np.sqrt(one)
    return np.stack((1 - root, root * (1 - two), root * two), axis=1)


def body_fit(
    source: NDArray[np.floating], target: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The rotation and shift that most of the points keep to, whatever the others do.

    What is off by more than a scale counts little (Geman and McClure), and the scale shrinks step by step.
    """
    scale = BODY * float(np.ptp(source, axis=0).max())
    weights = np.ones(len(source))
    for step in range(_STEPS, -1, -1):
        turn, shift = rigid_fit(source, target, weights)
        away = np.linalg.norm(target - (source @ turn.T + shift), axis=1)
        weights = 1 / (1 + (away / max(scale * 2.0**step, 1e-30)) ** 2) ** 2
    return turn, shift


def rigid_fit(
    source: NDArray[np.floating], target: NDArray[np.floating], weights: NDArray[np.floating] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The rotation `[3, 3]` and shift `[3]` that bring points `[n, 3]` nearest to others (Kabsch)."""
    source, target = source.astype(np.float64), target.astype(np.float64)
    share = np.ones(len(source)) if weights is None else weights
    share = (share / share.sum())[:, None]
    middle, aim = (source * share).sum(0), (target * share).sum(0)
    left, _, right = np.linalg.svd(((target - aim) * share).T @ (source - middle))
    flip = np.array((1.0, 1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))))
    turn = (left * flip) @ right
    return turn, aim - turn @ middle


def _on(recording: Recording, triangle: NDArray[np.integer], weights: NDArray[np.float64]) -> SurfacePoints:
    return SurfacePoints(triangle.astype(np.int32), recording.triangles[triangle], weights, recording.owner[triangle])


def _spread_out(
    weight: NDArray[np.float64], recording: Recording, shares: Sequence[float] | None
) -> NDArray[np.float64]:
    """Weights of triangles that sum to 1, each item's to its share of that."""
    if shares is None:
        return weight / weight.sum()
    items = np.bincount(recording.owner, weight, len(recording.names))
    wanted = np.where(items > 0, np.asarray(shares, np.float64), 0.0)
    factor = wanted / wanted.sum() / np.where(items > 0, items, 1.0)
    return weight * factor[recording.owner]


def _draw(weight: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Indices drawn by weight, in order: one in each of `count` equal slices, so that they spread evenly."""
    total = np.cumsum(weight)
    marks = (np.arange(count) + rng.random(count)) * (total[-1] / count)
    chosen = np.searchsorted(total, marks, side="right")
    return np.minimum(chosen, np.flatnonzero(weight)[-1])

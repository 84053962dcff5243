# SPDX-License-Identifier: GPL-3.0-or-later
"""Which parts of a surface move rigidly, and how many there are.

Our own, for measuring: a patch around each of a few well-spread points is followed rigidly, every point that keeps
to it belongs to it, and the fewest such patches that explain the surface are its parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .fitting import turn_angles

SEEDS = 32
PATCH = 6  # points
KEEPS = 0.01  # of the size: a point within this of its rigid place, root mean square over time, belongs to the part
SMALLEST = 0.01  # of the surface: what explains less is no part


@dataclass(frozen=True)
class RigidParts:
    """Rigid parts, the one that explains most first.

    Attributes:
        label: part of each point, -1 where none fits, int `[P]`.
        turn: each part's rotations against the reference moment, `[parts, F, 3, 3]`.
        centre: each part's centre over time, `[parts, F, 3]`.
    """

    label: NDArray[np.intp]
    turn: NDArray[np.float64]
    centre: NDArray[np.float64]

    def __len__(self) -> int:
        """Number of parts."""
        return len(self.turn)

    def turn_between(self) -> float:
        """The largest angle in degrees by which a part turns, 0 to 180."""
        return max((float(turn_angles(turn).max()) for turn in self.turn), default=0.0)

    def travel(self) -> float:
        """The farthest that a part's centre gets, as the diagonal of the box it stays in."""
        return max((float(np.linalg.norm(np.ptp(centre, axis=0))) for centre in self.centre), default=0.0)


def find_parts(
    points: NDArray[np.float64], weight: NDArray[np.float64], owner: NDArray[np.intp], size: float, reference: int
) -> RigidParts:
    """Rigid parts of a moving surface `[F, P, 3]`; the other arguments as for `fitting.find_body`."""
    seeds = _spread(points[reference], owner)
    patches = _patches(points[reference], owner, seeds)
    moved = points[:, patches]  # [F, S, n, 3]
    base = moved[reference] - moved[reference].mean(1, keepdims=True)
    centre = moved.mean(2)
    u, _, vt = np.linalg.svd(np.einsum("fsni,snj->fsij", moved - centre[:, :, None], base))
    u[..., 2] *= np.sign(np.linalg.det(u @ vt))[..., None]
    turn = u @ vt
    origin = moved[reference].mean(1)
    offset = points[reference][None] - origin[:, None]  # [S, P, 3]
    expected = offset @ np.swapaxes(turn, 2, 3) + centre[:, :, None]
    error = np.sqrt(((expected - points[:, None]) ** 2).sum(3).mean(0))  # [S, P]
    keeps = error <= KEEPS * size
    label = np.full(len(weight), -1)
    chosen: list[int] = []
    while True:
        gain = (keeps & (label < 0)) @ weight
        best = int(gain.argmax())
        if gain[best] < SMALLEST * weight.sum():
            break
        label[keeps[best] & (label < 0)] = len(chosen)
        chosen.append(best)
    place = [points[:, label == part].mean(1) for part in range(len(chosen))]
    return RigidParts(label, np.moveaxis(turn[:, chosen], 0, 1), np.array(place).reshape(len(chosen), len(points), 3))


def _spread(points: NDArray[np.float64], owner: NDArray[np.intp]) -> NDArray[np.intp]:
    """Indices of points far from each other, each largest item's middle first: the same whatever the points' order."""
    chosen = [_nearest_middle(points, np.flatnonzero(owner == item)) for item in _by_count(owner)[: SEEDS // 2]]
    distance = np.min([np.linalg.norm(points - points[seed], axis=1) for seed in chosen], axis=0)
    while len(chosen) < min(SEEDS, len(points)):
        farthest = int(distance.argmax())
        chosen.append(farthest)
        distance = np.minimum(distance, np.linalg.norm(points - points[farthest], axis=1))
    return np.array(chosen)


def _by_count(owner: NDArray[np.intp]) -> NDArray[np.intp]:
    items, counts = np.unique(owner, return_counts=True)
    return items[np.argsort(-counts, kind="stable")]


def _nearest_middle(points: NDArray[np.float64], mine: NDArray[np.intp]) -> int:
    return int(mine[np.linalg.norm(points[mine] - points[mine].mean(0), axis=1).argmin()])


def _patches(points: NDArray[np.float64], owner: NDArray[np.intp], seeds: NDArray[np.intp]) -> NDArray[np.intp]:
    """For each seed the indices of its nearest points, those of its own item first, `[S, PATCH]`."""
    distance = np.linalg.norm(points[seeds][:, None] - points, axis=2)
    distance = distance + np.where(owner[seeds][:, None] == owner, 0.0, 1e3 * distance.max())
    return np.argsort(distance, axis=1, kind="stable")[:, : min(PATCH, len(points))]

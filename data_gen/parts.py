# SPDX-License-Identifier: GPL-3.0-or-later
"""Which points belong to one rigid part, found by how they move.

Small patches of surface, and whole items, propose rigid motions; the few motions that explain the most points are
kept, and each point goes to the one that takes it nearest to where it really gets. A motion that explains little that
others do not is dropped again, so what bends smoothly is cut into a few pieces, not into hundreds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .points import SurfacePoints, positions_of
from .recording import Recording

if TYPE_CHECKING:
    from .playback import Playback

KEEPS = 0.015  # of the whole's size: the unit in which a point's distance from its rigid place is counted
WORST = 4.0  # what a point that does not fit at all counts, where one that is off by `KEEPS` counts 1
SMALLEST = 0.005  # share of the points that a part must explain better than all other parts do
STILL = 0.004  # of the whole's size: a part whose points get no farther does not move
PROPOSALS = 160
PATCH = 8  # points that make a proposal
MOST_PARTS = 20
ROUNDS = 4  # of fitting motions to their points and giving points to their motions


@dataclass(frozen=True)
class Motions:
    """M rigid motions from the first moment to each.

    Attributes:
        turn: rotations `[M, N, 3, 3]`.
        shift: what is added after turning `[M, N, 3]`.
    """

    turn: NDArray[np.float64]
    shift: NDArray[np.float64]

    def __len__(self) -> int:
        """Number of motions."""
        return len(self.turn)

    @classmethod
    def fit(cls, places: NDArray[np.float64], members: Sequence[NDArray[np.integer]]) -> Motions:
        """The motions that fit sets of points of `[P, N, 3]` best (Kabsch)."""
        spread, middle, start = [], [], []
        for chosen in members:
            mine = places[chosen]
            centre = mine.mean(0)
            away = mine - centre
            spread.append(np.einsum("pni,pj->nij", away, away[:, 0], optimize=True))
            middle.append(centre)
            start.append(centre[0])
        left, _, right = np.linalg.svd(np.array(spread))
        left[..., 2] *= np.sign(np.linalg.det(left @ right))[..., None]
        turn = left @ right
        return cls(turn, np.array(middle) - np.einsum("mnij,mj->mni", turn, np.array(start)))

    def take(self, chosen: NDArray[np.integer]) -> Motions:
        """The motions with the given indices."""
        return Motions(self.turn[chosen], self.shift[chosen])

    def misfit(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far each point is from where each motion takes it, root mean square over time, `[M, P]`.

        |Rx + t - y|² summed over the moments, multiplied out: one product of what is known of the points with what is
        known of the motions.
        """
        count, length = places.shape[:2]
        first, flat = places[:, 0], places.reshape(count, -1)
        squares = length * (first**2).sum(1) + (flat**2).sum(1)
        of_points = np.concatenate((first, flat, (places[..., None] * first[:, None, None]).reshape(count, -1)), axis=1)
        pull = np.einsum("mnij,mni->mj", self.turn, self.shift)
        of_motions = np.concatenate(
            (2 * pull, -2 * self.shift.reshape(len(self), -1), -2 * self.turn.reshape(len(self), -1)), axis=1
        )
        total = of_motions @ of_points.T + squares + (self.shift**2).sum((1, 2))[:, None]
        return np.sqrt(np.maximum(total, 0.0) / length)


def find_parts(recording: Recording, points: SurfacePoints, playback: Playback | None = None) -> NDArray[np.int16]:
    """Part id of each point, int16 `[P]`: 0 for what stays or is the body, others from 1, larger parts first.

    Args:
        recording: the animation.
        points: points on it.
        playback: where its source knows the parts, those are taken.
    """
    if playback is not None and playback.labels is not None:
        return labels_of_items(recording.names, playback)[points.owner]
    return cluster(positions_of(points, recording), points.owner)


def labels_of_items(names: Sequence[str], playback: Playback) -> NDArray[np.int16]:
    """The part id that the source gives each item, int16 `[items]`; 0 for items of objects it does not know.

    An instance has the label of the object that makes it, or else of the object it is an instance of.
    """
    known = {item.name_full: label for item, label in zip(playback.objects, playback.labels or (), strict=True)}
    found = [next((known[word] for word in (name, *name.split("/")) if word in known), 0) for name in names]
    return np.array(found, np.int16)


def cluster(places: NDArray[np.float64], owner: NDArray[np.integer]) -> NDArray[np.int16]:
    """Part ids of points that move.

    Args:
        places: where the points are, `[P, N, 3]`.
        owner: the item each lies on `[P]`: items propose motions, and patches stay on one item.
    """
    first = places[:, 0]
    size = float(np.ptp(first, axis=0).max()) or 1.0
    places = (places - first.mean(0)) / size
    if len(places) < PATCH:
        return np.zeros(len(places), np.int16)
    motions = _explain(Motions.fit(places, _proposals(places, np.asarray(owner))), places)
    for _ in range(ROUNDS):
        label = motions.misfit(places).argmin(0)
        motions = Motions.fit(places, [np.flatnonzero(label == part) for part in np.unique(label)])
        motions = _prune(motions, places)
    return _number(motions.misfit(places).argmin(0), places)


def part_of_triangles(recording: Recording, points: SurfacePoints, part: NDArray[np.integer]) -> NDArray[np.int16]:
    """The part id of each triangle, int16 `[T]`: that of the point of its item that moves most alike."""
    moments = np.unique(np.linspace(0, len(recording) - 1, 4).astype(int))
    known = positions_of(points, recording)[:, moments].reshape(len(points), -1)
    found = np.zeros(len(recording.triangles), np.int16)
    for item in range(len(recording.names)):
        mine = np.flatnonzero(points.owner == item)
        faces = np.flatnonzero(recording.owner == item)
        ids = np.unique(part[mine])
        if len(ids) == 1:
            found[faces] = ids[0]
        if len(ids) < 2:
            continue
        for start in range(0, len(faces), 4096):
            chosen = faces[start : start + 4096]
            middle = recording.positions[moments][:, recording.triangles[chosen]].mean(2)
            found[chosen] = part[mine[_nearest(np.concatenate(middle, axis=1), known[mine])]]
    return found


def _nearest(asked: NDArray[np.floating], known: NDArray[np.floating]) -> NDArray[np.intp]:
    """For each row of one array the row of the other that is nearest."""
    shift = known.mean(0)
    asked, known = asked - shift, known - shift
    return ((known**2).sum(1) - 2 * asked @ known.T).argmin(1)


def _proposals(places: NDArray[np.float64], owner: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Sets of points that may move as one: the items, and patches around points that differ in place or motion."""
    moments = np.unique(np.linspace(0, places.shape[1] - 1, 5).astype(int))
    path = places[:, moments].reshape(len(places), -1)
    items, counts = np.unique(owner, return_counts=True)
    sets = [np.flatnonzero(owner == item) for item in items[np.argsort(-counts, kind="stable")[:PROPOSALS]]]
    sets = [mine for mine in sets if len(mine) >= PATCH] or [np.arange(len(places))]
    away, seed = np.full(len(places), np.inf), 0
    for _ in range(min(PROPOSALS, len(places))):
        distance = ((path - path[seed]) ** 2).sum(1)
        mine = owner == owner[seed]
        reach = np.where(mine, distance, np.inf) if mine.sum() >= PATCH else distance
        sets.append(np.argpartition(reach, PATCH - 1)[:PATCH])
        away = np.minimum(away, distance)
        seed = int(away.argmax())
    return sets


def _cost(misfit: NDArray[np.float64]) -> NDArray[np.float64]:
    """How badly points are explained: small misfits count for next to nothing, large ones for no more than `WORST`."""
    off = misfit / KEEPS
    return np.minimum(np.where(off < 1, off**2, 2 * off - 1), WORST)


def _explain(proposed: Motions, places: NDArray[np.float64]) -> Motions:
    """The fewest of the proposed motions that explain the points, best first; one at least."""
    cost = _cost(proposed.misfit(places))
    rest, chosen = np.full(len(places), WORST), []
    while len(chosen) < MOST_PARTS:
        gain = np.maximum(rest - cost, 0).sum(1)
        best = int(gain.argmax())
        if chosen and gain[best] < SMALLEST * len(places):
            break
        chosen.append(best)
        rest = np.minimum(rest, cost[best])
    return proposed.take(np.array(chosen))


def _prune(motions: Motions, places: NDArray[np.float64]) -> Motions:
    """Drop, one by one, the motions without which the points are explained nearly as well."""
    cost = _cost(motions.misfit(places))
    kept = np.arange(len(motions))
    while len(kept) > 1:
        first, second = np.partition(cost[kept], 1, axis=0)[:2]
        loss = np.bincount(cost[kept].argmin(0), second - first, len(kept))
        least = int(loss.argmin())
        if loss[least] >= SMALLEST * len(places):
            break
        kept = np.delete(kept, least)
    return motions.take(kept)


def _number(label: NDArray[np.intp], places: NDArray[np.float64]) -> NDArray[np.int16]:
    """Ids from labels: 0 for what does not move, or else for the body; the others by falling number of points."""
    ids, label, counts = np.unique(label, return_inverse=True, return_counts=True)
    reach = np.linalg.norm(places - places[:, :1], axis=2).max(1)
    far = np.array([np.quantile(reach[label == part], 0.95) for part in range(len(ids))])
    body = np.flatnonzero(far <= STILL)
    if not len(body):  # the largest part, and among nearly equal ones the calmest
        body = np.array([(counts / (0.5 + far / far.mean())).argmax()])
    others = [part for part in np.argsort(-counts, kind="stable") if part not in body]
    number = np.zeros(len(ids), np.int16)
    number[others] = np.arange(1, len(others) + 1)
    return number[label]

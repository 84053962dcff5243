# SPDX-License-Identifier: GPL-3.0-or-later
"""How a point set as a whole moves: similarities (scale, rotation, place) fitted to moments, robustly.

Fits are weighted Umeyama fits (Umeyama 1991, "Least-squares estimation of transformation parameters between two
point patterns"), for all moments at once. Robustness is least trimmed squares (Rousseeuw 1984) over the *whole*
animation: one and the same half of the surface, the one that fits best at all moments, is "the body".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BODY_SHARE = 0.5  # of the surface counts as the body
STILL_SHARE = 0.1  # of the surface standing still is enough to be the body: things that stand somewhere
STILL = 0.01  # of the size: what moves less stands still
WITH_IT = 0.01  # of the size, root mean square: what is nearer to where the body takes it moves with it
ROUNDS = 8
MOMENTS = 16  # decide what the body is; all of them are then fitted
SHRUNK = 0.05  # of its scale: smaller things have no direction
NEEDLE = 1e-6  # second over first singular value: of thinner things the turn about themselves is not known
LARGEST_ITEMS = 2  # each is tried as a first guess of the body


@dataclass(frozen=True)
class Similarities:
    """For each of F moments `x(t) = scale·turn·x(reference) + shift`.

    Attributes:
        scale: `[F]`; negative where the shape is mirrored.
        turn: rotations, `[F, 3, 3]`.
        shift: `[F, 3]`.
        centre: where the weighted centre of the fitted points is, `[F, 3]`.
        turn_known: whether the points say how they are turned: neither shrunk to nothing nor a needle, bool `[F]`.
    """

    scale: NDArray[np.float64]
    turn: NDArray[np.float64]
    shift: NDArray[np.float64]
    centre: NDArray[np.float64]
    turn_known: NDArray[np.bool_]

    def undo(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Places `[F, P, 3]` as they would be had the body stayed as in the reference.

        The scale stays within a factor of 100, so that what shrinks to a point does not blow up what is left.
        """
        scale = np.where(self.scale < 0, -1, 1) * np.clip(np.abs(self.scale), 0.01, 100.0)
        return (points - self.shift[:, None]) @ (self.turn / scale[:, None, None])


def fit_similarities(
    points: NDArray[np.float64], reference: NDArray[np.float64], weight: NDArray[np.float64]
) -> Similarities:
    """Weighted least-squares similarity from the reference to every moment.

    Args:
        points: `[F, P, 3]`.
        reference: `[P, 3]`.
        weight: `[P]`, not negative, some above 0.
    """
    fitted = weight > 0
    points, reference, weight = points[:, fitted], reference[fitted], weight[fitted] / weight.sum()
    middle, centre = weight @ reference, weight @ points
    base, moved = reference - middle, points - centre[:, None]
    cross = np.swapaxes(moved, 1, 2) @ (weight[:, None] * base)
    u, singular, vt = np.linalg.svd(cross)
    spread = max(float(weight @ (base**2).sum(1)), 1e-30)
    sign = np.sign(np.linalg.det(u @ vt))
    sign[sign == 0] = 1.0
    flip = np.ones((len(points), 3))
    flip[:, 2] = sign
    turn = np.einsum("fij,fj,fjk->fik", u, flip, vt)
    scale = (singular * flip).sum(1) / spread
    mirrored = _mirrored(singular, sign)
    if mirrored.any():  # -1·rotation is a mirroring; its best rotation flips all three axes
        turn[mirrored] = -(u @ vt)[mirrored]
        scale[mirrored] = -singular[mirrored].sum(1) / spread
    shift = centre - scale[:, None] * (turn @ middle)
    turn_known = (np.abs(scale) > SHRUNK) & (singular[:, 1] > NEEDLE * singular[:, 0])
    return Similarities(scale, turn, shift, centre, turn_known)


def _mirrored(singular: NDArray[np.float64], sign: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where only a mirroring fits: the best orthogonal map is improper, and not merely since the points lie flat."""
    return (sign < 0) & (singular[:, 2] > 0.1 * singular[:, 0])


@dataclass(frozen=True)
class Body:
    """The part of the surface that stands for the whole, and how it moves.

    Attributes:
        weight: `[P]`, 0 outside the body.
        fits: against the reference moment.
        reference: index of that moment.
    """

    weight: NDArray[np.float64]
    fits: Similarities
    reference: int


def find_body(
    points: NDArray[np.float64], weight: NDArray[np.float64], owner: NDArray[np.intp], size: float, reference: int
) -> Body:
    """What of the surface moves as "the whole".

    What stands still in the world, if that is enough of the surface; else the half that is nearest to moving as one.

    Args:
        points: `[F, P, 3]`.
        weight: surface share of each point, `[P]`.
        owner: item of each point, `[P]`.
        size: the asset's size.
        reference: index of the moment that the others are compared with.
    """
    still = np.linalg.norm(np.ptp(points, axis=0), axis=1) < STILL * size
    if weight[still].sum() >= STILL_SHARE * weight.sum():
        chosen = np.where(still, weight, 0.0)
        return Body(chosen, fit_similarities(points, points[reference], chosen), reference)
    rows = np.unique(np.append(np.linspace(0, len(points) - 1, MOMENTS).astype(int), reference))
    few, there = points[rows], int(np.searchsorted(rows, reference))
    tries = [_trim(few, weight, start, there) for start in _first_guesses(weight, owner)]
    core = min(tries, key=lambda one: one[0])[1]
    # All that moves with the core belongs to it: which half of a rigid thing fits best is but chance.
    error = residuals(few, fit_similarities(few, few[there], core), there)
    reach = max(4 * float(np.average(error, weights=core)), (WITH_IT * size) ** 2)
    chosen = np.where((error <= reach) | (core > 0), weight, 0.0)
    return Body(chosen, fit_similarities(points, points[reference], chosen), reference)


def _first_guesses(weight: NDArray[np.float64], owner: NDArray[np.intp]) -> list[NDArray[np.float64]]:
    """The whole surface, and each of the largest items."""
    items = np.unique(owner)
    share = np.array([weight[owner == item].sum() for item in items])
    largest = items[np.argsort(-share, kind="stable")[:LARGEST_ITEMS]]
    return [weight, *(np.where(owner == item, weight, 0.0) for item in largest if len(items) > 1)]


def _trim(
    points: NDArray[np.float64], weight: NDArray[np.float64], chosen: NDArray[np.float64], reference: int
) -> tuple[float, NDArray[np.float64]]:
    """Fit, keep the half that fits best, and again until nothing changes; gives the cost and the weights."""
    cost = np.inf
    for _ in range(ROUNDS):
        error = residuals(points, fit_similarities(points, points[reference], chosen), reference)
        better = _best_share(error, weight)
        now = float((error * better).sum())
        if now >= cost * (1 - 1e-6):
            break
        cost, chosen = now, better
    return cost, chosen


def residuals(points: NDArray[np.float64], fits: Similarities, reference: int) -> NDArray[np.float64]:
    """Mean squared distance of each point from where the similarities put it, `[P]`."""
    maps = fits.scale[:, None, None] * np.swapaxes(fits.turn, 1, 2)
    expected = points[reference] @ maps + fits.shift[:, None]
    return ((points - expected) ** 2).sum(2).mean(0)


def _best_share(error: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weights of the points of least error that make up `BODY_SHARE`, 0 elsewhere."""
    order = np.argsort(error, kind="stable")
    total = np.cumsum(weight[order])
    last = int(np.searchsorted(total, BODY_SHARE * total[-1])) + 1
    chosen = np.zeros_like(weight)
    chosen[order[:last]] = weight[order[:last]]
    return chosen


def turn_angles(turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angles in degrees between every two of the rotations `[F, 3, 3]`: `[F, F]`, 0 to 180."""
    flat = turn.reshape(len(turn), 9)
    return np.degrees(np.arccos(np.clip((flat @ flat.T - 1) / 2, -1.0, 1.0)))

# SPDX-License-Identifier: GPL-3.0-or-later
"""Which triangles lie on the lines of sight through given places of the image: exact, vectorised, in bounded memory.

The test is made in homogeneous coordinates (Olano and Greer): a triangle is met when the line of sight passes its
three edges on the inner side. It needs no clipping, so triangles that cross the near plane are as exact as others,
and two triangles that share an edge leave no gap. Perspective and orthographic cameras alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .cameras import Lens

BATCH = 400_000  # candidate pairs tested at once; a few hundred bytes each
CHUNK = 250_000  # triangles binned at once
FINEST = 512  # cells along a side of the grid, at most


@dataclass(frozen=True)
class Sight:
    """What a lens sees, in the terms of this module. Image places here are -1 to 1, y upwards.

    Attributes:
        rows: from world to (x·w, y·w, w, depth), `[4, 4]`; depth is the distance along the viewing direction.
        near: depth before which nothing is rendered.
        far: depth beyond which nothing is rendered.
        axes: the camera's axes in the world as rows: right, up, towards the viewer, `[3, 3]`.
        perspective: whether lines of sight meet in the eye; else they are parallel.
    """

    rows: NDArray[np.float64]
    near: float
    far: float
    axes: NDArray[np.float64]
    perspective: bool

    @property
    def forward(self) -> NDArray[np.float64]:
        """The viewing direction."""
        return -self.axes[2]

    @classmethod
    def of(cls, lens: Lens) -> Sight:
        """Take a lens apart."""
        matrix = np.asarray(lens.matrix, np.float64)
        perspective = bool(np.abs(matrix[3, :3]).max() > 0)
        forward = matrix[3, :3] if perspective else matrix[2, :3]
        forward = forward / np.linalg.norm(forward)
        eye = np.asarray(lens.eye, np.float64)
        depth = np.append(forward, -forward @ eye)
        (z, z0), (w, w0) = ((row[:3] @ forward, row[:3] @ eye + row[3]) for row in matrix[2:])
        near = -(z0 + w0) / (z + w)
        far = (w0 - z0) / (z - w) if z > w else np.inf
        # A shifted lens has a part of the forward direction in its rows for x and y.
        right = matrix[0, :3] - (matrix[0, :3] @ forward) * forward
        right /= np.linalg.norm(right)
        axes = np.stack((right, np.cross(right, forward), -forward))
        return cls(np.stack((matrix[0], matrix[1], matrix[3], depth)), float(near), float(far), axes, perspective)

    def see(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """World points `[n, 3]` as rows of (x·w, y·w, w, depth), `[4, n]`."""
        return self.rows[:, :3] @ np.asarray(points, np.float64).T + self.rows[:, 3:]

    def places(self, seen: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Image places `[n, 2]` of what `see` gave, and whether each is between the near and far depth.

        What is not in front of the near depth gets the place it would have with its w there: finite, and outside
        the frame on the side where it would leave it.
        """
        x, y, w, depth = seen
        in_range = (depth >= self.near) & (depth <= self.far)
        floor = self.near if self.near > 0 else np.finfo(np.float32).eps
        safe = np.where(in_range, w, np.maximum(w, floor))
        return np.stack((x, y), 1) / safe[:, None], in_range


@dataclass(frozen=True)
class Hits:
    """Triangles met by lines of sight.

    Attributes:
        place: index of the image place, `[n]`.
        triangle: index of the triangle, `[n]`.
        weights: barycentric coordinates of the point met, `[n, 3]`.
        depth: its depth, `[n]`.
    """

    place: NDArray[np.intp]
    triangle: NDArray[np.intp]
    weights: NDArray[np.float64]
    depth: NDArray[np.float64]


def hits(
    sight: Sight,
    vertices: NDArray[np.floating],
    triangles: NDArray[np.int32],
    places: NDArray[np.float64],
    limit: NDArray[np.float64] | None = None,
) -> Iterator[Hits]:
    """Everything that the lines of sight through image places meet, in batches.

    Args:
        sight: the camera.
        vertices: world points `[V, 3]`.
        triangles: `[T, 3]`, indices into `vertices`.
        places: image places `[Q, 2]` within -1 to 1; others meet nothing.
        limit: what lies deeper than this need not be found, though it may be, `[Q]`.
    """
    if not len(places) or not len(triangles):
        return
    limit = np.full(len(places), np.inf) if limit is None else limit
    x, y = np.ascontiguousarray(places.T)
    seen = sight.see(vertices)
    grid = _Grid.of(places, len(triangles))
    cells = _VertexCells.of(sight, seen, grid)
    for start in range(0, len(triangles), CHUNK):
        chosen, low, high = grid.occupied(cells, triangles[start : start + CHUNK])
        facets = _Facets.of(seen, triangles, chosen + start)
        for which, place in grid.pairs(low, high):
            near_enough = facets.closest[which] < limit[place]
            found = facets.meet(sight, which[near_enough], place[near_enough], x, y)
            if len(found.place):
                yield found


def nearest(
    sight: Sight, vertices: NDArray[np.floating], triangles: NDArray[np.int32], places: NDArray[np.float64]
) -> Hits:
    """The first thing each line of sight meets; `triangle` is -1 and `depth` infinite where that is nothing.

    Arguments are those of `hits`; the result has one row for each place, in order.
    """
    count = len(places)
    best = Hits(np.arange(count), np.full(count, -1), np.zeros((count, 3)), np.full(count, np.inf))
    for found in hits(sight, vertices, triangles, places):
        order = np.lexsort((found.triangle, found.depth, found.place))
        place = found.place[order]
        first = order[np.append(True, place[1:] != place[:-1])]
        first = first[found.depth[first] < best.depth[found.place[first]]]
        place = found.place[first]
        best.triangle[place] = found.triangle[first]
        best.weights[place] = found.weights[first]
        best.depth[place] = found.depth[first]
    return best


@dataclass(frozen=True)
class _Facets:
    """Triangles ready to be tested.

    For each corner a linear form of the image place, which is its barycentric coordinate times the sum of all three
    (scaled by the same number): the line of sight meets the triangle where none of the three is negative.

    Attributes:
        triangle: their indices, `[n]`.
        forms: coefficients of x, of y and of 1 for each corner, `[3 corners, 3 coefficients, n]`.
        depth: of the corners, `[3, n]`.
        closest: the least depth, `[n]`.
    """

    triangle: NDArray[np.intp]
    forms: NDArray[np.float64]
    depth: NDArray[np.float64]
    closest: NDArray[np.float64]

    @classmethod
    def of(cls, seen: NDArray[np.float64], triangles: NDArray[np.int32], chosen: NDArray[np.intp]) -> _Facets:
        """Prepare the chosen triangles; those seen edge-on get forms that are never met."""
        corners = [seen[:, triangles[chosen, k]] for k in range(3)]
        forms = np.stack([_cross(corners[(k + 1) % 3], corners[(k + 2) % 3]) for k in range(3)])
        # Turned so that what is before the camera has positive forms: twins on shared edges stay exact opposites.
        volume = (forms[0] * corners[0][:3]).sum(0)
        forms *= np.sign(volume)
        forms[:, 2, volume == 0] = -1.0
        depth = np.stack([corner[3] for corner in corners])
        return cls(chosen, forms, depth, depth.min(0))

    def meet(
        self,
        sight: Sight,
        which: NDArray[np.intp],
        place: NDArray[np.intp],
        x: NDArray[np.float64],
        y: NDArray[np.float64],
    ) -> Hits:
        """Which of the candidate pairs really meet, between the near and the far depth."""
        weights: list[NDArray[np.float64]] = []
        for form in self.forms:
            value = form[0][which] * x[place] + form[1][which] * y[place] + form[2][which]
            kept = np.flatnonzero(value >= 0)
            which, place = which[kept], place[kept]
            weights = [*(other[kept] for other in weights), value[kept]]
        shares = np.stack(weights)
        total = shares.sum(0)
        shares /= np.where(total > 0, total, 1.0)
        depth = sum(share * corner[which] for share, corner in zip(shares, self.depth, strict=True))
        kept = np.flatnonzero((total > 0) & (depth >= sight.near) & (depth <= sight.far))
        return Hits(place[kept], self.triangle[which[kept]], shares[:, kept].T, depth[kept])


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cross products of columns `[3, n]`; swapping the arguments changes nothing but the sign."""
    return np.stack((a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]))


@dataclass(frozen=True)
class _Grid:
    """Image places sorted into square cells, row by row.

    Attributes:
        side: cells along a side.
        order: indices of the places within -1 to 1, sorted by cell `[q]`.
        before: how many of them lie in earlier cells, for each cell and the end `[side² + 1]`.
        sums: how many lie above and to the left of each cell corner `[side + 1, side + 1]`.
        near: whether a cell or one of its eight neighbours holds a place, with a border of cells around,
            `[side + 2, side + 2]`.
    """

    side: int
    order: NDArray[np.intp]
    before: NDArray[np.int64]
    sums: NDArray[np.int32]
    near: NDArray[np.bool_]

    @classmethod
    def of(cls, places: NDArray[np.float64], triangles: int) -> _Grid:
        """Sort places into a grid about as fine as the triangles can be."""
        side = int(np.clip(2 ** np.ceil(np.log2(max(triangles, 1)) / 2), 32, FINEST))
        on_screen = np.flatnonzero((np.abs(places) <= 1).all(1))
        column, row = np.minimum(_cells(places[on_screen].T, side), side - 1)  # the border belongs to the frame
        cell = row.astype(np.int64) * side + column
        order = on_screen[np.argsort(cell, kind="stable")]
        counts = np.bincount(cell, minlength=side * side)
        sums = np.zeros((side + 1, side + 1), np.int32)
        sums[1:, 1:] = counts.reshape(side, side).cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32)
        near = np.zeros((side + 2, side + 2), bool)
        held = np.flatnonzero(counts)
        for step in np.ndindex(3, 3):
            near[held // side + step[0], held % side + step[1]] = True
        return cls(side, order, np.append(0, counts.cumsum()), sums, near)

    def occupied(
        self, cells: _VertexCells, triangles: NDArray[np.int32]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """Triangles whose box of cells holds places: indices `[n]` and the boxes' corners `[n, 2]`, ends included."""
        corners = [triangles[:, k].astype(np.intp) for k in range(3)]
        (left, right), (top, bottom) = (_range(column, corners) for column in (cells.column, cells.row))
        # Boxes of two cells across hold no place unless one is near any of the corners: most end here.
        kept = cells.near[corners[0]] | (right - left > 1) | (bottom - top > 1)
        kept &= (right >= 0) & (bottom >= 0) & (left < self.side) & (top < self.side)
        crossing = np.zeros(0, np.intp)
        if cells.any_behind:
            behind = [cells.behind[corner] for corner in corners]
            kept &= ~(behind[0] | behind[1] | behind[2])
            crossing = np.flatnonzero((behind[0] | behind[1] | behind[2]) & ~(behind[0] & behind[1] & behind[2]))
        chosen = np.flatnonzero(kept)
        low, high = (np.stack((x[chosen], y[chosen]), 1) for x, y in ((left, top), (right, bottom)))
        if len(crossing):
            low_there, high_there = cells.boxes_of_crossing(triangles[crossing], self.side)
            chosen, low, high = (
                np.concatenate(pair) for pair in ((chosen, crossing), (low, low_there), (high, high_there))
            )
        low = np.maximum(low, 0).astype(np.intp)
        high = np.minimum(high, self.side - 1).astype(np.intp)
        held = self._count(low, high) > 0
        return chosen[held], low[held], high[held]

    def pairs(
        self, low: NDArray[np.intp], high: NDArray[np.intp]
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Each box of cells (its number) with each place in it, in batches of about `BATCH`."""
        rows = high[:, 1] - low[:, 1] + 1
        work = np.cumsum(rows + self._count(low, high))
        batch = (work - 1) // BATCH
        ends = np.append(np.flatnonzero(np.diff(batch)) + 1, len(batch)) if len(batch) else []
        start = 0
        for end in ends:
            span = slice(start, int(end))
            which, line = _spread(rows[span])
            line += low[span, 1][which]
            first = self.before[line * self.side + low[span, 0][which]]
            count = self.before[line * self.side + high[span, 0][which] + 1] - first
            entry, offset = _spread(count)
            yield start + which[entry], self.order[first[entry] + offset]
            start = int(end)

    def _count(self, low: NDArray[np.intp], high: NDArray[np.intp]) -> NDArray[np.int64]:
        """How many places lie in boxes of cells."""
        (x0, y0), (x1, y1) = low.T, high.T + 1
        return self.sums[y1, x1] - self.sums[y0, x1] - self.sums[y1, x0] + self.sums[y0, x0]


@dataclass(frozen=True)
class _VertexCells:
    """Where vertices fall in a grid.

    Attributes:
        column: int16 `[V]`; -1 or `side` for what is off-screen.
        row: the same.
        near: whether a place lies in the same or a neighbouring cell, `[V]`.
        behind: whether it is before the near depth (its cell means nothing), `[V]`.
        any_behind: whether any is.
        sight: the camera.
        seen: what it sees of the vertices, `[4, V]`.
    """

    column: NDArray[np.int16]
    row: NDArray[np.int16]
    near: NDArray[np.bool_]
    behind: NDArray[np.bool_]
    any_behind: bool
    sight: Sight
    seen: NDArray[np.float64]

    @classmethod
    def of(cls, sight: Sight, seen: NDArray[np.float64], grid: _Grid) -> _VertexCells:
        """Put vertices into a grid's cells."""
        behind = seen[3] < sight.near
        any_behind = bool(behind.any())
        width = np.where(behind | (seen[2] <= 0), 1.0, seen[2]) if any_behind else seen[2]
        column, row = (_cells(values / width, grid.side) for values in seen[:2])
        near = grid.near.ravel()[(row.astype(np.int32) + 1) * (grid.side + 2) + column + 1]
        return cls(column, row, near, behind, any_behind, sight, seen)

    def boxes_of_crossing(self, triangles: NDArray[np.int32], side: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """Boxes of cells, lowest and highest `[n, 2]`, of what triangles that cross the near depth have beyond it."""
        here = self.seen[:, triangles].transpose(1, 2, 0)  # [n, corner, xyw and depth]
        there = np.roll(here, -1, axis=1)
        depth, other, near = here[..., 3:], there[..., 3:], self.sight.near
        crosses = (depth < near) != (other < near)
        along = np.where(crosses, (near - depth) / np.where(crosses, other - depth, 1.0), 0.0)
        # Corners before the near depth are replaced by where the edges pass it, others are taken as well.
        ends = np.concatenate((here, here + along * (there - here)), axis=1)
        shown = np.concatenate((depth >= near, crosses), axis=1)
        places = ends[..., :2] / np.where(shown, ends[..., 2:3], 1.0)
        low = np.where(shown, places, np.inf).min(1)
        high = np.where(shown, places, -np.inf).max(1)
        # A cell more on each side: the division's rounding must not lose a place.
        return np.maximum(_cells(low, side) - 1, -1), np.minimum(_cells(high, side) + 1, side)


def _cells(places: NDArray[np.float64], side: int) -> NDArray[np.int16]:
    """Columns or rows of image places, an array of the same shape; -1 and `side` for what is outside."""
    cells = places * (side / 2)
    cells += side / 2
    np.clip(cells, -1, side, out=cells)
    return np.floor(cells, out=cells).astype(np.int16)


def _range(cells: NDArray[np.int16], corners: list[NDArray[np.intp]]) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Lowest and highest column or row of triangles' corners, `[T]`."""
    a, b, c = (cells[corner] for corner in corners)
    return np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)


def _spread(counts: NDArray[np.integer]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For counts (2, 0, 1): which (0, 0, 2) and the number within (0, 1, 0)."""
    which = np.repeat(np.arange(len(counts)), counts)
    starts = np.cumsum(counts) - counts
    return which, np.arange(len(which)) - np.repeat(starts, counts)

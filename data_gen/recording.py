# SPDX-License-Identifier: GPL-3.0-or-later
"""An animation as plain numbers: where every vertex is at every moment.

The scene is evaluated once per moment. Everything after that (points, tracks, visibility, passes, parts) works on
the recording, for any number of cameras, without Blender.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import bpy
import numpy as np
from numpy.typing import NDArray

from .geometry import Geometry, Surface, seen
from .reasons import Rejection
from .scene import set_time

if TYPE_CHECKING:
    from .playback import Playback


class TopologyChanges(Rejection):
    """A mesh has other vertices or faces at one moment than at another, so that its points do not correspond."""

    def __init__(self, name: str, first: float, then: float, before: int, after: int) -> None:
        counts = f"has {before} vertices at frame {first:g} and {after}" if before != after else "has other faces"
        super().__init__("topology changes", f'"{name}" {counts} at frame {then:g}')


@dataclass(frozen=True)
class Recording:
    """Geometry at N moments.

    Attributes:
        times: frame numbers `[N]`; may lie between whole frames.
        positions: vertices in the world, float32 `[N, V, 3]`. An item that is absent stays where it is at the
            nearest moment it is there.
        triangles: int32 `[T, 3]`, the same at all moments.
        owner: item of each triangle, int32 `[T]`.
        names: of the items.
        vertex_owner: item of each vertex, int32 `[V]`.
        present: whether an item is rendered at a moment, bool `[N, items]`.
    """

    times: NDArray[np.float64]
    positions: NDArray[np.float32]
    triangles: NDArray[np.int32]
    owner: NDArray[np.int32]
    names: tuple[str, ...]
    vertex_owner: NDArray[np.int32]
    present: NDArray[np.bool_]

    def __len__(self) -> int:
        """Number of moments."""
        return len(self.times)

    def geometry(self, index: int) -> Geometry:
        """What is rendered at one moment; absent items have no triangles but keep their vertices."""
        triangles, owner = self.triangles, self.owner
        if not self.present[index].all():
            shown = self.present[index][owner]
            triangles, owner = triangles[shown], owner[shown]
        return Geometry(self.positions[index], triangles, owner, self.names, self.vertex_owner)

    def only(self, names: Collection[str] | None) -> Recording:
        """The items of these names alone; all for None."""
        if names is None:
            return self
        wanted = np.array([name in names for name in self.names], bool)
        vertex, triangle = wanted[self.vertex_owner], wanted[self.owner]
        item, place = np.cumsum(wanted) - 1, np.cumsum(vertex) - 1
        return Recording(
            times=self.times,
            positions=self.positions[:, vertex],
            triangles=place[self.triangles[triangle]].astype(np.int32),
            owner=item[self.owner[triangle]].astype(np.int32),
            names=tuple(name for name, kept in zip(self.names, wanted, strict=True) if kept),
            vertex_owner=item[self.vertex_owner[vertex]].astype(np.int32),
            present=self.present[:, wanted],
        )

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest coordinates of what is present at each moment, `[N, 3]` each; NaN where nothing is."""
        low, high = np.full((2, len(self), 3), np.nan)
        for index, points in enumerate(self.positions):
            shown = self.present[index]
            if not shown.all():
                points = points[shown[self.vertex_owner]]
            if len(points):
                low[index], high[index] = points.min(0), points.max(0)
        return low, high


def record(playback: Playback, times: Sequence[float]) -> Recording:
    """Play an animation and keep the places of all vertices.

    Args:
        playback: the animation; what its objects show is recorded.
        times: frame numbers, may lie between whole ones.

    Raises:
        TopologyChanges: a mesh gains or loses vertices or faces, or they are numbered anew.
        Rejection: nothing has a surface, or a vertex has no finite place ("degenerate geometry").
    """
    surfaces: dict[str, Surface] = {}
    triangles: dict[str, NDArray[np.int32]] = {}
    since: dict[str, float] = {}
    moments: list[dict[str, NDArray[np.float32]]] = []
    for time in times:
        set_time(playback.scene, time)
        depsgraph = bpy.context.evaluated_depsgraph_get()
        moment = {}
        for name, surface, matrix in seen(playback.objects, depsgraph, surfaces):
            first = surfaces.setdefault(name, surface)
            if first.topology != surface.topology:
                raise TopologyChanges(name, since[name], time, first.topology[0], surface.topology[0])
            if name not in since:
                since[name], triangles[name] = time, surface.wound(matrix)
            moment[name] = _finite(surface.placed(matrix), name, time)
        moments.append(moment)
    if not surfaces:
        raise Rejection("degenerate geometry", f"no faces in any of {len(playback.objects)} objects")
    return _assemble(np.asarray(times, np.float64), triangles, moments)


def _finite(points: NDArray[np.float32], name: str, time: float) -> NDArray[np.float32]:
    if not np.isfinite(points).all():
        raise Rejection("degenerate geometry", f'"{name}" has positions that are not finite at frame {time:g}')
    return points


def _assemble(
    times: NDArray[np.float64],
    triangles: dict[str, NDArray[np.int32]],
    moments: list[dict[str, NDArray[np.float32]]],
) -> Recording:
    """Join the moments, freeing them on the way so that the vertices are not kept twice."""
    present = np.array([[name in moment for name in triangles] for moment in moments])
    sizes = [next(len(moment[name]) for moment in moments if name in moment) for name in triangles]
    positions = np.empty((len(times), sum(sizes), 3), np.float32)
    start = 0
    for column, (name, size) in enumerate(zip(triangles, sizes, strict=True)):
        there = np.flatnonzero(present[:, column])
        for row in range(len(times)):
            nearest = int(there[np.abs(there - row).argmin()])
            positions[row, start : start + size] = moments[nearest][name]
        for moment in moments:
            moment.pop(name, None)
        start += size
    order = np.arange(len(triangles), dtype=np.int32)
    starts = np.cumsum([0, *sizes[:-1]])
    return Recording(
        times=times,
        positions=positions,
        triangles=np.concatenate([faces + np.int32(at) for faces, at in zip(triangles.values(), starts, strict=True)]),
        owner=np.repeat(order, [len(faces) for faces in triangles.values()]),
        names=tuple(triangles),
        vertex_owner=np.repeat(order, sizes),
        present=present,
    )

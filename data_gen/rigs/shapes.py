# SPDX-License-Identifier: GPL-3.0-or-later
"""Solid shapes for rigs: boxes, cylinders, tubes and prisms gathered into one mesh with UVs.

Coordinates: x right, y back (an object's front looks along -y), z up; about one unit for the whole object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import bpy
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .finishes import Finish

SHARP_ANGLE = 0.7  # radians; flatter edges are shaded smooth

# Corners of a box are numbered by bits: 1 = high x, 2 = high y, 4 = high z.
# Each side lists its corners counter-clockwise seen from outside, starting at the lower left.
BOX_SIDES: dict[str, tuple[int, int, int, int]] = {
    "front": (0, 1, 5, 4),
    "back": (3, 2, 6, 7),
    "left": (2, 0, 4, 6),
    "right": (1, 3, 7, 5),
    "bottom": (2, 3, 1, 0),
    "top": (4, 5, 7, 6),
}
THINNEST = 1e-4  # radius that stands for a point, so that no face collapses
FITTED = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


class Shape:
    """Faces gathered from primitives, each with a finish; becomes one Blender mesh.

    A face without UVs of its own is box mapped: its texture is laid on along the axis its normal is
    nearest to, one repeat per `Finish.tile` units.
    """

    def __init__(self) -> None:
        self.points: list[NDArray[np.float64]] = []
        self.faces: list[tuple[int, ...]] = []
        self.finishes: list[Finish] = []
        self.uvs: list[NDArray[np.float64] | None] = []
        self._count = 0

    def add_points(self, points: ArrayLike) -> int:
        """Add points `[n, 3]`; gives the index of the first."""
        array = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        first = self._count
        self.points.append(array)
        self._count += len(array)
        return first

    def add_face(self, corners: Sequence[int], finish: Finish, uv: ArrayLike | None = None) -> None:
        """Add a face over point indices, counter-clockwise seen from outside."""
        self.faces.append(tuple(corners))
        self.finishes.append(finish)
        self.uvs.append(None if uv is None else np.asarray(uv, dtype=np.float64))

    def box(
        self,
        low: ArrayLike,
        high: ArrayLike,
        finish: Finish,
        sides: Mapping[str, Finish] | None = None,
        fitted: Sequence[str] = (),
    ) -> Shape:
        """A box between two corners.

        Args:
            low, high: opposite corners.
            finish: of all sides not named in `sides`.
            sides: other finishes by side name (a key of `BOX_SIDES`).
            fitted: sides whose texture covers the whole side once.
        """
        low, high = np.minimum(low, high), np.maximum(low, high)
        corners = [[(low, high)[bit >> axis & 1][axis] for axis in range(3)] for bit in range(8)]
        first = self.add_points(corners)
        for side, indices in BOX_SIDES.items():
            chosen = (sides or {}).get(side, finish)
            self.add_face([first + i for i in indices], chosen, FITTED if side in fitted else None)
        return self

    def cylinder(
        self,
        start: ArrayLike,
        end: ArrayLike,
        radius: float,
        finish: Finish,
        end_radius: float | None = None,
        segments: int = 16,
        caps: Finish | None = None,
    ) -> Shape:
        """A closed cylinder or cone frustum between two centres."""
        start, end = np.asarray(start, float), np.asarray(end, float)
        side, up = perpendicular(end - start)
        rings = [
            ring(centre, side, up, r, segments)
            for centre, r in ((start, radius), (end, radius if end_radius is None else end_radius))
        ]
        return self._skin([self.add_points(points) for points in rings], segments, finish, caps=caps)

    def tube(self, path: ArrayLike, radius: float, finish: Finish, segments: int = 8, closed: bool = False) -> Shape:
        """A round bar along a path `[n, 3]`; a closed path joins its ends."""
        path = np.asarray(path, float)
        tangents = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
        side, up = perpendicular(tangents[0])
        starts = []
        for centre, tangent in zip(path, tangents, strict=True):
            direction = tangent / np.linalg.norm(tangent)
            side = side - direction * (side @ direction)  # carried along, so that the bar does not twist
            side /= np.linalg.norm(side)
            up = np.cross(direction, side)
            starts.append(self.add_points(ring(centre, side, up, radius, segments)))
        return self._skin(starts, segments, finish, closed)

    def lathe(self, profile: ArrayLike, finish: Finish, segments: int = 24, closed: bool = False) -> Shape:
        """A profile `[n, 2]` of (radius, z) turned about the upright axis.

        The profile runs so that the outside is to its right, with radius to the right and z up. A closed
        one joins its ends and makes a ring; the ends of an open one are capped.
        """
        right, back = np.array((1.0, 0, 0)), np.array((0, 1.0, 0))
        starts = [
            self.add_points(ring(np.array((0, 0, z)), right, back, max(radius, THINNEST), segments))
            for radius, z in np.asarray(profile, float)
        ]
        return self._skin(starts, segments, finish, closed)

    def loft(self, start: ArrayLike, end: ArrayLike, profile: ArrayLike, finish: Finish, segments: int = 12) -> Shape:
        """A closed body about a line, of ellipses across it.

        Args:
            start, end: the line.
            profile: `[n, 3]` of (distance from `start` along the line, half-extents along `perpendicular`'s side and
                up), the distances rising.
            finish: of all of it.
            segments: corners of an ellipse; 4 give a square with its sides along side and up.
        """
        start, along = np.asarray(start, float), np.asarray(end, float) - start
        along /= np.linalg.norm(along)
        side, up = perpendicular(along)
        angle = (np.arange(segments) + 0.5) * (2 * np.pi / segments)
        grown = 1 / np.cos(np.pi / segments) if segments == 4 else 1.0
        starts = []
        for distance, wide, high in np.asarray(profile, float):
            across = np.cos(angle)[:, None] * side * max(wide, THINNEST) * grown
            rest = np.sin(angle)[:, None] * up * max(high, THINNEST) * grown
            starts.append(self.add_points(start + along * distance + across + rest))
        return self._skin(starts, segments, finish)

    def capsule(
        self,
        start: ArrayLike,
        end: ArrayLike,
        radius: float,
        finish: Finish,
        end_radius: float | None = None,
        segments: int = 12,
        flat: float = 1.0,
    ) -> Shape:
        """A cone frustum between two centres with round ends, which reach beyond the centres by the radii.

        Args:
            start, end: the centres of the round ends.
            radius: at the start, in scene units.
            finish: of all of it.
            end_radius: at the end; the start's if None.
            segments: corners around; 4 give a rounded square bar.
            flat: factor of the extent along `perpendicular`'s up.
        """
        last = radius if end_radius is None else end_radius
        length = float(np.linalg.norm(np.asarray(end, float) - np.asarray(start, float)))
        turn = np.linspace(0, np.pi / 2, 5)
        head = [(-radius * np.cos(a), radius * np.sin(a)) for a in turn]
        tail = [(length + last * np.sin(a), last * np.cos(a)) for a in turn]
        profile = [(distance, r, r * flat) for distance, r in head + tail]
        return self.loft(start, end, profile, finish, segments)

    def ellipsoid(self, centre: ArrayLike, radii: ArrayLike, finish: Finish, segments: int = 16) -> Shape:
        """An ellipsoid with half-extents along x, y and z."""
        turn = np.linspace(-np.pi / 2, np.pi / 2, 9)
        ball = Shape().lathe(np.stack((np.cos(turn), np.sin(turn)), axis=1), finish, segments)
        return self.add_shape(ball.stretch(radii), centre)

    def prism(self, outline: ArrayLike, axis: int, low: float, high: float, finish: Finish) -> Shape:
        """A flat outline `[n, 2]` drawn out along an axis.

        The outline gives the two other coordinates in cyclic order (for axis 0: y, z; for 1: z, x; for
        2: x, y), counter-clockwise.
        """
        outline = np.asarray(outline, float)
        count = len(outline)
        points = np.zeros((2, count, 3))
        points[..., (axis + 1) % 3], points[..., (axis + 2) % 3] = outline[:, 0], outline[:, 1]
        points[0, :, axis], points[1, :, axis] = low, high
        first = self.add_points(points)
        return self._skin([first, first + count], count, finish)

    def _skin(
        self, starts: list[int], count: int, finish: Finish, closed: bool = False, caps: Finish | None = None
    ) -> Shape:
        """Walls from each ring of `count` points to the next, given by their first points; then the ends' caps."""
        for before, after in pairwise(starts + starts[:1] if closed else starts):
            self._wall(before, after, count, finish)
        if not closed:
            self._cap(starts[0], count, caps or finish, facing_back=True)
            self._cap(starts[-1], count, caps or finish)
        return self

    def _wall(self, lower: int, upper: int, count: int, finish: Finish) -> None:
        for i in range(count):
            j = (i + 1) % count
            self.add_face((lower + i, lower + j, upper + j, upper + i), finish)

    def _cap(self, first: int, count: int, finish: Finish, facing_back: bool = False) -> None:
        corners = range(first, first + count)
        self.add_face(corners[::-1] if facing_back else corners, finish)

    def stretch(self, factors: ArrayLike) -> Shape:
        """Scale all points so far along x, y and z."""
        self.points = [points * np.asarray(factors, float) for points in self.points]
        return self

    def turn(self, angle: float, axis: int = 2) -> Shape:
        """Turn all points so far about an axis through the origin, the upright one unless told, by radians."""
        first, second = (axis + 1) % 3, (axis + 2) % 3
        matrix = np.eye(3)
        matrix[first, first] = matrix[second, second] = np.cos(angle)
        matrix[first, second], matrix[second, first] = np.sin(angle), -np.sin(angle)
        self.points = [points @ matrix for points in self.points]
        return self

    def add_shape(self, other: Shape, offset: ArrayLike) -> Shape:
        """Add all of another shape, moved by an offset."""
        first = self.add_points(other.vertices() + np.asarray(offset, float))
        for corners, finish, uv in zip(other.faces, other.finishes, other.uvs, strict=True):
            self.add_face([first + corner for corner in corners], finish, uv)
        return self

    def vertices(self) -> NDArray[np.float64]:
        """All points, `[n, 3]`."""
        return np.concatenate(self.points) if self.points else np.zeros((0, 3))

    def to_mesh(self, name: str, origin: ArrayLike = (0, 0, 0)) -> bpy.types.Mesh:
        """A Blender mesh with UVs and materials, its points relative to `origin`."""
        points = self.vertices()
        mesh = bpy.data.meshes.new(name)
        mesh.from_pydata((points - np.asarray(origin, float)).tolist(), [], self.faces)
        finishes = list(dict.fromkeys(self.finishes))
        for finish in finishes:
            mesh.materials.append(finish.material)
        slot = {finish: index for index, finish in enumerate(finishes)}
        mesh.polygons.foreach_set("material_index", [slot[finish] for finish in self.finishes])
        uv = np.concatenate([self._face_uv(points, index) for index in range(len(self.faces))])
        mesh.uv_layers.new(name="UVMap").uv.foreach_set("vector", uv.astype(np.float32).ravel())
        mesh.shade_smooth()
        mesh.set_sharp_from_angle(angle=SHARP_ANGLE)
        mesh.update()
        return mesh

    def _face_uv(self, points: NDArray[np.float64], index: int) -> NDArray[np.float64]:
        own, finish = self.uvs[index], self.finishes[index]
        if own is not None:
            return own
        corners = points[list(self.faces[index])]
        rolled = np.roll(corners, -1, 0)
        normal = np.abs(np.cross(corners, rolled).sum(0))
        along = int(np.argmax(normal))
        # Upright faces keep z as v, so that grain runs up on every side of a body.
        u_axis, v_axis = ((1, 2), (0, 2), (0, 1))[along]
        uv = corners[:, (u_axis, v_axis)] / finish.tile
        return uv[:, ::-1] if finish.turned else uv


def moved(point: ArrayLike, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> NDArray[np.float64]:
    """A point moved along the axes."""
    return np.asarray(point, float) + np.array((x, y, z))


def perpendicular(direction: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two unit vectors that with `direction` form a right-handed frame (side, up, direction)."""
    axis = np.asarray(direction, float)
    axis = axis / np.linalg.norm(axis)
    helper = np.eye(3)[int(np.argmin(np.abs(axis)))]
    side = np.cross(helper, axis)
    side /= np.linalg.norm(side)
    return side, np.cross(axis, side)


def ring(
    centre: NDArray[np.float64], side: NDArray[np.float64], up: NDArray[np.float64], radius: float, segments: int
) -> NDArray[np.float64]:
    """Points of a circle `[segments, 3]`, counter-clockwise from `side` towards `up`."""
    angle = np.arange(segments) * (2 * np.pi / segments)
    return centre + radius * (np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * up)


def vessel_profile(foot: float, rim: float, height: float, wall: float) -> list[tuple[float, float]]:
    """For `Shape.lathe`: an open vessel that widens from its foot's radius to its rim's."""
    return [(foot, 0), (rim, height), (rim - wall, height), (foot - wall, wall), (0, wall)]


def arc(
    centre: ArrayLike, first: ArrayLike, second: ArrayLike, start: float, end: float, count: int
) -> NDArray[np.float64]:
    """Points `[count, 3]` of the ellipse `centre + cos·first + sin·second` between two angles in radians."""
    angle = np.linspace(start, end, count)[:, None]
    return (
        np.asarray(centre, float) + np.cos(angle) * np.asarray(first, float) + np.sin(angle) * np.asarray(second, float)
    )

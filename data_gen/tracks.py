# SPDX-License-Identifier: GPL-3.0-or-later
"""Ground-truth tracks: points on the parts' surfaces followed through a clip.

A point is a triangle of the evaluated mesh and its barycentric coordinates in it, so it follows rigid
parts, armatures and shape keys alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Vector
from numpy.typing import NDArray

from ..backend.errors import InputError
from .cameras import Lens
from .scene import set_time

# A point counts as seen when the ray from the eye meets nothing nearer than this share of the distance
# before it. Boards are thicker than that, so that their far side stays hidden.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class SurfacePoints:
    """Points fixed to surfaces.

    Attributes:
        objects: the mesh objects they lie on.
        owner: index into `objects`, int `[P]`.
        corners: vertex indices of each point's triangle, int `[P, 3]`.
        weights: barycentric coordinates, float `[P, 3]`, rows sum to 1.
        part: part ids, int16 `[P]`.
    """

    objects: tuple[bpy.types.Object, ...]
    owner: NDArray[np.intp]
    corners: NDArray[np.int32]
    weights: NDArray[np.float64]
    part: NDArray[np.int16]

    def take(self, chosen: NDArray[np.intp]) -> SurfacePoints:
        """The points with the given indices."""
        return SurfacePoints(
            self.objects, self.owner[chosen], self.corners[chosen], self.weights[chosen], self.part[chosen]
        )

    def positions(self, depsgraph: bpy.types.Depsgraph) -> NDArray[np.float64]:
        """Where the points are in the evaluated scene, `[P, 3]` in the world."""
        world = np.zeros((len(self.owner), 3))
        for index, item in enumerate(self.objects):
            mine = self.owner == index
            if not mine.any():
                continue
            evaluated = item.evaluated_get(depsgraph)
            points = world_vertices(evaluated)
            corners = self.corners[mine]
            if corners.max() >= len(points):
                raise InputError(
                    f'object "{item.name}" changes its number of vertices during the animation; '
                    "points cannot be followed on it"
                )
            world[mine] = (points[corners] * self.weights[mine][..., None]).sum(1)
        return world


@dataclass(frozen=True)
class Tracks:
    """Followed points.

    Attributes:
        xy: normalised image coordinates, float32 `[P, N, 2]`; may lie outside [0, 1].
        visible: in the frame and not covered, bool `[P, N]`.
        part: part ids, int16 `[P]`.
    """

    xy: NDArray[np.float32]
    visible: NDArray[np.bool_]
    part: NDArray[np.int16]


def vertex_positions(mesh: bpy.types.Mesh) -> NDArray[np.float64]:
    """A mesh's vertices, `[n, 3]` in the object's own space."""
    points = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", points)
    return points.reshape(-1, 3).astype(np.float64)


def world_vertices(evaluated: bpy.types.Object) -> NDArray[np.float64]:
    """An evaluated object's vertices in the world, `[n, 3]`."""
    matrix = np.array(evaluated.matrix_world)
    return vertex_positions(evaluated.data) @ matrix[:3, :3].T + matrix[:3, 3]


def triangles(mesh: bpy.types.Mesh) -> NDArray[np.int32]:
    """A mesh's triangles as vertex indices, `[n, 3]`."""
    mesh.calc_loop_triangles()
    corners = np.empty(len(mesh.loop_triangles) * 3, np.int32)
    mesh.loop_triangles.foreach_get("vertices", corners)
    return corners.reshape(-1, 3)


def sample_surface(
    parts: Sequence[tuple[bpy.types.Object, int]],
    shares: NDArray[np.float64],
    count: int,
    rng: np.random.Generator,
    depsgraph: bpy.types.Depsgraph,
) -> SurfacePoints:
    """Sample points evenly by area on each part.

    Args:
        parts: mesh objects with their part ids.
        shares: how the points are shared out among the parts, `[len(parts)]`, any positive scale.
        count: number of points.
        rng: decides everything random.
        depsgraph: the scene evaluated at the moment the area counts.
    """
    owner = np.sort(rng.choice(len(parts), size=count, p=shares / shares.sum()))
    corners = np.zeros((count, 3), np.int32)
    weights = np.zeros((count, 3))
    for index, (item, _) in enumerate(parts):
        mine = np.flatnonzero(owner == index)
        if not len(mine):
            continue
        evaluated = item.evaluated_get(depsgraph)
        faces = triangles(evaluated.data)
        area = triangle_areas(evaluated, faces)
        corners[mine] = faces[rng.choice(len(faces), size=len(mine), p=area / area.sum())]
        weights[mine] = random_barycentric(rng, len(mine))
    part = np.array([part_id for _, part_id in parts], np.int16)[owner]
    return SurfacePoints(tuple(item for item, _ in parts), owner, corners, weights, part)


def triangle_areas(evaluated: bpy.types.Object, faces: NDArray[np.int32]) -> NDArray[np.float64]:
    """Areas of an evaluated object's triangles in the world, `[n]`."""
    a, b, c = np.moveaxis(world_vertices(evaluated)[faces], 1, 0)
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def random_barycentric(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Barycentric coordinates evenly spread over a triangle, `[count, 3]`."""
    root, along = np.sqrt(rng.random(count)), rng.random(count)
    return np.stack((1 - root, root * (1 - along), root * along), axis=1)


def follow(points: SurfacePoints, scene: bpy.types.Scene, times: Sequence[float]) -> Tracks:
    """Track points through the frames at `times` (frame numbers, may lie between whole ones)."""
    count = len(points.owner)
    xy = np.zeros((count, len(times), 2), np.float32)
    visible = np.zeros((count, len(times)), bool)
    for column, time in enumerate(times):
        set_time(scene, time)
        depsgraph = bpy.context.evaluated_depsgraph_get()
        lens = Lens.of(scene, depsgraph)
        world = points.positions(depsgraph)
        image, in_front = lens.project(world)
        xy[:, column] = image
        on_screen = in_front & ((image >= 0) & (image <= 1)).all(1)
        visible[on_screen, column] = unobstructed(scene, depsgraph, lens.eye, world[on_screen])
    return Tracks(xy, visible, points.part)


def unobstructed(
    scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph, eye: NDArray[np.float64], world: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which world points `[n, 3]` the eye sees, by casting a ray to each; bool `[n]`."""
    away = world - eye
    distance = np.linalg.norm(away, axis=1)
    directions = away / distance[:, None]
    origin = Vector(eye)
    seen = np.zeros(len(world), bool)
    reach = distance * (1 - TOLERANCE)
    for index, (direction, limit) in enumerate(zip(directions.tolist(), reach.tolist(), strict=True)):
        hit = scene.ray_cast(depsgraph, origin, Vector(direction), distance=limit)[0]
        seen[index] = not hit
    return seen

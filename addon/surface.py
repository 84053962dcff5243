# SPDX-License-Identifier: GPL-3.0-or-later
"""Points on surfaces: found by a ray, kept as triangle and barycentric coordinates, found again when the mesh moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from bpy.types import Depsgraph, Mesh, Object, Scene
from mathutils import Matrix, Vector
from numpy.typing import NDArray

from . import heavy_ray
from .projection import Ray

# A ray that passes what it must not see goes on this far behind it, as a part of its length.
STEP = 1e-6
MOST_LAYERS = 64
OUTSIDE = 0.05  # barycentric weight below zero by which a hit is on another surface, not just rounded


@dataclass(frozen=True)
class SurfacePoint:
    """A point in a triangle of an object's evaluated mesh, or in that of a copy which the object makes.

    Attributes:
        object: the original object; for a copy the one that makes it, e.g. a collection's instance.
        triangle: index among the evaluated mesh's triangles.
        triangles: how many of them there are: another number means another mesh.
        weights: barycentric coordinates.
        copy: Blender's persistent id of the copy among those of the object; empty for the object's own surface.
    """

    object: Object
    triangle: int
    triangles: int
    weights: tuple[float, float, float]
    copy: tuple[int, ...] = ()


@dataclass(frozen=True)
class Hit:
    """Where a ray meets what the camera sees: world position `[3]`, object, face, distance from the ray's origin.

    The surface may be a copy of the object's, by Geometry Nodes or a collection instance: `matrix` `[4, 4]` takes it to
    the world.
    """

    place: NDArray[np.float64]
    object: Object
    face: int
    distance: float
    matrix: NDArray[np.float64]


def first_hit(
    scene: Scene, depsgraph: Depsgraph, ray: Ray, ignored: Callable[[Object], bool] = lambda candidate: False
) -> Hit | None:
    """What the ray meets first; objects hidden from renders, and the ignored ones, let it through.

    Args:
        scene: the scene to look in.
        depsgraph: its evaluated state.
        ray: in world space.
        ignored: says of an original object whether to look through it.
    """
    if heavy_ray.meets_heavy(depsgraph, ray.origin, ray.direction):
        return _first_crossing(depsgraph, ray, ignored)
    travelled, step = 0.0, ray.length * STEP
    for _ in range(MOST_LAYERS):
        origin = ray.origin + ray.direction * travelled
        found, place, _normal, face, hit, matrix = scene.ray_cast(
            depsgraph, Vector(origin), Vector(ray.direction), distance=ray.length - travelled
        )
        if not found:
            return None
        place = np.array(place, dtype=np.float64)
        travelled = float(np.linalg.norm(place - ray.origin))
        original = hit.original
        if not (original.hide_render or ignored(original)):
            return Hit(place, original, face, travelled, np.array(matrix, dtype=np.float64))
        travelled += step
        if travelled >= ray.length:
            return None
    return None


def _first_crossing(depsgraph: Depsgraph, ray: Ray, ignored: Callable[[Object], bool]) -> Hit | None:
    """What `first_hit` gives, without Blender's tree."""
    for crossing in heavy_ray.crossings(depsgraph, ray.origin, ray.direction, evaluated_mesh):
        if crossing.distance > ray.length:
            return None
        if not (crossing.object.hide_render or ignored(crossing.object)):
            place = ray.origin + ray.direction * crossing.distance
            return Hit(place, crossing.object, crossing.face, crossing.distance, crossing.matrix)
    return None


def surface_point(depsgraph: Depsgraph, hit: Hit) -> SurfacePoint | None:
    """The hit as a point that moves with its mesh; None where it cannot."""
    if hit.face < 0:
        return None
    evaluated = hit.object.evaluated_get(depsgraph)
    # An object whose collection is only instanced is in no view layer: what was hit is a copy.
    own = hit.object.visible_get(view_layer=depsgraph.view_layer) and _same(evaluated.matrix_world, hit.matrix)
    if own and (found := _point_on(evaluated, hit)):
        return SurfacePoint(hit.object, *found)
    for instance in depsgraph.object_instances:
        if not (instance.is_instance and instance.object.original == hit.object):
            continue
        if _same(instance.matrix_world, hit.matrix) and (found := _point_on(instance.object, hit)):
            return SurfacePoint(instance.parent.original, *found, tuple(instance.persistent_id))
    return None


def world_place(depsgraph: Depsgraph, point: SurfacePoint) -> NDArray[np.float64] | None:
    """Where the point is now, `[3]` in world space; None if its mesh has other triangles, or its copy is gone."""
    if not point.copy:
        evaluated = point.object.evaluated_get(depsgraph)
        return _place_on(evaluated, evaluated.matrix_world, point)
    for instance in depsgraph.object_instances:
        if (
            instance.is_instance
            and instance.parent.original == point.object
            and tuple(instance.persistent_id) == point.copy
        ):
            return _place_on(instance.object, instance.matrix_world, point)
    return None


def _point_on(evaluated: Object, hit: Hit) -> tuple[int, int, tuple[float, float, float]] | None:
    """Triangle, number of triangles and weights of a hit on an evaluated object; None if it is not on that."""
    with evaluated_mesh(evaluated) as mesh:
        if mesh is None or hit.face >= len(mesh.polygons):
            return None
        world_to_object = np.linalg.inv(hit.matrix)
        place = world_to_object[:3, :3] @ hit.place + world_to_object[:3, 3]
        polygon = mesh.polygons[hit.face]
        # Triangles stand in the order of their faces, two fewer than corners for each.
        first = polygon.loop_start - 2 * hit.face
        candidates = range(first, first + polygon.loop_total - 2)
        weights = [barycentric(place, _corners(mesh, index)) for index in candidates]
        inside = max(range(len(weights)), key=lambda index: weights[index].min())
        if weights[inside].min() < -OUTSIDE:
            return None
        return candidates[inside], len(mesh.loop_triangles), tuple(weights[inside].tolist())


def _place_on(evaluated: Object, matrix: Matrix, point: SurfacePoint) -> NDArray[np.float64] | None:
    with evaluated_mesh(evaluated, point.triangles) as mesh:
        if mesh is None or len(mesh.loop_triangles) != point.triangles or not 0 <= point.triangle < point.triangles:
            return None
        place = np.array(point.weights) @ _corners(mesh, point.triangle)
    to_world = np.array(matrix, dtype=np.float64)
    return to_world[:3, :3] @ place + to_world[:3, 3]


def _same(matrix: Matrix, other: NDArray[np.float64]) -> bool:
    return bool(np.allclose(np.array(matrix), other, atol=1e-4))


def barycentric(place: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Barycentric coordinates `[3]` of the foot of `place` `[3]` on the plane of a triangle `[3, 3]`.

    A triangle without area gives its first corner.
    """
    edges = corners[1:] - corners[0]
    gram = edges @ edges.T
    determinant = gram[0, 0] * gram[1, 1] - gram[0, 1] ** 2
    if determinant <= 1e-18 * max(gram[0, 0] * gram[1, 1], 1e-30):
        return np.array([1.0, 0.0, 0.0])
    second, third = np.linalg.solve(gram, edges @ (place - corners[0]))
    return np.array([1.0 - second - third, second, third])


@contextmanager
def evaluated_mesh(evaluated: Object, triangles: int = -1) -> Iterator[Mesh | None]:
    """An evaluated object's surface as a mesh, for the length of the block; None for what has none.

    Args:
        evaluated: the object.
        triangles: how many are expected: a mesh that has them is taken as it is, which costs nothing. Otherwise a
            copy is made, which has the faces of subdivision on the GPU too.
    """
    if evaluated.type == "MESH" and len(evaluated.data.loop_triangles) == triangles:
        yield evaluated.data
        return
    try:
        mesh = evaluated.to_mesh()
    except RuntimeError:  # empties, lights, armatures
        yield None
        return
    try:
        if mesh is not None:
            mesh.calc_loop_triangles()
        yield mesh
    finally:
        evaluated.to_mesh_clear()


def _corners(mesh: Mesh, triangle: int) -> NDArray[np.float64]:
    return np.array([mesh.vertices[index].co for index in mesh.loop_triangles[triangle].vertices], dtype=np.float64)

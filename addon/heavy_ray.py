# SPDX-License-Identifier: GPL-3.0-or-later
"""A ray through scenes with heavy meshes, without the tree that Blender builds for one.

`Scene.ray_cast` sorts a mesh into a tree before its first ray, which holds the window: 0.1 s and more for
330,000 triangles, again after each deformation. One ray needs no tree: every face is looked at once, by numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
from bpy.types import Attribute, Depsgraph, Mesh, Object
from numpy.typing import NDArray

HEAVY = 50_000  # triangles from which a tree takes longer than looking at all of them
Vectors = NDArray[np.float64]


class Crossing(NamedTuple):
    """Where a ray meets a surface: distance from its origin, the original object, its face, the surface's matrix."""

    distance: float
    object: Object
    face: int
    matrix: Vectors


def meets_heavy(depsgraph: Depsgraph, origin: Vectors, direction: Vectors) -> bool:
    """Whether the ray enters the bounds of a mesh for which Blender would build a large tree.

    Args:
        depsgraph: the scene's evaluated state.
        origin, direction: of the ray in world space, `[3]`.
    """
    for item in depsgraph.objects:
        if item.type == "MESH" and len(item.data.polygons) >= HEAVY / 2:
            local = _in_space_of(np.array(item.matrix_world, dtype=np.float64), origin, direction)
            if local is not None and _enters(np.array(item.bound_box), *local):
                return True
    return False


def crossings(
    depsgraph: Depsgraph,
    origin: Vectors,
    direction: Vectors,
    mesh_of: Callable[[Object], AbstractContextManager[Mesh | None]],
) -> list[Crossing]:
    """The first crossing of a ray with each object and each copy in the scene, the nearest first.

    Args:
        depsgraph: the scene's evaluated state.
        origin, direction: of the ray in world space, `[3]`; the direction has length 1.
        mesh_of: gives an evaluated object's surface.
    """
    found = []
    for instance in depsgraph.object_instances:
        if not (instance.show_self or instance.is_instance):
            continue
        item, matrix = instance.object, np.array(instance.matrix_world, dtype=np.float64)
        local = _in_space_of(matrix, origin, direction)
        if local is None or not _enters(np.array(item.bound_box), *local):
            continue
        with mesh_of(item) as mesh:
            met = None if mesh is None else _first_face(mesh, *local)
        if met is not None:
            found.append(Crossing(met[0], item.original, met[1], matrix))
    return sorted(found, key=lambda crossing: crossing.distance)


def _in_space_of(matrix: Vectors, origin: Vectors, direction: Vectors) -> tuple[Vectors, Vectors] | None:
    """The ray in an object's own space, where distances along it stay those of the world."""
    try:
        to_local = np.linalg.inv(matrix)
    except np.linalg.LinAlgError:  # scaled to nothing
        return None
    return to_local[:3, :3] @ origin + to_local[:3, 3], to_local[:3, :3] @ direction


def _enters(corners: Vectors, origin: Vectors, direction: Vectors) -> bool:
    """Whether a ray meets the box about `corners` `[8, 3]`."""
    low, high = corners.min(axis=0) - 1e-6, corners.max(axis=0) + 1e-6
    with np.errstate(divide="ignore", invalid="ignore"):
        ways = np.stack([(low - origin) / direction, (high - origin) / direction])
    ways = np.where(np.isnan(ways), [[-np.inf], [np.inf]], ways)  # along a side, on it
    return bool(max(ways.min(axis=0).max(), 0.0) <= ways.max(axis=0).min())


def _first_face(mesh: Mesh, origin: Vectors, direction: Vectors) -> tuple[float, int] | None:
    """Distance and number of the first face on the ray."""
    if not len(mesh.polygons):
        return None
    places = _read(mesh.attributes["position"], "vector", 3 * len(mesh.vertices), np.float32).reshape(-1, 3)
    corners = _read(mesh.attributes[".corner_vert"], "value", len(mesh.loops), np.int32)
    begins = np.empty(len(mesh.polygons), dtype=np.int32)
    mesh.polygons.foreach_get("loop_start", begins)
    # In a plane across the ray, which is its point (0, 0) there: most faces have all corners on one side of it.
    x, y = ((places - origin.astype(np.float32)) @ _across(direction).astype(np.float32)).T
    sides = ((x > 0) * 1 | (x < 0) * 2 | (y > 0) * 4 | (y < 0) * 8).astype(np.uint8)
    best: tuple[float, int] | None = None
    for face in np.flatnonzero(np.bitwise_and.reduceat(sides[corners], begins) == 0).tolist():
        first, count = int(begins[face]) - 2 * face, mesh.polygons[face].loop_total - 2
        triangles = [mesh.loop_triangles[index].vertices[:] for index in range(first, first + count)]
        distance = float(_distances(places[triangles].astype(np.float64), origin, direction).min())
        if np.isfinite(distance) and (best is None or distance < best[0]):
            best = distance, face
    return best


def _read(attribute: Attribute, name: str, count: int, kind: type) -> NDArray[np.generic]:
    """A mesh's attribute, which Blender copies as a whole; vertices and corners are given one by one."""
    values = np.empty(count, dtype=kind)
    attribute.data.foreach_get(name, values)
    return values


def _across(direction: Vectors) -> Vectors:
    """Two directions across a third, `[3, 2]`."""
    helper = np.eye(3)[np.argmin(np.abs(direction))]
    first = np.cross(direction, helper)
    second = np.cross(direction, first)
    return np.stack([first / np.linalg.norm(first), second / np.linalg.norm(second)], axis=1)


def _distances(triangles: Vectors, origin: Vectors, direction: Vectors) -> Vectors:
    """Where along a ray triangles `[N, 3, 3]` lie, `[N]`; infinite for those beside it or behind (Möller, Trumbore)."""
    first, second = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    normal = np.cross(direction, second)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1.0 / np.einsum("ij,ij->i", first, normal)
        begin = origin - triangles[:, 0]
        u = np.einsum("ij,ij->i", begin, normal) * inverse
        turned = np.cross(begin, first)
        v = turned @ direction * inverse
        way = np.einsum("ij,ij->i", second, turned) * inverse
        inside = (u >= -1e-6) & (v >= -1e-6) & (u + v <= 1.0 + 1e-6) & (way >= 0.0)
    return np.where(inside, way, np.inf)

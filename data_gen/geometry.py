# SPDX-License-Identifier: GPL-3.0-or-later
"""What is rendered, as plain numbers: the triangles of everything visible, in the world, at one moment.

Meshes come as modifiers, armatures and shape keys leave them; curves, texts and metaballs as the meshes they turn
into; instances (of collections, geometry nodes, particles) one by one.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import bpy
import numpy as np
from numpy.typing import NDArray

_NO_ID = 2**31 - 1  # what Blender fills unused levels of an instance's id with


@dataclass(frozen=True)
class Surface:
    """A mesh in its own space, without the vertices that no face uses.

    Attributes:
        vertices: float32 `[V, 3]`.
        triangles: int32 `[T, 3]`, indices into `vertices`.
        topology: equal for two meshes whose points correspond: vertex count, face count, checksum of the faces.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    topology: tuple[int, int, int]

    @classmethod
    def of(cls, mesh: bpy.types.Mesh, like: Surface | None = None) -> Surface:
        """Read a mesh; where it corresponds to `like`, that one's triangles are taken over.

        Blender may split a bending quad along its other diagonal; keeping the first split keeps points in place.
        """
        vertices = _read(mesh, "position", "vector", 3 * len(mesh.vertices)).reshape(-1, 3)
        corners = _read(mesh, ".corner_vert", "value", len(mesh.loops), np.int32)
        topology = (len(vertices), len(mesh.polygons), zlib.crc32(corners))
        used = np.zeros(len(vertices), bool)
        used[corners] = True
        whole = bool(used.all())
        if like is not None and like.topology == topology:
            triangles = like.triangles
        else:
            triangles = _triangulate(mesh, corners)
            if not whole:
                triangles = (np.cumsum(used, dtype=np.int32) - 1)[triangles]
        return cls(vertices if whole else vertices[used], triangles, topology)

    def wound(self, matrix: NDArray[np.float64]) -> NDArray[np.int32]:
        """The triangles, turned round where the transform mirrors, so that their normals keep pointing outwards."""
        return self.triangles[:, ::-1] if np.linalg.det(matrix[:3, :3]) < 0 else self.triangles

    def placed(self, matrix: NDArray[np.float64]) -> NDArray[np.float32]:
        """The vertices after a transform `[4, 4]`, computed in double precision, float32 `[V, 3]`."""
        return (self.vertices.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)


@dataclass(frozen=True)
class Geometry:
    """The rendered triangles at one moment.

    Attributes:
        vertices: in the world, float32 `[V, 3]`.
        triangles: indices into `vertices`, int32 `[T, 3]`.
        owner: which of `names` each triangle belongs to, int32 `[T]`.
        names: one per item, that is an object or an instance of one; an item keeps its name over time.
        vertex_owner: which of `names` each vertex belongs to, int32 `[V]`.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    owner: NDArray[np.int32]
    names: tuple[str, ...]
    vertex_owner: NDArray[np.int32]

    @classmethod
    def of(cls, objects: Sequence[bpy.types.Object] | None, depsgraph: bpy.types.Depsgraph) -> Geometry:
        """Read the evaluated scene.

        Args:
            objects: whose surfaces, with what they instance; None for everything that is rendered.
            depsgraph: the evaluated scene.
        """
        items = [(name, surface.placed(m), surface.wound(m)) for name, surface, m in seen(objects, depsgraph)]
        return cls.join([item[0] for item in items], [item[1] for item in items], [item[2] for item in items])

    @classmethod
    def join(
        cls, names: Sequence[str], vertices: Sequence[NDArray[np.float32]], triangles: Sequence[NDArray[np.int32]]
    ) -> Geometry:
        """Put items together: of each its name, its vertices `[v, 3]` and its triangles `[t, 3]`."""
        sizes, faces = [len(points) for points in vertices], [len(corners) for corners in triangles]
        starts = np.cumsum([0, *sizes])
        order = np.arange(len(names), dtype=np.int32)
        return cls(
            vertices=np.concatenate([np.zeros((0, 3), np.float32), *vertices]),
            triangles=np.concatenate(
                [np.zeros((0, 3), np.int32)]
                + [corners + np.int32(start) for corners, start in zip(triangles, starts[:-1], strict=True)]
            ),
            owner=np.repeat(order, faces),
            names=tuple(names),
            vertex_owner=np.repeat(order, sizes),
        )


def seen(
    objects: Sequence[bpy.types.Object] | None,
    depsgraph: bpy.types.Depsgraph,
    known: dict[str, Surface] | None = None,
) -> Iterator[tuple[str, Surface, NDArray[np.float64]]]:
    """Every item that is rendered and has faces: its name, its surface, its transform to the world `[4, 4]`.

    Args:
        objects: as for `Geometry.of`.
        depsgraph: the evaluated scene.
        known: surfaces of items seen before, so that their triangles need not be found anew.
    """
    wanted = None if objects is None else {item.original for item in objects}
    rendered = _rendered(depsgraph)
    known = known or {}
    read: dict[int, Surface] = {}  # instances share their mesh
    names: set[str] = set()
    for instance in depsgraph.object_instances:
        item, maker = instance.object, instance.parent if instance.is_instance else None
        if item.type != "MESH" or not _shows(instance, rendered, depsgraph.scene):
            continue
        if wanted is not None and not wanted & {item.original, maker.original if maker else None}:
            continue
        name = _unique(_name(instance), names)
        mesh = item.data
        surface = read.get(mesh.as_pointer())
        if surface is None:
            surface = read[mesh.as_pointer()] = Surface.of(mesh, known.get(name))
        if len(surface.triangles):
            yield name, surface, np.array(instance.matrix_world, np.float64)


def _read(
    mesh: bpy.types.Mesh, attribute: str, field: str, size: int, kind: type[np.generic] = np.float32
) -> NDArray[np.generic]:
    """A mesh's attribute as a flat array. Far faster than the same through `mesh.vertices` and `mesh.loops`."""
    values = np.empty(size, kind)
    if size:
        mesh.attributes[attribute].data.foreach_get(field, values)
    return values


def _triangulate(mesh: bpy.types.Mesh, corners: NDArray[np.int32]) -> NDArray[np.int32]:
    """A mesh's triangles as vertex indices, `[T, 3]`."""
    if len(corners) == 3 * len(mesh.polygons):  # nothing but triangles
        return corners.reshape(-1, 3)
    mesh.calc_loop_triangles()
    loops = np.empty(3 * len(mesh.loop_triangles), np.int32)
    mesh.loop_triangles.foreach_get("loops", loops)
    return corners[loops].reshape(-1, 3)


def _rendered(depsgraph: bpy.types.Depsgraph) -> set[bpy.types.Object]:
    """Objects that lie in a collection which is rendered."""
    found: set[bpy.types.Object] = set()
    waiting = [depsgraph.view_layer.layer_collection]
    while waiting:
        layer = waiting.pop()
        if layer.exclude or layer.collection.hide_render:
            continue
        found.update(item.original for item in layer.collection.objects)
        waiting += layer.children
    return found


def _shows(
    instance: bpy.types.DepsgraphObjectInstance, rendered: set[bpy.types.Object], scene: bpy.types.Scene
) -> bool:
    """Whether the camera sees an instance when the scene is rendered."""
    item = instance.object
    bearer = instance.parent if instance.is_instance else item  # the object that the scene itself holds
    if item.hide_render or bearer.hide_render or bearer.original not in rendered:
        return False
    if not instance.is_instance and item.is_instancer and not item.show_instancer_for_render:
        return False
    return item.visible_camera or scene.render.engine == "BLENDER_WORKBENCH"  # which shows those as well


def _name(instance: bpy.types.DepsgraphObjectInstance) -> str:
    """An item's name: the object's, and for an instance who makes it and its number there."""
    own = instance.object.name_full
    if not instance.is_instance or instance.parent.original == instance.object.original:
        return own
    number = ".".join(str(level) for level in instance.persistent_id if level != _NO_ID)
    return f"{instance.parent.name_full}/{own}/{number}"


def _unique(name: str, taken: set[str]) -> str:
    """The name, with a number where it is taken."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}~{number}"
    taken.add(free)
    return free

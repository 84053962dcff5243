# SPDX-License-Identifier: GPL-3.0-or-later
"""How large a scene is and where, whether all of it is finite, and bringing extreme ones near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from ..geometry import Geometry
from ..reasons import Rejection
from ..scene import set_time

FARTHEST = 1e3  # sizes that the middle may be away from the origin: single precision leaves 1/10,000 of the size there
SMALLEST, LARGEST = 1e-3, 1e4  # sizes within which cameras' clipping and lights' falloff work as they should
_NO_AREA = 1e-12  # of the square of the size
_A_FEW = 10_000  # triangles
_ANCHOR = "puppet_master_anchor"


@dataclass(frozen=True)
class Extent:
    """The box that everything seen lies in.

    Attributes:
        low, high: its corners, float64 `[3]`.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @property
    def centre(self) -> NDArray[np.float64]:
        """The box's middle, `[3]`."""
        return (self.low + self.high) / 2

    @property
    def size(self) -> float:
        """The box's longest side."""
        return float((self.high - self.low).max())

    @property
    def is_extreme(self) -> bool:
        """Whether it is so small, large or far away that images and positions would suffer."""
        away = float(np.linalg.norm(self.centre)) / self.size
        return away > FARTHEST or not SMALLEST <= self.size <= LARGEST


def count_triangles(objects: Sequence[bpy.types.Object]) -> tuple[int, int]:
    """Vertices and triangles of what objects show, with what they instance, without reading them."""
    wanted = set(objects)
    vertices = triangles = 0
    for instance in bpy.context.evaluated_depsgraph_get().object_instances:
        maker = instance.parent.original if instance.is_instance else instance.object.original
        if instance.object.type == "MESH" and maker in wanted:
            mesh = instance.object.data
            vertices += len(mesh.vertices)
            triangles += len(mesh.loops) - 2 * len(mesh.polygons)
    return vertices, triangles


def measure(scene: bpy.types.Scene, objects: Sequence[bpy.types.Object], times: Sequence[float]) -> Extent:
    """The box of what is seen at some moments.

    Raises:
        Rejection: positions that are not finite, or no surface at any of them.
    """
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    has_surface = False
    for time in times:
        set_time(scene, time)
        shown = Geometry.of(objects, bpy.context.evaluated_depsgraph_get())
        _refuse_infinite(shown, time)
        if len(shown.vertices):
            low = np.minimum(low, shown.vertices.min(0))
            high = np.maximum(high, shown.vertices.max(0))
            has_surface = has_surface or _has_area(shown)
    if not has_surface:
        raise Rejection("degenerate geometry", f"nothing has a surface at the frames {_words(times)}")
    return Extent(low.astype(np.float64), high.astype(np.float64))


def _refuse_infinite(shown: Geometry, time: float) -> None:
    finite = np.isfinite(shown.vertices).all(1)
    if not finite.all():
        name = shown.names[int(shown.vertex_owner[np.flatnonzero(~finite)[0]])]
        raise Rejection("degenerate geometry", f'"{name}" has positions that are not finite at frame {time:g}')


def _has_area(shown: Geometry) -> bool:
    """Whether some triangle is more than a line."""
    size = float((shown.vertices.max(0) - shown.vertices.min(0)).max())
    if not size:
        return False
    # A few of very many triangles nearly always tell.
    some = shown.triangles[:: max(1, len(shown.triangles) // _A_FEW)]
    return any(_largest_area(shown.vertices, triangles, size) > _NO_AREA for triangles in (some, shown.triangles))


def _largest_area(vertices: NDArray[np.float32], triangles: NDArray[np.int32], size: float) -> float:
    """The largest triangle's area, as a share of the square of `size`."""
    corners = vertices[triangles].astype(np.float64) / size
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return float(np.linalg.norm(normals, axis=1).max(initial=0.0)) / 2


def _words(times: Sequence[float]) -> str:
    return ", ".join(f"{time:g}" for time in times)


def bring_near(scene: bpy.types.Scene, extent: Extent) -> dict[str, Any]:
    """Scale and move everything so that it fills a unit cube about the origin, by a parent of all that has none.

    Gives what the metadata say of it.
    """
    anchor = bpy.data.objects.get(_ANCHOR)
    if anchor is None:
        anchor = bpy.data.objects.new(_ANCHOR, None)
        scene.collection.objects.link(anchor)
        for item in list(scene.objects):
            if item.parent is None and item is not anchor:
                item.parent = anchor
    anchor.matrix_world = Matrix.Scale(1 / extent.size, 4) @ Matrix.Translation((-extent.centre).tolist())
    return {"scale": 1 / extent.size, "centre": extent.centre.tolist()}


def leave_in_place() -> None:
    """Undo `bring_near`."""
    anchor = bpy.data.objects.get(_ANCHOR)
    if anchor is not None:
        anchor.matrix_world = Matrix.Identity(4)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Drags from motion that is in the scene already: bones, objects and vertices followed over a range of frames.

The paths are what the scene's camera sees, sampled evenly over the range, which becomes the preview's clip, and thinned
out to as few points as keep to the motion. What lies behind something else at the first frame is marked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from bpy.types import Depsgraph, Object, PropertyGroup, Scene
from numpy.typing import NDArray

from ..backend.errors import InputError
from ..backend.protocol import Drag, DragPoint
from . import anchors, handles, scene_settings, still_status, surface
from .fewest_points import fewest_points
from .surface import Hit, evaluated_mesh

MOST_SOURCES = 64
MOST_FRAMES = 500  # a longer range is looked at on the preview's frames alone
# A hit nearer than this part of the distance to the point itself lies before it.
BEFORE = 1e-3
MOVES = 0.05  # a bone moves a face whose corners it has more weight on than this
# Modifiers that keep a mesh's vertices, or put new ones after them.
KEEPING = frozenset({
    "ARMATURE", "CAST", "CORRECTIVE_SMOOTH", "CURVE", "DATA_TRANSFER", "DISPLACE", "HOOK", "LAPLACIANDEFORM",
    "LAPLACIANSMOOTH", "LATTICE", "MESH_CACHE", "MESH_DEFORM", "MULTIRES", "NORMAL_EDIT", "SHRINKWRAP", "SIMPLE_DEFORM",
    "SMOOTH", "SOFT_BODY", "CLOTH", "SUBSURF", "SURFACE_DEFORM", "UV_PROJECT", "UV_WARP", "WARP", "WAVE",
    "WEIGHTED_NORMAL", "VERTEX_WEIGHT_EDIT", "VERTEX_WEIGHT_MIX", "VERTEX_WEIGHT_PROXIMITY", "COLLISION",
})  # fmt: skip


@dataclass(frozen=True)
class Source:
    """Points that move together in one object.

    Attributes:
        names: one for each point; the drags get them.
        places: their world positions `[K, 3]` in an evaluated scene.
        covers: says of point k and what lies before it whether that hides it.
    """

    names: tuple[str, ...]
    places: Callable[[Depsgraph], NDArray[np.float64]]
    covers: Callable[[Depsgraph, int, Hit], bool]


def object_source(candidate: Object) -> Source:
    """An object's origin. Its own surface and its children's do not hide it."""
    family = {candidate, *candidate.children_recursive}

    def places(depsgraph: Depsgraph) -> NDArray[np.float64]:
        return np.array([candidate.evaluated_get(depsgraph).matrix_world.translation], dtype=np.float64)

    return Source((candidate.name,), places, lambda depsgraph, index, hit: hit.object not in family)


def bone_source(armature: Object, bone: str, part: str = "TAIL") -> Source:
    """A point of a pose bone. Surfaces that the bone moves do not hide it.

    Raises:
        InputError: the object has no such bone.
    """
    if armature.type != "ARMATURE" or bone not in armature.pose.bones:
        raise InputError(f'"{armature.name}" has no bone "{bone}"')

    def places(depsgraph: Depsgraph) -> NDArray[np.float64]:
        evaluated = armature.evaluated_get(depsgraph)
        posed = evaluated.pose.bones[bone]
        local = {"HEAD": posed.head, "TAIL": posed.tail, "MIDDLE": (posed.head + posed.tail) / 2}[part]
        return np.array([evaluated.matrix_world @ local], dtype=np.float64)

    return Source((bone,), places, lambda depsgraph, index, hit: not _moved_by(depsgraph, hit, armature, bone))


def vertex_source(candidate: Object, indices: tuple[int, ...]) -> Source:
    """Vertices of a mesh, as its modifiers leave them.

    Raises:
        InputError: no mesh, no such vertex, or a modifier that makes other vertices.
    """
    if candidate.type != "MESH":
        raise InputError(f'"{candidate.name}" is no mesh; select one, or choose another source')
    count = len(candidate.data.vertices)
    for index in indices:
        if not 0 <= index < count:
            raise InputError(f'mesh "{candidate.name}" has no vertex {index}; it has {count}')
    for modifier in candidate.modifiers:
        if modifier.show_viewport and modifier.type not in KEEPING:
            raise InputError(
                f'modifier "{modifier.name}" of "{candidate.name}" makes other vertices: hide it in viewports, '
                "or put an empty on the surface"
            )

    def places(depsgraph: Depsgraph) -> NDArray[np.float64]:
        evaluated = candidate.evaluated_get(depsgraph)
        with evaluated_mesh(evaluated) as mesh:
            if mesh is None or len(mesh.vertices) < count:
                raise InputError(f'"{candidate.name}" has fewer vertices when evaluated; hide its modifiers')
            local = np.array([mesh.vertices[index].co for index in indices], dtype=np.float64)
        matrix = np.array(evaluated.matrix_world, dtype=np.float64)
        return local @ matrix[:3, :3].T + matrix[:3, 3]

    names = tuple(f"{candidate.name} {index}" for index in indices)
    return Source(names, places, lambda depsgraph, index, hit: True)


class Recording:
    """Follows sources over a range of frames, one frame at a time.

    `steps` does the work; between two of its values the window may live. It leaves the scene at the first frame, which
    is the still's; `cancel` puts it back where it was.

    Args:
        scene: the scene, which has a camera.
        sources: what to follow.
        start, end: first and last frame, clip time 0 and 1.
        times: when to take positions, in clip time: rising from 0 to 1.

    Raises:
        InputError: nothing or too much to follow, an empty range, no camera or a panoramic one.
    """

    def __init__(
        self, scene: Scene, sources: list[Source], start: int, end: int, times: NDArray[np.float64]
    ) -> None:
        self.names = [name for source in sources for name in source.names]
        if not self.names:
            raise InputError("nothing is selected to make drags from")
        if len(self.names) > MOST_SOURCES:
            raise InputError(f"{len(self.names)} points are selected; at most {MOST_SOURCES} drags are made at once")
        if end <= start:
            raise InputError(f"the motion's end, frame {end}, must come after its start, frame {start}")
        if scene.puppet_master.still_source == still_status.IMAGE:
            raise InputError("the still is an image, which shows no motion of the scene; choose the source Camera")
        self._shares = still_status.view_of(scene).shares
        self._scene, self._sources = scene, sources
        self._times, self._frames = times, start + times * (end - start)
        self._before = scene.frame_current, scene.frame_subframe
        self.positions = np.full((len(self.names), len(self._frames), 2), np.nan)
        self.hidden = [False] * len(self.names)

    def steps(self) -> Iterator[float]:
        """Take the positions; yields how much is done, 0 to 1, after each frame."""
        for number, frame in enumerate(self._frames):
            self._go_to(frame)
            depsgraph = still_status.depsgraph_of(self._scene)
            view = still_status.view_of(self._scene, depsgraph)
            places = np.concatenate([source.places(depsgraph) for source in self._sources])
            self.positions[:, number] = view.project(places)[0]
            if number == 0:
                self._look_at(depsgraph, view, places)
            yield (number + 1) / len(self._frames)
        self._go_to(self._frames[0])

    def cancel(self) -> None:
        """Put the scene's frame back."""
        self._scene.frame_set(self._before[0], subframe=self._before[1])

    def _go_to(self, frame: float) -> None:
        whole = int(np.floor(frame))
        self._scene.frame_set(whole, subframe=float(frame - whole))

    def _look_at(self, depsgraph: Depsgraph, view: object, places: NDArray[np.float64]) -> None:
        """Find out which points lie behind something."""
        owners = [(source, index) for source in self._sources for index in range(len(source.names))]
        for number, (source, index) in enumerate(owners):
            position = self.positions[number, 0]
            if not np.all(np.isfinite(position)):
                continue
            ray = view.ray(*position)
            hit = surface.first_hit(self._scene, depsgraph, ray)
            distance = float(np.linalg.norm(places[number] - ray.origin))
            before = hit is not None and hit.distance < distance * (1.0 - BEFORE)
            self.hidden[number] = before and source.covers(depsgraph, index, hit)

    def drags(self, tolerance: float) -> tuple[list[tuple[Drag, bool]], list[str]]:
        """The drags with whether each is hidden, and why others were left out, one text for each.

        Args:
            tolerance: how far a drag may leave the motion at any time, in parts of the still's diagonal.
        """
        made, left_out = [], []
        for name, path, hidden in zip(self.names, self.positions, self.hidden, strict=True):
            if not np.all(np.isfinite(path)):
                left_out.append(f"{name} is behind the camera")
            elif np.any(path[0] < 0.0) or np.any(path[0] > 1.0):
                left_out.append(f"{name} starts outside the still")
            else:
                rows, ease = fewest_points(self._times, path * self._shares, tolerance)
                points = tuple(DragPoint(float(self._times[row]), *map(float, path[row])) for row in rows)
                made.append((Drag(name, points, ease), hidden))
        return made, left_out


def store(scene: Scene, made: list[tuple[Drag, bool]]) -> list[int]:
    """Store drags made from motion; returns their indices."""
    indices = []
    for drag, hidden in made:
        item = handles.add_drag(scene, drag)
        item.hidden = hidden
        anchors.release(item)
        indices.append(scene.puppet_master.active_drag)
    return indices


def sample_times(settings: PropertyGroup, start: int, end: int) -> NDArray[np.float64]:
    """When to take positions, in clip time: at the preview's frames and, up to a number, at the scene's."""
    of_preview = np.linspace(0.0, 1.0, scene_settings.preview_frames(settings))
    length = max(end - start, 1)
    of_scene = np.arange(length + 1) / length if length < MOST_FRAMES else of_preview
    times = np.unique(np.concatenate([of_preview, of_scene]).round(6))
    return times[np.diff(times, prepend=-1.0) > 1e-4]


def _moved_by(depsgraph: Depsgraph, hit: Hit, armature: Object, bone: str) -> bool:
    """Whether a bone moves what was hit: the surface is its own, though it lies inside it.

    A bone that moves no surface of the armature's, as controls do, is not hidden by any of them.
    """
    surfaces = [child for child in depsgraph.scene.objects if _belongs(child, armature)]
    if hit.object not in {child.original for child in surfaces}:
        return False
    if hit.object.parent == armature and hit.object.parent_type == "BONE":
        return hit.object.parent_bone == bone
    if not any(bone in child.vertex_groups or child.parent_bone == bone for child in surfaces):
        return True
    group = hit.object.vertex_groups.get(bone)
    if group is None:
        return False
    with evaluated_mesh(hit.object.evaluated_get(depsgraph)) as mesh:
        corners = mesh.polygons[hit.face].vertices if mesh and hit.face < len(mesh.polygons) else ()
        weights = [entry.weight for corner in corners for entry in mesh.vertices[corner].groups
                   if entry.group == group.index]  # fmt: skip
    return bool(weights) and max(weights) > MOVES


def _belongs(candidate: Object, armature: Object) -> bool:
    """Whether an armature moves an object's surface, by a modifier or as its parent."""
    if candidate.type != "MESH":
        return False
    modifiers = (m.object for m in candidate.modifiers if m.type == "ARMATURE")
    owners = {owner.original for owner in (candidate.parent, *modifiers) if owner is not None}
    return armature in owners

# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts that stick to surfaces: stuck where a ray meets one, and kept there while the scene moves.

A drag's start is stored as an image position in any case. While the still is what the camera sees, the position is
brought up to date from the surface; where that cannot be done the last one stays, and `anchor_state` says why.
"""

from __future__ import annotations

import bpy
import numpy as np
from bpy.app.handlers import persistent
from bpy.types import Depsgraph, Object, PropertyGroup, Scene

from ..backend.errors import InputError
from . import handles, pace, still_status, surface
from .projection import CameraView

# Positions that differ by less are the same: writing them would make work for every window.
TOLERANCE = 1e-5


def stick(scene: Scene, drag: PropertyGroup, depsgraph: Depsgraph | None = None) -> bool:
    """Stick a drag's start to the surface under it; to the image if there is none. Says whether there is one."""
    release(drag)
    if not still_status.is_live(scene) or len(drag.points) == 0:
        return False
    depsgraph = depsgraph or still_status.depsgraph_of(scene)
    try:
        view = still_status.view_of(scene, depsgraph)
    except InputError:  # without a camera's picture the start lies on the image
        return False
    hit = surface.first_hit(scene, depsgraph, view.ray(drag.points[0].x, drag.points[0].y))
    point = hit and surface.surface_point(depsgraph, hit)
    if not point:
        return False
    drag.anchor, drag.anchor_name = point.object, point.object.name
    drag.anchor_triangle, drag.anchor_triangles = point.triangle, point.triangles
    drag.anchor_weights = point.weights
    drag.anchor_is_copy = bool(point.copy)
    if point.copy:
        drag.anchor_copy = point.copy
    drag.anchor_state = "STUCK"
    return True


def release(drag: PropertyGroup) -> None:
    """Let a drag's start lie on the image where it is."""
    drag.anchor, drag.anchor_name = None, ""
    drag.anchor_triangle, drag.anchor_triangles = -1, 0
    drag.anchor_is_copy = False
    drag.anchor_state = "NONE"


def refresh(scene: Scene, depsgraph: Depsgraph | None = None) -> None:
    """Bring the stuck starts of a scene up to date with its surfaces."""
    settings = scene.puppet_master
    stuck = [drag for drag in settings.drags if drag.anchor_state != "NONE" and len(drag.points)]
    if not stuck or not still_status.is_live(scene) or scene.library is not None:
        return
    depsgraph = depsgraph or still_status.depsgraph_of(scene)
    try:
        view = still_status.view_of(scene, depsgraph)
    except InputError:
        return
    for drag in stuck:
        _follow(scene, depsgraph, view, drag)


def _follow(scene: Scene, depsgraph: Depsgraph, view: CameraView, drag: PropertyGroup) -> None:
    state, place = _find(scene, depsgraph, drag)
    if place is not None:
        position = view.project(place)[0][0]
        if np.all(np.isfinite(position)) and np.all((position >= 0.0) & (position <= 1.0)):
            _move_start(drag, float(position[0]), float(position[1]))
        else:
            state = "UNSEEN"
    if drag.anchor_state != state:
        drag.anchor_state = state
    if state == "STUCK" and drag.anchor_name != drag.anchor.name:
        drag.anchor_name = drag.anchor.name


def _find(scene: Scene, depsgraph: Depsgraph, drag: PropertyGroup) -> tuple[str, np.ndarray | None]:
    """A stuck start's state, and its place in the world where it can be found."""
    if drag.anchor is None or not in_scene(scene, drag.anchor):
        return "GONE", None
    # What viewports hide is not kept up to date either.
    if not drag.anchor.visible_get(view_layer=depsgraph.view_layer):
        return "UNSEEN", None
    place = surface.world_place(depsgraph, anchor_of(drag))
    return ("CHANGED", None) if place is None else ("STUCK", place)


def anchor_of(drag: PropertyGroup) -> surface.SurfacePoint:
    """What a stuck start sticks to."""
    copy = tuple(drag.anchor_copy) if drag.anchor_is_copy else ()
    return surface.SurfacePoint(
        drag.anchor, drag.anchor_triangle, drag.anchor_triangles, tuple(drag.anchor_weights), copy
    )


def in_scene(scene: Scene, candidate: Object) -> bool:
    """Whether an object is in a scene. One that was deleted stays in the file as long as drags name it."""
    found = scene.objects.get(candidate.name)
    # Linked objects may share a name: then the whole list is asked.
    return found == candidate or (found is not None and candidate in scene.objects.values())


def _move_start(drag: PropertyGroup, x: float, y: float) -> None:
    start = drag.points[0]
    if abs(start.x - x) < TOLERANCE and abs(start.y - y) < TOLERANCE:
        return
    # A pin stays one: all of it goes along.
    for point in drag.points if handles.is_pin(drag) else (start,):
        point.x, point.y = x, y


@persistent
def _on_change(scene: Scene, depsgraph: Depsgraph | None = None) -> None:
    """The scene moved: follow it. While a render runs, its thread calls this too: then nothing may be written."""
    rendering = depsgraph is not None and depsgraph.mode == "RENDER"
    if rendering or bpy.app.is_job_running("RENDER") or not hasattr(scene, "puppet_master"):
        return
    with pace.measured("following surfaces"):
        refresh(scene, depsgraph)
        still_status.refresh(scene)


@persistent
def _on_load(*_: object) -> None:
    """Another file, or another state of it: work everything out anew."""
    still_status.forget()
    for scene in bpy.data.scenes:
        still_status.refresh(scene)


def _first_look() -> None:
    """Once after enabling: the file that is open already."""
    _on_load()


_HANDLERS = {
    "depsgraph_update_post": _on_change,
    "frame_change_post": _on_change,
    "load_post": _on_load,
    "undo_post": _on_load,
    "redo_post": _on_load,
}


def register() -> None:
    """Follow the scene's changes from now on."""
    for name, handler in _HANDLERS.items():
        getattr(bpy.app.handlers, name).append(handler)
    # Data cannot be looked at while add-ons are being enabled.
    bpy.app.timers.register(_first_look, first_interval=0.0)


def unregister() -> None:
    """Stop following."""
    if bpy.app.timers.is_registered(_first_look):
        bpy.app.timers.unregister(_first_look)
    for name, handler in _HANDLERS.items():
        getattr(bpy.app.handlers, name).remove(handler)
    still_status.forget()

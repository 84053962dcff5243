# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the still shows the scene as it is now, and through which view its places are seen.

Panels show `note`; it is worked out anew by `refresh` when the scene changes, never while drawing.
"""

from __future__ import annotations

import bpy
import numpy as np
from bpy.types import Depsgraph, Scene

from ..backend.errors import InputError
from .projection import CameraView, camera_view, render_view
from .still import still_resolution

CAMERA, RENDER_RESULT, IMAGE = "CAMERA", "RENDER_RESULT", "IMAGE"
# The record is kept in float32: smaller differences are none.
TOLERANCE = 1e-5

_notes: dict[int, str] = {}  # by the scene's session_uid; worked out again whenever it is missing


def note(scene: Scene) -> str:
    """How the scene differs from what its still shows; empty if it does not, or nothing is known."""
    return _notes.get(scene.session_uid, "")


def refresh(scene: Scene) -> None:
    """Work out `note` anew."""
    _notes[scene.session_uid] = difference(scene)


def forget() -> None:
    """Another file was opened."""
    _notes.clear()


def difference(scene: Scene) -> str:
    """How the scene differs from its still's record, in words; empty if it does not."""
    settings = scene.puppet_master
    record = settings.still
    if record.width == 0 or record.source != settings.still_source:
        return ""
    if record.source == IMAGE:
        return _image_difference(settings)
    camera = scene.camera
    if record.camera is None or camera is None:
        return f'The still\'s camera "{record.camera_name}" is gone' if record.camera is None else "No active camera"
    if camera != record.camera:
        return f'The still shows camera "{record.camera.name}", not "{camera.name}"'
    if scene.frame_current != record.frame:
        return f"The still shows frame {record.frame}, not {scene.frame_current}"
    if tuple(record.resolution) != (scene.render.resolution_x, scene.render.resolution_y):
        return f"The still was made at {record.resolution[0]} x {record.resolution[1]} pixels"
    try:
        view = _view_now(scene)
    except InputError as error:
        return str(error)
    if not _equal(view.to_camera.ravel(), record.view):
        return "The camera has moved since the still"
    if not (_equal(view.lens, record.lens) and _equal(view.region, record.region)):
        return "The camera's lens or frame has changed since the still"
    return ""


def is_live(scene: Scene) -> bool:
    """Whether what the scene's camera sees now is what the still shows, or will show when it is rendered."""
    settings = scene.puppet_master
    if settings.still_source == CAMERA:
        return True
    return settings.still_source == RENDER_RESULT and difference(scene) == ""


def view_of(scene: Scene, depsgraph: Depsgraph | None = None) -> CameraView:
    """The view through which places of the still are seen in the scene as it is now.

    Args:
        scene: with an active camera.
        depsgraph: takes the camera as evaluated there, else as it stands.

    Raises:
        InputError: no camera, a panoramic one, or a still that is an image and knows of no camera.
    """
    settings = scene.puppet_master
    if settings.still_source == IMAGE:
        raise InputError("the still is an image, which knows of no camera; choose the source Camera")
    return _view_now(scene, depsgraph)


def _view_now(scene: Scene, depsgraph: Depsgraph | None = None) -> CameraView:
    if scene.camera is None:
        raise InputError(f'scene "{scene.name}" has no camera; add one and make it the scene\'s active camera')
    camera = scene.camera if depsgraph is None else scene.camera.evaluated_get(depsgraph)
    if scene.puppet_master.still_source == RENDER_RESULT:
        return render_view(scene, camera)
    return camera_view(camera, *still_resolution(scene.render, scene.puppet_master.still_size))


def depsgraph_of(scene: Scene) -> Depsgraph:
    """The scene's evaluated state, brought up to date."""
    context = bpy.context
    if context.scene == scene:
        return context.evaluated_depsgraph_get()
    layer = scene.view_layers[0]
    layer.update()
    return layer.depsgraph


def _image_difference(settings: bpy.types.PropertyGroup) -> str:
    chosen = settings.still_image.name if settings.still_image else ""
    if chosen == settings.still.image_name:
        return ""
    return f'The still was copied from "{settings.still.image_name}"'


def _equal(values: object, others: object) -> bool:
    first, second = np.array(values, dtype=np.float64), np.array(others, dtype=np.float64)
    return bool(np.all(np.abs(first - second) <= TOLERANCE * np.maximum(1.0, np.abs(first))))

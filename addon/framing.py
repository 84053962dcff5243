# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the still lies in a window's region: in the camera view, and in the Image Editor.

Region positions are pixels from the region's bottom left corner.
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np
from bpy.types import Context, Image, PropertyGroup, Region, RegionView3D, Scene, SpaceImageEditor, SpaceView3D
from numpy.typing import NDArray

from . import still_status
from .playback import IMAGE_NAME as PREVIEW_NAME
from .projection import WHOLE, border_region

STILL_NAME = "Puppet Still"


@dataclass(frozen=True)
class Framing:
    """The rectangle of a still in a region: left, bottom, width and height in pixels."""

    left: float
    bottom: float
    width: float
    height: float

    def to_region(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Region positions `[N, 2]` of still positions `[N, 2]`."""
        places = np.asarray(places, dtype=np.float64).reshape(-1, 2)
        return np.stack(
            [self.left + places[:, 0] * self.width, self.bottom + (1.0 - places[:, 1]) * self.height], axis=1
        )

    def to_still(self, x: float, y: float) -> tuple[float, float]:
        """The still position of a region position."""
        return (x - self.left) / self.width, 1.0 - (y - self.bottom) / self.height

    def part(self, region: tuple[float, float, float, float]) -> Framing:
        """The rectangle of a part of this one: left, top, right, bottom in 0 to 1."""
        left, top, right, bottom = region
        return Framing(
            self.left + left * self.width,
            self.bottom + (1.0 - bottom) * self.height,
            (right - left) * self.width,
            (bottom - top) * self.height,
        )

    def whole(self, region: tuple[float, float, float, float]) -> Framing:
        """The rectangle that this one is the part `region` of."""
        left, top, right, bottom = region
        width, height = self.width / (right - left), self.height / (bottom - top)
        return Framing(self.left - left * width, self.bottom - (1.0 - bottom) * height, width, height)

    def fitted(self, aspect: float) -> Framing:
        """The largest rectangle of an aspect (width / height) in the middle of this one."""
        width = min(self.width, self.height * aspect)
        height = width / aspect
        return Framing(
            self.left + (self.width - width) / 2, self.bottom + (self.height - height) / 2, width, height
        )


def of_context(context: Context) -> Framing | None:
    """Where the still lies in the context's region; None where it is not shown."""
    space, region = context.space_data, context.region
    if space is None or region is None or region.type != "WINDOW" or context.scene is None:
        return None
    if space.type == "VIEW_3D":
        return in_viewport(context.scene, space, region, context.region_data)
    if space.type == "IMAGE_EDITOR":
        return in_image_editor(context.scene, space, region)
    return None


def shows_overlays(context: Context) -> bool:
    """Whether the context's editor shows overlays; those without a switch do."""
    shown = getattr(context.space_data, "overlay", None)
    return shown is None or shown.show_overlays


def in_viewport(scene: Scene, space: SpaceView3D, region: Region, view: RegionView3D | None) -> Framing | None:
    """Where the still lies in a 3D viewport; None unless it looks through the scene's camera."""
    camera = scene.camera
    if view is None or camera is None or camera.type != "CAMERA" or view.view_perspective != "CAMERA":
        return None
    if space.camera != camera:
        return None
    corners = np.array(camera.data.view_frame(scene=scene), dtype=np.float64)
    matrix = np.array(view.perspective_matrix, dtype=np.float64) @ np.array(camera.matrix_world.normalized())
    clip = np.concatenate([corners, np.ones((4, 1))], axis=1) @ matrix.T
    if np.any(np.abs(clip[:, 3]) < 1e-12):
        return None
    places = (clip[:, :2] / clip[:, 3:] * 0.5 + 0.5) * (region.width, region.height)
    low, high = places.min(axis=0), places.max(axis=0)
    if not np.all(np.isfinite(places)) or np.any(high - low < 1.0):
        return None
    frame = Framing(low[0], low[1], *(high - low))
    settings = scene.puppet_master
    if settings.still_source == still_status.IMAGE:
        # As Blender shows a background image: whole, in the middle of the frame.
        image = settings.still_image
        return frame.fitted(image.size[0] / image.size[1]) if image and all(image.size) else None
    return frame.part(_still_region(scene))


def in_image_editor(scene: Scene, space: SpaceImageEditor, region: Region) -> Framing | None:
    """Where the still lies in an Image Editor; None unless that shows the still, its source or a preview of it."""
    if space.image is None or not shows_still(scene, space.image):
        return None
    low = region.view2d.region_to_view(0.0, 0.0)
    high = region.view2d.region_to_view(float(region.width), float(region.height))
    scale = np.array([region.width, region.height]) / (np.array(high) - np.array(low))
    if not np.all(np.isfinite(scale)) or np.any(scale < 1.0):
        return None
    shown = Framing(-low[0] * scale[0], -low[1] * scale[1], scale[0], scale[1])
    if space.image.type == "RENDER_RESULT":
        return shown.whole(border_region(scene.render)).part(_still_region(scene))
    return shown


def shows_still(scene: Scene, image: Image) -> bool:
    """Whether an image is the scene's still, what it is copied from, or a preview of it."""
    settings = scene.puppet_master
    if image.name.startswith((STILL_NAME, PREVIEW_NAME)):
        return True
    if settings.still_source == still_status.IMAGE:
        return image == settings.still_image
    if image.type == "RENDER_RESULT":
        return True
    return bool(settings.still_path) and _same_file(image, settings)


def missing(context: Context) -> str:
    """Why handles cannot be placed in the context's region, and what to do; empty if they can."""
    space, scene = context.space_data, context.scene
    if of_context(context) is not None:
        return ""
    if space is not None and space.type == "IMAGE_EDITOR":
        return "This image is not the still: choose Use Image as Still in the Puppet tab, or show the still"
    if scene.camera is None:
        return "The scene has no camera: add one and make it the scene's active camera"
    return "Handles are placed in the view of the scene's camera: press Numpad 0"


def _still_region(scene: Scene) -> tuple[float, float, float, float]:
    return border_region(scene.render) if scene.puppet_master.still_source == still_status.RENDER_RESULT else WHOLE


def _same_file(image: Image, settings: PropertyGroup) -> bool:
    return bool(image.filepath) and bpy.path.abspath(image.filepath) == bpy.path.abspath(settings.still_path)

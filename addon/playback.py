# SPDX-License-Identifier: GPL-3.0-or-later
"""Showing a preview in the scene: its frames as an image sequence before the scene's camera.

Look through the camera (numpad 0) and play: frame 0 of the preview lies on the scene frame at which its
still was rendered.
"""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.types import Camera, CameraBackgroundImage, Image, Scene

from ..backend.errors import InputError

IMAGE_NAME = "Puppet Preview"


def load_result(scene: Scene, folder: Path, first_frame: int) -> Image:
    """Show the preview in `folder` over what the scene's camera sees, in place of the one shown before.

    Args:
        scene: gets the preview on its active camera.
        folder: a result folder, with `frames/0000.png` and on.
        first_frame: the scene frame that shows the preview's frame 0.

    Raises:
        InputError: the folder holds no frames, or the scene has no camera.
    """
    frames = sorted((folder / "frames").glob("[0-9]*.png"))
    if not frames:
        raise InputError(f"{folder} holds no preview (no frames/0000.png); make a preview first")
    if scene.camera is None:
        raise InputError(
            f'scene "{scene.name}" has no camera to show the preview on; make one its active camera'
        )
    entry = _background_entry(scene.camera.data)
    image = _sequence(entry.image, frames[0])
    entry.image = image
    entry.display_depth = "FRONT"
    entry.frame_method = "FIT"
    entry.alpha = 1.0
    user = entry.image_user
    user.frame_duration = len(frames)
    user.frame_start = first_frame
    user.frame_offset = -1  # Blender counts a sequence's files from 1, ours start at 0000
    user.use_cyclic = False
    user.use_auto_refresh = True
    scene.camera.data.show_background_images = True
    return image


def _background_entry(camera: Camera) -> CameraBackgroundImage:
    """The camera's background image that shows previews; a new one if there is none yet."""
    for entry in camera.background_images:
        if entry.image is not None and entry.image.name.startswith(IMAGE_NAME):
            return entry
    return camera.background_images.new()


def _sequence(shown: Image | None, first: Path) -> Image:
    """The image datablock of the preview shown before, turned to new files; a new one if there is none."""
    image = shown or bpy.data.images.load(str(first))
    image.name = IMAGE_NAME
    image.source = "SEQUENCE"
    image.filepath = str(first)
    image.reload()
    return image

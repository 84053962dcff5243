# SPDX-License-Identifier: GPL-3.0-or-later
"""Showing a preview in the scene: its frames as an image sequence before the scene's camera.

Look through the camera (numpad 0) and play: frame 0 of the preview lies on the scene frame at which its
still was rendered. The still it started from lies there too, hidden, to compare it with.
"""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.types import Camera, CameraBackgroundImage, Image, ImageUser, Object, Scene

from ..backend.errors import InputError
from .stored_paths import stored

IMAGE_NAME = "Puppet Preview"
STILL_NAME = "Puppet Still"
PREVIEW, STILL, NOTHING = "PREVIEW", "STILL", "NOTHING"


def load_result(scene: Scene, folder: Path, first_frame: int, camera: Object | None = None) -> Image:
    """Show the preview in `folder` over what a camera sees, in place of the one shown before.

    Args:
        scene: gets the preview.
        folder: a result folder, with `frames/0000.png` and on.
        first_frame: the scene frame that shows the preview's frame 0.
        camera: the one that saw the still; the scene's active one if not given.

    Raises:
        InputError: the folder holds no frames, or there is no camera of this file to show them on.
    """
    frames = frame_files(folder)
    camera = camera or scene.camera
    _check_camera(scene, camera)
    entry = _background_entry(camera.data, IMAGE_NAME)
    image = _image(_own_image(camera.data, entry), IMAGE_NAME, frames[0], "SEQUENCE")
    _lay_over(entry, image)
    set_playback(entry.image_user, len(frames), first_frame)
    still = folder / "still.png"
    if still.is_file():
        behind = _background_entry(camera.data, STILL_NAME)
        _lay_over(behind, _image(_own_image(camera.data, behind), STILL_NAME, still, "FILE"))
    camera.data.show_background_images = True
    choose_shown(scene, scene.puppet_master_preview.shown)
    return image


def load_image(folder: Path) -> Image:
    """The preview in `folder` as an image alone, for Image Editors. Raises `InputError` if there are no frames."""
    return _image(preview_image(), IMAGE_NAME, frame_files(folder)[0], "SEQUENCE")


def _check_camera(scene: Scene, camera: Object | None) -> None:
    """Raises `InputError` unless a preview can lie over what the camera sees."""
    if camera is None:
        raise InputError(
            f'scene "{scene.name}" has no camera to show the preview on; make one its active camera, '
            "or show the preview in an Image Editor"
        )
    if camera.type != "CAMERA":
        raise InputError(f'"{camera.name}" is no camera; choose a camera as the scene\'s active one')
    if camera.data.library is not None:  # Blender lets it refer to no image of this file
        raise InputError(
            f'camera "{camera.name}" is linked from another file, so the preview cannot lie over its view; '
            "make its data local, or show the preview in an Image Editor"
        )


def frame_files(folder: Path) -> list[Path]:
    """The frames of a result folder in order. Raises `InputError` if there are none."""
    frames = sorted((folder / "frames").glob("[0-9]*.png"))
    if not frames:
        raise InputError(f"{folder} holds no preview (no frames/0000.png); make a preview first")
    return frames


def set_playback(user: ImageUser, count: int, first_frame: int) -> None:
    """Let whoever shows the sequence play it with the scene, its first frame at `first_frame`."""
    user.frame_duration = count
    user.frame_start = first_frame
    user.frame_offset = -1  # Blender counts a sequence's files from 1, ours start at 0000
    user.use_cyclic = False
    user.use_auto_refresh = True


def choose_shown(scene: Scene, shown: str) -> None:
    """Let the scene's cameras show the preview, its still or neither."""
    for item in scene.objects:
        if item.type == "CAMERA":
            for entry in item.data.background_images:
                for name, choice in ((IMAGE_NAME, PREVIEW), (STILL_NAME, STILL)):
                    if _is_ours(entry, name):
                        entry.show_background_image = shown == choice


def preview_image() -> Image | None:
    """The image of this file that shows the preview loaded last, if it is there still."""
    return bpy.data.images.get((IMAGE_NAME, None))


def _lay_over(entry: CameraBackgroundImage, image: Image) -> None:
    entry.image = image
    entry.display_depth = "FRONT"
    entry.frame_method = "FIT"
    entry.alpha = 1.0


def _background_entry(camera: Camera, name: str) -> CameraBackgroundImage:
    """The camera's background image of that name; a new one if there is none yet."""
    for entry in camera.background_images:
        if _is_ours(entry, name):
            return entry
    return camera.background_images.new()


def _is_ours(entry: CameraBackgroundImage, name: str) -> bool:
    return entry.image is not None and entry.image.name.startswith(name)


def _own_image(camera: Camera, entry: CameraBackgroundImage) -> Image | None:
    """What an entry shows, unless that is another file's or, in a copied scene, another camera's too."""
    image = entry.image
    if image is None or image.library is not None:
        return None
    others = (other for other in bpy.data.cameras if other != camera)
    return None if any(item.image == image for other in others for item in other.background_images) else image


def _image(shown: Image | None, name: str, path: Path, source: str) -> Image:
    """The image datablock shown before, turned to new files; a new one if there is none."""
    image = shown or bpy.data.images.load(str(path))
    image.name = name
    image.source = source
    image.filepath = stored(path)
    image.reload()
    return image

# SPDX-License-Identifier: GPL-3.0-or-later
"""Making the still that a scene's previews start from: rendered, copied from the last render, or from an image.

Each still leaves a record in the scene of where it was seen from, so that a changed camera can be told.
"""

from __future__ import annotations

import struct
from pathlib import Path

import bpy
import numpy as np
from bpy.types import Image, Scene
from numpy.typing import NDArray

from ..backend.errors import InputError
from ..backend.png import encode_png
from . import anchors, backend_state, preferences, still_status
from .files import make_folder, whole, writable
from .projection import WHOLE
from .still import Still, check_size, render_still, save_render_result


def make_still(scene: Scene, path: Path) -> Still:
    """Make the scene's still from its chosen source into `path`, a PNG, and remember what it shows.

    Raises:
        InputError: no camera, image or render to make it from, or one that cannot be used; a linked scene.
        OutputError: the file cannot be written.
        RequirementError: see `still.render_still`.
    """
    if scene.library is not None:  # nothing could be kept in it, and Blender would render a namesake of this file
        raise InputError(f'scene "{scene.name}" is linked from another file: make it local to use it here')
    make = {
        still_status.CAMERA: render_still,
        still_status.RENDER_RESULT: copy_render_result,
        still_status.IMAGE: copy_image,
    }[scene.puppet_master.still_source]
    with backend_state.own_render():
        still = make(scene, path)
    remember(scene, still)
    anchors.refresh(scene)
    return still


def make_scenes_still(scene: Scene) -> Still:
    """Make the scene's still in the output folder; each replaces the one before.

    Raises:
        PuppetMasterError: see `make_still` and `preferences.output_folder`.
    """
    folder = writable(preferences.output_folder())  # before the render: what cannot be kept must not cost one
    return make_still(scene, folder / f"{title(scene)}-still.png")


def title(scene: Scene) -> str:
    """What files of this scene are called: the .blend's name, "untitled" before it has one."""
    name = Path(bpy.data.filepath).stem or "untitled"
    return bpy.path.clean_name(name if len(bpy.data.scenes) == 1 else f"{name}-{scene.name}")


def remember(scene: Scene, still: Still) -> None:
    """Record in the scene what a still made just now shows."""
    settings = scene.puppet_master
    settings.still_path = str(still.path)
    record = settings.still
    record.source = settings.still_source
    record.width, record.height, record.frame = still.width, still.height, still.frame
    record.resolution = scene.render.resolution_x, scene.render.resolution_y
    image = settings.still_image
    record.image_name = image.name if record.source == still_status.IMAGE and image else ""
    record.camera, record.camera_name, record.region = None, "", WHOLE
    if record.source != still_status.IMAGE and scene.camera is not None:
        record.camera, record.camera_name = scene.camera, scene.camera.name
        _remember_view(scene)
    still_status.refresh(scene)


def _remember_view(scene: Scene) -> None:
    record = scene.puppet_master.still
    try:
        view = still_status.view_of(scene)
    except InputError:  # a panoramic camera: its still is one, though no handle sticks to it
        return
    record.view, record.lens, record.region = view.to_camera.ravel(), view.lens, view.region


def make_windowless(scene: Scene, path: Path, size: tuple[int, int] | None = None) -> Still:
    """The still as programs make it for farms: the scene's image if it starts from one, else what its camera sees.

    A .blend keeps no Render Result: what the camera sees stands in for it.

    Args:
        scene: the scene.
        path: the PNG to write.
        size: width and height in pixels, of a still that is rendered.

    Raises:
        PuppetMasterError: see `make_still`.
    """
    if scene.puppet_master.still_source != still_status.IMAGE:
        return render_still(scene, path, size)
    if size is not None:
        raise InputError("the still is an image, which has its own size: give none, or choose the source Camera")
    return copy_image(scene, path)


def copy_render_result(scene: Scene, path: Path) -> Still:
    """Copy the pixels of the last render, as its window shows them.

    Raises:
        InputError: nothing has been rendered, or at a size that no still may have.
        OutputError: the file cannot be written.
    """
    make_folder(path.parent)
    with whole(path) as part:
        if not save_render_result(scene, part):
            raise InputError("there is no Render Result to copy; render the scene (F12) first")
        width, height = png_size(part)
        check_size(width, height)
    return Still(path, width, height, scene.frame_current, scene.render.engine)


def copy_image(scene: Scene, path: Path) -> Still:
    """Copy the pixels of the image chosen in the scene.

    Raises:
        InputError: no image is chosen, it cannot be read, or has a size that no still may have.
        OutputError: the file cannot be written.
    """
    image = scene.puppet_master.still_image
    if image is None:
        raise InputError("no image is chosen for the still; choose one under Still > Image")
    width, height = image.size
    if image.type in ("RENDER_RESULT", "COMPOSITING"):
        raise InputError(f'the pixels of "{image.name}" cannot be read; choose the source Render Result')
    if 0 in (width, height):
        raise InputError(f'image "{image.name}" has no pixels; check its file: {image.filepath or "it has none"}')
    check_size(width, height)
    pixels = encode_png(pixels_of(image))
    make_folder(path.parent)
    with whole(path) as part:
        part.write_bytes(pixels)
    return Still(path, width, height, scene.frame_current, scene.render.engine)


def pixels_of(image: Image) -> NDArray[np.uint8]:
    """An image's pixels as sRGB with straight alpha, `[H, W, 4]`, top row first."""
    width, height = image.size
    values = np.empty(width * height * image.channels, dtype=np.float32)
    image.pixels.foreach_get(values)
    values = np.nan_to_num(values.reshape(height, width, image.channels)[::-1])
    colour, alpha = _split_alpha(values)
    if image.is_float:
        colour = colour / np.where(alpha > 0.0, alpha, 1.0)  # floats are kept premultiplied, and linear
        colour = np.clip(colour, 0.0, 1.0)
        colour = np.where(colour <= 0.0031308, colour * 12.92, 1.055 * colour ** (1 / 2.4) - 0.055)
    if image.alpha_mode in ("NONE", "CHANNEL_PACKED"):
        alpha = np.ones_like(alpha)
    rgba = np.concatenate([colour, alpha], axis=2)
    return (np.clip(rgba, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def png_size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG, from its header."""
    with path.open("rb") as file:
        return struct.unpack(">II", file.read(24)[16:24])


def _split_alpha(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Colour `[H, W, 3]` and alpha `[H, W, 1]` of 1 to 4 channels: grey, grey + alpha, RGB, RGBA."""
    channels = values.shape[2]
    alpha = values[..., -1:] if channels in (2, 4) else np.ones_like(values[..., :1])
    colour = values[..., :3] if channels >= 3 else np.repeat(values[..., :1], 3, axis=2)
    return colour, alpha


def image_by_name(name: str) -> Image:
    """An image of the open file.

    Raises:
        InputError: there is none of that name.
    """
    image = bpy.data.images.get(name)
    if image is None:
        raise InputError(f'there is no image "{name}" in this file')
    return image

# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendering the still: what the scene's camera sees at the current frame, as an RGBA PNG.

The background is left transparent, so that the backend can put behind the object whatever its model was
trained with. Every setting touched is put back, also after an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
from bpy.types import CompositorNodeOutputFile, Image, ImageFormatSettings, NodeTree, RenderSettings, Scene

from ..backend.errors import InputError
from ..backend.requirements import check_drawing
from .compat import EEVEE_ENGINES, compositor_of, cycles_can_denoise, eevee_engine, media_type_values
from .files import make_folder, whole

WORKBENCH = "BLENDER_WORKBENCH"
PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
MIN_SIDE, MAX_SIDE = 16, 4096


@dataclass(frozen=True)
class Still:
    """A rendered still.

    Attributes:
        path: the PNG.
        width, height: in pixels.
        frame: the scene frame it shows.
        engine: what rendered it; differs from the scene's where that cannot draw here.
    """

    path: Path
    width: int
    height: int
    frame: int
    engine: str


def still_resolution(render: RenderSettings, long_side: int) -> tuple[int, int]:
    """Width and height in pixels with the render's aspect and the given longer side."""
    width = render.resolution_x * render.pixel_aspect_x
    height = render.resolution_y * render.pixel_aspect_y
    scale = long_side / max(width, height)
    return max(MIN_SIDE, round(width * scale)), max(MIN_SIDE, round(height * scale))


def render_still(scene: Scene, path: Path, size: tuple[int, int] | None = None) -> Still:
    """Render the scene's camera at the current frame into `path`, an RGBA PNG with straight alpha.

    Args:
        scene: the scene to render.
        path: the PNG to write; its folder is created.
        size: width and height in pixels, 16 to 4096; the size set in the scene when absent.

    Raises:
        InputError: the scene has no camera, or another object in its place, the size is out of range, or Blender
            refuses to render.
        OutputError: the file cannot be written.
        RequirementError: the engine needs OpenGL, and this machine cannot start it without a window.
    """
    settings = scene.puppet_master
    width, height = size or still_resolution(scene.render, settings.still_size)
    check_size(width, height)
    if scene.camera is None:
        raise InputError(
            f'scene "{scene.name}" has no camera; add one and make it the scene\'s active camera'
        )
    if scene.camera.type != "CAMERA":  # Blender renders from any object, but shows no picture over its view
        raise InputError(f'"{scene.camera.name}" is no camera; choose a camera as the scene\'s active one')
    if not any(layer.use for layer in scene.view_layers):
        raise InputError(f'scene "{scene.name}" renders no view layer; check Use for Rendering on one of them')
    make_folder(path.parent)  # before the render: what cannot be kept must not cost one
    engine = drawable_engine(scene)
    if bpy.app.background and engine == WORKBENCH:
        check_drawing()
    with ExitStack() as stack:
        try:
            for owner, values in _settings_for_still(scene, engine, (width, height), settings.still_samples):
                stack.enter_context(_temporarily(owner, values))
        except TypeError as error:  # of an engine that this Blender does not have, or whose add-on is off
            raise InputError(
                f"the still cannot be rendered with {engine}: enable it under Edit > Preferences > Add-ons, or choose "
                f"another Engine for the still ({_one_line(error)})"
            ) from error
        try:
            bpy.ops.render.render(scene=scene.name)
        except RuntimeError as error:
            raise InputError(f'scene "{scene.name}" cannot be rendered: {_one_line(error)}') from error
        with whole(path) as part:
            _save(scene, part)
    return Still(path, width, height, scene.frame_current, engine)


def check_size(width: int, height: int) -> None:
    """Raises `InputError` unless a still may have this size in pixels."""
    if not (MIN_SIDE <= width <= MAX_SIDE and MIN_SIDE <= height <= MAX_SIDE):
        raise InputError(
            f"the still's size {width}x{height} lies outside {MIN_SIDE} to {MAX_SIDE} pixels a side"
        )


def save_render_result(scene: Scene, path: Path) -> bool:
    """Write the last render as an RGBA PNG; False if there is none.

    Raises:
        OutputError: by the caller's `whole`, for the RuntimeError of a file that cannot be written.
    """
    image_settings = scene.render.image_settings
    if not any(image.type == "RENDER_RESULT" for image in bpy.data.images):
        return False
    with _temporarily(image_settings, _png_settings(image_settings)):
        try:
            _save(scene, path)
        except RuntimeError:
            # Blender's words are the same for no render and for a file it cannot write.
            if not path.is_file() and path.parent.is_dir() and os.access(path.parent, os.W_OK):
                return False
            raise
    return path.is_file()


def _save(scene: Scene, path: Path) -> None:
    """Write the last render. Raises `RuntimeError` if it cannot be written, or not the whole of it."""
    # Takes the path as it is: the scene's own output path would expand "#" and "{}" in it.
    _render_result(scene).save_render(str(path), scene=scene)
    if path.is_file() and not _is_whole_png(path):  # Blender says nothing of what did not fit on the disk
        raise RuntimeError("only a part of it fitted on the disk; make room there")


def _is_whole_png(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(PNG_END)))
        return file.read() == PNG_END


def drawable_engine(scene: Scene) -> str:
    """What renders the still: the engine chosen for it, or the scene's.

    Without a window it is Cycles in EEVEE's place: there EEVEE has no GPU to draw with.
    """
    chosen = scene.puppet_master.still_engine
    own = {"WORKBENCH": WORKBENCH, "EEVEE": eevee_engine(), "CYCLES": "CYCLES"}
    engine = own.get(chosen, scene.render.engine)
    if bpy.app.background and engine in EEVEE_ENGINES:
        return "CYCLES"
    return engine


def _settings_for_still(
    scene: Scene, engine: str, size: tuple[int, int], samples: int
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Settings owners and the values they get for one still, in the order they must be set."""
    render = scene.render
    yield (
        render,
        {
            "engine": engine,
            "resolution_x": size[0],
            "resolution_y": size[1],
            "resolution_percentage": 100,
            "pixel_aspect_x": 1.0,
            "pixel_aspect_y": 1.0,
            "film_transparent": True,
            "use_border": False,
            "use_multiview": False,
            "use_sequencer": False,
            "use_stamp": False,
        },
    )
    for node in _file_outputs(scene):  # they are of the shot's own renders: a still must not replace them
        yield node, {"mute": True}
    yield render.image_settings, _png_settings(render.image_settings)
    if engine == "CYCLES":
        cycles = scene.cycles
        denoise = cycles.use_denoising and cycles_can_denoise()
        yield cycles, {"samples": min(samples, cycles.samples), "use_denoising": denoise}


def _file_outputs(scene: Scene) -> list[CompositorNodeOutputFile]:
    """The compositor's File Output nodes that write with each render, those in groups too."""
    found, seen, left = [], set(), [compositor_of(scene)]
    while left:
        tree: NodeTree | None = left.pop()
        if tree is None or tree in seen:
            continue
        seen.add(tree)
        found += [node for node in tree.nodes if node.type == "OUTPUT_FILE" and not node.mute]
        left += [node.node_tree for node in tree.nodes if node.type == "GROUP"]
    return found


def _png_settings(image_settings: ImageFormatSettings) -> dict[str, str]:
    return {**media_type_values(image_settings), "file_format": "PNG", "color_mode": "RGBA", "color_depth": "8"}


@contextmanager
def _temporarily(owner: Any, values: dict[str, Any]) -> Iterator[None]:
    """Set attributes for the length of the block.

    They are put back in the same order: an image's format decides which colour modes it may have.
    """
    before = {name: getattr(owner, name) for name in values}
    try:
        for name, value in values.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


def _render_result(scene: Scene) -> Image:
    for image in bpy.data.images:
        if image.type == "RENDER_RESULT":
            return image
    raise InputError(f'scene "{scene.name}" rendered nothing; check that its engine is enabled')


def _one_line(error: Exception) -> str:
    return " ".join(str(error).removeprefix("Error: ").split())

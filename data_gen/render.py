# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendering a clip's frames: engines, and reading the pixels back."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import bpy
import numpy as np
from numpy.typing import NDArray

from ..backend.errors import RequirementError
from .look import Look, light_path_traced, light_workbench
from .scene import set_time
from .settings import RenderSettings

# Each engine's id; EEVEE was called otherwise from Blender 4.2 to 4.5.
IDS = {"workbench": ("BLENDER_WORKBENCH",), "cycles": ("CYCLES",), "eevee": ("BLENDER_EEVEE", "BLENDER_EEVEE_NEXT")}
GPUS = ("OPTIX", "CUDA", "HIP", "METAL", "ONEAPI")  # kinds of device Cycles knows, the fastest first
TGA_HEADER = 18


def set_up(scene: bpy.types.Scene, settings: RenderSettings, look: Look | None, size: float = 1.0) -> None:
    """Prepare the scene for rendering frames with a transparent background.

    Args:
        scene: with its subject and camera.
        settings: engine, size, samples.
        look: how it is lit; None leaves the scene's own light, and the colours it is meant for.
        size: of the subject, in scene units.

    Raises:
        RequirementError: this Blender lacks the engine, or a GPU was asked for and there is none.
    """
    set_engine(scene, settings.engine)
    render = scene.render
    render.resolution_x = render.resolution_y = settings.size * settings.scale
    render.resolution_percentage = 100
    render.pixel_aspect_x = render.pixel_aspect_y = 1.0
    render.film_transparent = True
    render.dither_intensity = 0.0
    render.use_motion_blur = render.use_border = render.use_multiview = False
    render.use_compositing = render.use_sequencer = render.use_stamp = False
    render.image_settings.file_format = "TARGA_RAW"
    render.image_settings.color_mode = "RGBA"
    if look is not None:
        scene.view_settings.view_transform = "Standard"
        scene.view_settings.look = "None"
    if settings.engine == "workbench":
        scene.display.render_aa = "OFF"
        scene.display.shading.color_type = "TEXTURE"
    elif settings.engine == "cycles":
        _set_up_cycles(scene, settings)
    else:
        scene.eevee.taa_render_samples = settings.samples
    if look is None:
        return
    if settings.engine == "workbench":
        light_workbench(scene, look, size)
    else:
        light_path_traced(scene, look)


def set_engine(scene: bpy.types.Scene, engine: str) -> None:
    """Choose the engine by our name for it.

    Raises:
        RequirementError: this Blender lacks it.
    """
    for name in IDS[engine]:
        try:
            scene.render.engine = name
        except TypeError:  # what Blender raises for an unknown choice
            continue
        return
    raise RequirementError(f"this Blender ({bpy.app.version_string}) has no engine {engine}; choose another --engine")


def _set_up_cycles(scene: bpy.types.Scene, settings: RenderSettings) -> None:
    cycles = scene.cycles
    cycles.device = "GPU" if settings.gpu else "CPU"
    if settings.gpu:
        _use_gpu()
    cycles.samples = settings.samples
    cycles.use_adaptive_sampling = False
    cycles.seed = 0
    cycles.max_bounces = 4
    _denoise(cycles)
    scene.render.threads_mode = "FIXED"  # a worker is one of several
    scene.render.threads = settings.threads
    scene.render.use_persistent_data = True  # what does not move is not handed over anew for each frame


def _denoise(cycles: bpy.types.PropertyGroup) -> None:
    """Denoise where this build of Cycles can; some distributions' cannot."""
    try:
        cycles.denoiser = "OPENIMAGEDENOISE"
    except TypeError:
        cycles.use_denoising = False
        return
    cycles.use_denoising = True
    # Accurate prefiltering takes 2.4 times as long for a picture that looks the same at these sizes.
    cycles.denoising_prefilter = "FAST"


def _use_gpu() -> None:
    """Let Cycles use every GPU of the fastest kind there is.

    Raises:
        RequirementError: there is none.
    """
    preferences = bpy.context.preferences.addons["cycles"].preferences
    for kind in GPUS:
        try:
            preferences.compute_device_type = kind
        except TypeError:  # this build does not know the kind
            continue
        preferences.refresh_devices()
        found = [device for device in preferences.devices if device.type == kind]
        if found:
            for device in preferences.devices:
                device.use = device in found
            return
    raise RequirementError("Cycles finds no GPU on this machine; use --device cpu")


def render_frames(scene: bpy.types.Scene, times: Sequence[float], settings: RenderSettings) -> NDArray[np.uint8]:
    """Render the frames at `times`: uint8 `[N, size, size, 4]`, straight alpha, nothing under alpha 0."""
    frames = np.zeros((len(times), settings.size, settings.size, 4), np.uint8)
    with tempfile.TemporaryDirectory(prefix="puppet-master-") as folder:
        target = Path(folder) / "frame.tga"
        scene.render.filepath = str(target)
        for row, time in enumerate(times):
            set_time(scene, time)
            bpy.ops.render.render(write_still=True, scene=scene.name)
            frames[row] = average_down(read_tga(target), settings.size)
    return frames


def read_tga(path: Path) -> NDArray[np.uint8]:
    """The pixels of an uncompressed Targa image as Blender writes it: uint8 `[H, W, 4]`, RGBA, top row first."""
    data = path.read_bytes()
    width, height = int.from_bytes(data[12:14], "little"), int.from_bytes(data[14:16], "little")
    start = TGA_HEADER + data[0]
    pixels = np.frombuffer(data, np.uint8, width * height * 4, start).reshape(height, width, 4)
    if not data[17] & 0x20:  # rows run upwards
        pixels = pixels[::-1]
    return pixels[..., [2, 1, 0, 3]]


def average_down(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Average straight-alpha RGBA `[k·size, k·size, 4]` down to `[size, size, 4]`, weighting by alpha."""
    scale = len(pixels) // size
    alpha = np.zeros((size, size, 1), np.uint32)
    color = np.zeros((size, size, 3), np.uint32)
    for row in range(scale):
        for column in range(scale):
            block = pixels[row::scale, column::scale].astype(np.uint32)
            alpha += block[..., 3:]
            color += block[..., :3] * block[..., 3:]
    whole = np.maximum(alpha, 1)
    averaged = np.concatenate(((color + whole // 2) // whole, (alpha + scale**2 // 2) // scale**2), axis=-1)
    averaged[averaged[..., 3] == 0] = 0
    return averaged.astype(np.uint8)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendering a clip's frames: engines, looks and reading the pixels back."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector
from numpy.typing import NDArray
from PIL import Image

from .scene import set_time
from .settings import ENGINES, RenderSettings

# Blender's studio lights, each with the exposure in stops that makes a white surface about white in it.
STUDIO_LIGHTS = {"Default": 1.3, "studio.sl": 0.9, "outdoor.sl": 0.7, "paint.sl": 0.4, "basic.sl": 1.4}


@dataclass(frozen=True)
class Look:
    """What of the rendering varies from clip to clip.

    Attributes:
        light: a Workbench studio light, or "FLAT".
        turn: the light's turn about the upright axis, in radians.
        shadow: strength of cast shadows, 0 for none.
        sun: direction the shadows' light comes from.
        cavity: strength of darkened grooves, 0 for none.
        specular: whether highlights show.
        exposure: in stops.
    """

    light: str
    turn: float
    shadow: float
    sun: tuple[float, float, float]
    cavity: float
    specular: bool
    exposure: float

    def to_json(self) -> dict[str, object]:
        """For a clip's metadata."""
        return asdict(self)


def random_look(rng: np.random.Generator) -> Look:
    """Mostly studio light with soft shadows."""
    light = "FLAT" if rng.random() < 0.06 else str(rng.choice(list(STUDIO_LIGHTS)))
    return Look(
        light=light,
        turn=float(rng.uniform(-np.pi, np.pi)),
        shadow=float(rng.uniform(0.1, 0.55)) if rng.random() < 0.6 else 0.0,
        sun=(float(rng.uniform(-0.8, 0.8)), float(rng.uniform(0.2, 1.0)), float(rng.uniform(0.3, 1.0))),
        cavity=float(rng.uniform(0.3, 1.2)) if rng.random() < 0.3 else 0.0,
        specular=bool(rng.random() < 0.5),
        exposure=STUDIO_LIGHTS.get(light, -0.3) + float(rng.uniform(-0.3, 0.35)),
    )


def set_up(scene: bpy.types.Scene, settings: RenderSettings, look: Look) -> None:
    """Prepare the scene for rendering frames with a transparent background."""
    render = scene.render
    scale = settings.oversample if settings.engine == "workbench" else 1
    render.engine = ENGINES[settings.engine]
    render.resolution_x = render.resolution_y = settings.size * scale
    render.resolution_percentage = 100
    render.film_transparent = True
    render.dither_intensity = 0.0
    render.image_settings.file_format = "PNG"
    render.image_settings.color_mode = "RGBA"
    render.image_settings.color_depth = "8"
    render.image_settings.compression = 0
    scene.view_settings.view_transform = "Standard"
    scene.view_settings.exposure = look.exposure
    if settings.engine == "workbench":
        _set_up_workbench(scene, look)
    else:
        _set_up_cycles(scene, settings, look)


def _set_up_workbench(scene: bpy.types.Scene, look: Look) -> None:
    scene.display.render_aa = "OFF"
    scene.display.light_direction = look.sun
    shading = scene.display.shading
    shading.color_type = "TEXTURE"
    if look.light == "FLAT":
        shading.light = "FLAT"
    else:
        shading.light = "STUDIO"
        shading.studio_light = look.light
        shading.use_world_space_lighting = True
        shading.studiolight_rotate_z = look.turn
    shading.show_specular_highlight = look.specular
    shading.show_shadows = look.shadow > 0
    shading.shadow_intensity = look.shadow
    shading.show_cavity = look.cavity > 0
    if look.cavity > 0:
        shading.cavity_type = "WORLD"
        shading.cavity_valley_factor = look.cavity
        shading.cavity_ridge_factor = 0.0


def _set_up_cycles(scene: bpy.types.Scene, settings: RenderSettings, look: Look) -> None:
    cycles = scene.cycles
    cycles.device = "CPU"
    cycles.samples = settings.samples
    cycles.use_denoising = True
    cycles.denoiser = "OPENIMAGEDENOISE"
    cycles.max_bounces = 4
    scene.render.threads_mode = "FIXED"
    scene.render.threads = 1
    scene.render.use_persistent_data = True
    world = bpy.data.worlds.new("world")
    background = next(node for node in world.node_tree.nodes if node.type == "BACKGROUND")
    background.inputs["Strength"].default_value = 0.55
    scene.world = world
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.data.energy = 2.0
    sun.data.angle = 0.2
    # Workbench gives the light's direction with the y axis up.
    x, y, z = look.sun
    sun.rotation_euler = Vector((x, -z, y)).to_track_quat("Z", "Y").to_euler()
    scene.collection.objects.link(sun)


def render_frames(scene: bpy.types.Scene, times: Sequence[float], settings: RenderSettings) -> NDArray[np.uint8]:
    """Render the frames at `times`: uint8 `[N, size, size, 4]`, straight alpha, nothing under alpha 0."""
    frames = np.zeros((len(times), settings.size, settings.size, 4), np.uint8)
    with tempfile.TemporaryDirectory(prefix="puppet-master-") as folder:
        target = Path(folder) / "frame.png"
        scene.render.filepath = str(target)
        for row, time in enumerate(times):
            set_time(scene, time)
            bpy.ops.render.render(write_still=True)
            with Image.open(target) as image:
                frames[row] = average_down(np.asarray(image.convert("RGBA")), settings.size)
    return frames


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

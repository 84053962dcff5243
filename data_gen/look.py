# SPDX-License-Identifier: GPL-3.0-or-later
"""What of the rendering varies from clip to clip: light, shadow, exposure."""

from __future__ import annotations

import colorsys
from dataclasses import asdict, dataclass

import bpy
import numpy as np
from mathutils import Vector

from .scene import add_to_shot, shot_world

# Blender's studio lights, each with the exposure in stops that makes a white surface about white in it.
STUDIO_LIGHTS = {"Default": 1.3, "studio.sl": 0.9, "outdoor.sl": 0.7, "paint.sl": 0.4, "basic.sl": 1.4}
# Strengths that together leave a white surface just white: a sun's light is spread over pi.
SUN, FILL, WORLD = 1.4, 0.6, 0.45
TURN_SPREAD = 1.0  # radians: half of the clips are lit from within 39 degrees of the camera's side
CAVITY_REACH = 0.1  # of the subject's size: how far Workbench looks for grooves


@dataclass(frozen=True)
class Look:
    """How a clip is lit.

    Attributes:
        light: a Workbench studio light, or "FLAT".
        turn: the light's turn about the upright axis, in radians; it comes from the camera's side where this is
            the camera's azimuth, negative; from -pi to pi.
        shadow: strength of cast shadows, 0 for none.
        sun: direction the shadows' light comes from, y up, as Workbench takes it.
        cavity: strength of darkened grooves, 0 for none.
        specular: whether highlights show.
        exposure: in stops.
        warmth: tint of the sun from -1 (blue) to 1 (orange); Cycles and EEVEE.
        fill: strength of a second light from the other side; Cycles and EEVEE.
    """

    light: str
    turn: float
    shadow: float
    sun: tuple[float, float, float]
    cavity: float
    specular: bool
    exposure: float
    warmth: float = 0.0
    fill: float = 0.0

    def to_json(self) -> dict[str, object]:
        """For a clip's metadata."""
        return asdict(self)


def random_look(rng: np.random.Generator, azimuth: float = 0.0) -> Look:
    """Mostly studio light with soft shadows, and mostly from the camera's side.

    Args:
        rng: decides everything random.
        azimuth: where the camera stands, in degrees, as in `cameras.Viewpoint`.
    """
    light = "FLAT" if rng.random() < 0.06 else str(rng.choice(list(STUDIO_LIGHTS)))
    camera = np.radians(azimuth)
    x, y, z = float(rng.uniform(-0.8, 0.8)), float(rng.uniform(0.2, 1.0)), float(rng.uniform(0.3, 1.0))
    return Look(
        light=light,
        turn=float((rng.normal(0, TURN_SPREAD) - camera + np.pi) % (2 * np.pi) - np.pi),  # Blender takes no more
        shadow=float(rng.uniform(0.1, 0.55)) if rng.random() < 0.6 else 0.0,
        sun=(float(x * np.cos(camera) + z * np.sin(camera)), y, float(z * np.cos(camera) - x * np.sin(camera))),
        cavity=float(rng.uniform(0.3, 1.2)) if rng.random() < 0.3 else 0.0,
        specular=bool(rng.random() < 0.5),
        exposure=STUDIO_LIGHTS.get(light, -0.3) + float(rng.uniform(-0.3, 0.35)),
        warmth=float(rng.uniform(-1, 1)),
        fill=float(rng.uniform(0, 1)),
    )


def light_workbench(scene: bpy.types.Scene, look: Look, size: float) -> None:
    """Light a scene whose subject is `size` large for Workbench."""
    scene.display.light_direction = look.sun
    scene.display.matcap_ssao_distance = CAVITY_REACH * size
    scene.view_settings.exposure = look.exposure
    shading = scene.display.shading
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


def light_path_traced(scene: bpy.types.Scene, look: Look) -> None:
    """Light a scene for Cycles and EEVEE: an even world and two suns, which do not mind the subject's size."""
    scene.view_settings.exposure = look.exposure - STUDIO_LIGHTS.get(look.light, -0.3)  # of our own light: none
    world = shot_world(scene)
    if world.node_tree is None:  # until Blender 5.0
        world.use_nodes = True
    background = next(node for node in world.node_tree.nodes if node.type == "BACKGROUND")
    background.inputs["Color"].default_value = (1.0, 1.0, 1.0, 1.0)
    background.inputs["Strength"].default_value = WORLD
    x, y, z = look.sun
    towards = Vector((x, -z, y))  # from Workbench's axes to the world's
    around = Vector((-np.sin(look.turn), -np.cos(look.turn), 0.4))
    _sun(scene, "sun", towards, SUN, _tint(look.warmth), 0.2 if look.shadow else 2.0)
    if look.fill > 0:
        _sun(scene, "fill", around, FILL * look.fill, _tint(-look.warmth), 1.0)


def _sun(
    scene: bpy.types.Scene, name: str, towards: Vector, strength: float, color: tuple[float, float, float], angle: float
) -> None:
    sun = bpy.data.objects.new(name, bpy.data.lights.new(name, "SUN"))
    sun.data.energy, sun.data.color, sun.data.angle = strength, color, angle
    sun.rotation_euler = towards.to_track_quat("Z", "Y").to_euler()
    add_to_shot(scene, sun)


def _tint(warmth: float) -> tuple[float, float, float]:
    """A light's colour: up to 18 % saturated, orange or blue."""
    return colorsys.hsv_to_rgb(0.08 if warmth > 0 else 0.6, 0.18 * abs(warmth), 1.0)

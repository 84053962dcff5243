# SPDX-License-Identifier: GPL-3.0-or-later
"""Desk lamps: a foot, two arms and a shade that tilts."""

from __future__ import annotations

import numpy as np

from . import finishes, textures
from .finishes import Finish
from .rig import Joint, Part, Rig, View
from .shapes import Shape

AXIS = "y"  # all hinges turn about the same axis, so that the lamp folds in a plane


def build(rng: np.random.Generator) -> Rig:
    """A desk lamp; at state 0 both arms stand upright and the shade looks to the right."""
    rig = Rig("lamp", View(azimuth=(-60, 60), elevation=(5, 40)))
    paint = finishes.painted(rng, "paint")
    metal = finishes.metal(rng, "metal")
    radius, foot = float(rng.uniform(0.18, 0.28)), float(rng.uniform(0.03, 0.07))
    body = Shape().cylinder((0, 0, 0), (0, 0, foot), radius, paint, end_radius=radius * 0.85, segments=24)
    body.cylinder((0, 0, foot), (0, 0, foot + 0.05), 0.035, metal, segments=12)
    rig.add_part("foot", body)
    z, part = foot + 0.05, None
    for index, limits in enumerate(((-0.9, 0.5), (0.0, 1.9))):
        length = float(rng.uniform(0.4, 0.65))
        part = _add_arm(rig, part, f"arm.{index}", z, length, limits, metal if rng.random() < 0.5 else paint)
        z += length
    _add_shade(rig, rng, part, z, paint, metal)
    return rig


def _add_arm(
    rig: Rig, parent: Part | None, name: str, z: float, length: float, limits: tuple[float, float], finish: Finish
) -> Part:
    """Two parallel bars between hinges."""
    arm = Shape()
    for y in (-0.025, 0.025):
        arm.cylinder((0, y, z), (0, y, z + length), 0.013, finish, segments=8)
    arm.cylinder((0, -0.05, z), (0, 0.05, z), 0.03, finish, segments=12)
    return rig.add_part(name, arm, parent, Joint("revolute", AXIS, (0.0, 0.0, z), limits))


def _add_shade(rig: Rig, rng: np.random.Generator, parent: Part, z: float, paint: Finish, metal: Finish) -> None:
    """A cone open to the front, with the bulb in it."""
    wide, length = float(rng.uniform(0.14, 0.22)), float(rng.uniform(0.22, 0.34))
    glow = finishes.surface(rng, "glow", "plain", textures.hsv(0.13, 0.25, 0.97))
    shade = Shape().cylinder((-0.04, 0, z), (0.06, 0, z), 0.045, metal, segments=14)
    shade.cylinder((0.06, 0, z), (0.06 + length, 0, z), 0.06, paint, end_radius=wide, segments=24, caps=glow)
    limits = (-0.6, 1.3)
    rig.add_part("shade", shade, parent, Joint("revolute", AXIS, (0.0, 0.0, z), limits))

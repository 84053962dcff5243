# SPDX-License-Identifier: GPL-3.0-or-later
"""Robot arms: a base that turns and a chain of links, with a two-fingered gripper."""

from __future__ import annotations

import numpy as np

from . import finishes, textures
from .finishes import Finish
from .rig import Joint, Part, Rig, View
from .shapes import Shape


def build(rng: np.random.Generator) -> Rig:
    """An arm of two or three links; at state 0 it stands upright."""
    rig = Rig("robot_arm", View(azimuth=(-80, 80), elevation=(5, 40)))
    pattern = str(rng.choice(["plain", "stripes", "label"]))
    paint = finishes.surface(rng, "paint", pattern, textures.paint_color(rng), 0.4)
    dark = finishes.surface(rng, "dark", "plain", (0.15, 0.15, 0.17))
    metal = finishes.metal(rng, "metal")
    radius = float(rng.uniform(0.16, 0.26))
    plate = Shape().cylinder((0, 0, 0), (0, 0, 0.06), radius * 1.4, dark, segments=20)
    plate.box((-radius * 1.5, -radius * 1.5, 0), (radius * 1.5, radius * 1.5, 0.025), metal)
    rig.add_part("base", plate)
    turret_top = 0.06 + float(rng.uniform(0.12, 0.25))
    turret = Shape().cylinder((0, 0, 0.062), (0, 0, turret_top), radius, paint, end_radius=radius * 0.8, segments=20)
    turret.box((-0.1, -0.04, turret_top - 0.06), (0.1, 0.04, turret_top + 0.06), dark)
    part = rig.add_part("turret", turret, joint=Joint("revolute", "z", (0.0, 0.0, 0.06), (-1.6, 1.6)))
    z = turret_top
    for index in range(int(rng.integers(2, 4))):
        length = float(rng.uniform(0.3, 0.55))
        part = _add_link(rig, rng, part, index, z, length, paint, dark, metal)
        z += length
    _add_gripper(rig, rng, part, z, metal, dark)
    return rig


def _add_link(
    rig: Rig, rng: np.random.Generator, parent: Part, index: int, z: float, length: float,
    paint: Finish, dark: Finish, metal: Finish,
) -> Part:  # fmt: skip
    """A link from a hinge at height z up to z + length; it nods about x or y."""
    wide = 0.09 - 0.018 * index
    shape = Shape()
    axis = "y" if rng.random() < 0.75 else "x"
    across = np.array((0.0, 1.0, 0.0) if axis == "y" else (1.0, 0.0, 0.0))
    pin = np.array((0.0, 0.0, z))
    shape.cylinder(pin - across * wide * 1.2, pin + across * wide * 1.2, wide, dark, segments=16, caps=metal)
    if rng.random() < 0.5:
        shape.box((-wide * 0.8, -wide * 0.8, z), (wide * 0.8, wide * 0.8, z + length), paint)
    else:
        shape.cylinder((0, 0, z), (0, 0, z + length), wide * 0.9, paint, end_radius=wide * 0.7, segments=14)
    limit = float(rng.uniform(1.0, 1.9))
    return rig.add_part(f"link.{index}", shape, parent, Joint("revolute", axis, (0.0, 0.0, z), (-limit, limit)))


def _add_gripper(rig: Rig, rng: np.random.Generator, wrist: Part, z: float, metal: Finish, dark: Finish) -> None:
    """A palm and two fingers that slide apart."""
    palm = Shape().box((-0.11, -0.04, z), (0.11, 0.04, z + 0.04), dark)
    hand = rig.add_part("palm", palm, wrist)
    length, travel = float(rng.uniform(0.1, 0.18)), 0.07
    for name, side, axis in (("left", -1, "-x"), ("right", 1, "x")):
        finger = Shape().box((side * 0.005, -0.03, z + 0.041), (side * 0.035, 0.03, z + 0.04 + length), metal)
        origin = (side * 0.02, 0.0, z + 0.04)
        rig.add_part(f"finger.{name}", finger, hand, Joint("prismatic", axis, origin, (0.0, travel)))

# SPDX-License-Identifier: GPL-3.0-or-later
"""Toilets: bowl and cistern, a seat and a lid that fold up."""

from __future__ import annotations

import numpy as np

from . import finishes, textures
from .rig import Joint, Rig, View
from .shapes import Shape

STRETCH = 1.25  # bowls are longer than wide


def build(rng: np.random.Generator) -> Rig:
    """A toilet; joint state 0 has seat and lid down."""
    rig = Rig("toilet", View(azimuth=(-70, 70), elevation=(10, 50)))
    white = textures.hsv(rng.random(), rng.uniform(0, 0.08), rng.uniform(0.8, 0.95))
    ceramic = finishes.surface(rng, "ceramic", "plain", white if rng.random() < 0.75 else textures.paint_color(rng))
    cover = ceramic if rng.random() < 0.4 else finishes.any_body(rng, "cover", 0.5)
    water = finishes.surface(rng, "water", "plain", (0.55, 0.7, 0.78))
    radius, height = float(rng.uniform(0.24, 0.3)), float(rng.uniform(0.42, 0.52))
    hinge = radius * STRETCH + 0.02
    body = _bowl(rng, radius, height, ceramic, water)
    tank_depth, tank_top = float(rng.uniform(0.16, 0.24)), height + float(rng.uniform(0.3, 0.5))
    half = radius * float(rng.uniform(0.8, 1.1))
    body.box((-half, hinge + 0.04, height * 0.85), (half, hinge + 0.04 + tank_depth, tank_top), ceramic)
    cap = (half + 0.015, hinge + 0.055 + tank_depth, tank_top + 0.04)
    body.box((-half - 0.015, hinge + 0.03, tank_top), cap, ceramic)
    body.box((-radius * 0.5, radius * 0.7, 0), (radius * 0.5, hinge + 0.04 + tank_depth, height * 0.9), ceramic)
    rig.add_part("body", body)
    z, thick = height + 0.005, 0.025
    level = z + thick + 0.004
    lid = Shape().cylinder((0, 0, level), (0, 0, level + 0.025), radius * 1.05, cover, segments=28)
    lid.stretch((1, STRETCH, 1))
    above = rig.add_part("lid", lid, joint=Joint("revolute", "-x", (0.0, hinge, level), (0.0, 1.75)))
    if rng.random() < 0.8:
        seat = Shape()
        ring = [(radius * 0.68, z), (radius * 1.04, z), (radius * 1.04, z + thick), (radius * 0.68, z + thick)]
        seat.lathe(ring, cover, 28, closed=True).stretch((1, STRETCH, 1))
        below = rig.add_part("seat", seat, joint=Joint("revolute", "-x", (0.0, hinge, z), (0.0, 1.7)))
        rig.gates[below] = above
    return rig


def _bowl(
    rng: np.random.Generator, radius: float, height: float, ceramic: finishes.Finish, water: finishes.Finish
) -> Shape:
    """A turned bowl on a foot, with water in it."""
    foot, waist = radius * float(rng.uniform(0.6, 0.85)), radius * float(rng.uniform(0.45, 0.65))
    outside = [(foot, 0), (waist, height * 0.35), (radius * 0.95, height * 0.8), (radius, height)]
    inner = [(radius * 0.8, height), (radius * 0.6, height * 0.6), (radius * 0.3, height * 0.45), (0, height * 0.44)]
    bowl = Shape().lathe([*outside, *inner], ceramic, 28)
    bowl.cylinder((0, 0, height * 0.5), (0, 0, height * 0.55), radius * 0.45, water, segments=20)
    return bowl.stretch((1, STRETCH, 1))

# SPDX-License-Identifier: GPL-3.0-or-later
"""Scissors: two blades that cross at a pivot, lying flat."""

from __future__ import annotations

import numpy as np

from . import finishes, textures
from .rig import Joint, Rig, View
from .shapes import Shape, moved


def build(rng: np.random.Generator) -> Rig:
    """Scissors; joint state 0 is closed, each blade opens to its side."""
    rig = Rig("scissors", View(azimuth=(-180, 180), elevation=(45, 85)))
    steel = finishes.surface(rng, "steel", "brushed_metal", textures.hsv(0.6, 0.03, rng.uniform(0.6, 0.85)), 0.3)
    grip = finishes.painted(rng, "grip")
    length, tail = float(rng.uniform(0.5, 0.75)), float(rng.uniform(0.35, 0.5))
    ring = float(rng.uniform(0.1, 0.14))
    bolt = Shape().cylinder((0, 0, -0.04), (0, 0, 0.045), 0.03, finishes.metal(rng, "bolt"), segments=14)
    rig.add_part("bolt", bolt)
    widest = float(rng.uniform(0.6, 0.95))
    for name, side, low, axis in (("left", -1, 0.002, "z"), ("right", 1, -0.032, "-z")):
        blade = Shape()
        edge = [(0.045, -0.05), (0.045, 0.1), (0.012, length), (-0.012, length), (-0.03, 0.1), (-0.045, -0.05)]
        outline = np.array(edge) * (-side, 1)
        blade.prism(outline if side < 0 else outline[::-1], 2, low, low + 0.03, steel)
        middle = np.array((side * (ring * 1.05), -tail, low + 0.015))
        shank = np.linspace((0, -0.04, low + 0.015), moved(middle, y=ring * 0.9), 3)
        blade.tube(shank, 0.028, grip, segments=8)
        turns = np.arange(20) * (2 * np.pi / 20)
        loop = middle + ring * np.stack((0.8 * np.cos(turns), np.sin(turns), 0 * turns), axis=1)
        blade.tube(loop, 0.03, grip, segments=8, closed=True)
        rig.add_part(f"blade.{name}", blade, joint=Joint("revolute", axis, (0.0, 0.0, 0.0), (0.0, widest)))
    return rig

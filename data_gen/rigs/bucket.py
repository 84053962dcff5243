# SPDX-License-Identifier: GPL-3.0-or-later
"""Buckets: a tapered vessel with a handle that swings over it."""

from __future__ import annotations

import numpy as np

from . import finishes, textures
from .rig import Joint, Rig, View
from .shapes import Shape, arc, vessel_profile


def build(rng: np.random.Generator) -> Rig:
    """A bucket; joint state 0 has the handle upright."""
    rig = Rig("bucket", View(azimuth=(-180, 180), elevation=(10, 55)))
    radius, height = float(rng.uniform(0.35, 0.55)), float(rng.uniform(0.45, 1.0))
    foot, wall = radius * float(rng.uniform(0.6, 1.0)), float(rng.uniform(0.015, 0.05))
    segments = int(rng.choice([6, 8, 12, 20, 28]))
    pattern = str(rng.choice(["planks", "wood", "plain", "stripes", "brushed_metal", "dots"]))
    color = textures.wood_color(rng) if rng.random() < 0.5 else textures.paint_color(rng)
    staves = finishes.surface(rng, "staves", pattern, color, 0.5)
    body = Shape()
    body.lathe(vessel_profile(foot, radius, height, wall), staves, segments)
    _add_filling(body, rng, foot, radius - wall, height, segments)
    hoop = finishes.metal(rng, "hoop")
    for level in rng.uniform(0.1, 0.9, int(rng.integers(0, 3))):
        at = foot + (radius - foot) * level
        z, inner, outer = level * height, at - 0.01, at + 0.012
        band = [(inner, z - 0.025), (outer, z - 0.025), (outer, z + 0.025), (inner, z + 0.025)]
        body.lathe(band, hoop, segments, closed=True)
    ear = height * float(rng.uniform(0.85, 0.95))
    reach = radius + 0.02
    for side in (-1, 1):
        body.box((side * (reach - 0.05), -0.04, ear - 0.05), (side * (reach + 0.01), 0.04, ear + 0.05), hoop)
    rig.add_part("body", body)
    swing = Joint("revolute", "x", (0.0, 0.0, ear), (-1.75, 1.75))
    rig.add_part("handle", _handle(rng, reach, ear, radius, hoop), joint=swing)
    return rig


def _add_filling(
    body: Shape, rng: np.random.Generator, foot: float, radius: float, height: float, segments: int
) -> None:
    """Mostly some liquid inside."""
    if rng.random() > 0.7:
        return
    color = textures.hsv(rng.uniform(0.45, 0.65), rng.uniform(0.2, 0.8), rng.uniform(0.4, 0.9))
    liquid = finishes.finish_from_pixels("liquid", textures.water(rng, color), tile=radius)
    level = float(rng.uniform(0.5, 0.92))
    at = foot + (radius - foot) * level - 0.002
    body.cylinder((0, 0, level * height - 0.02), (0, 0, level * height), at, liquid, segments=segments)


def _handle(rng: np.random.Generator, reach: float, ear: float, radius: float, metal: finishes.Finish) -> Shape:
    """A bow from ear to ear, round or angular, sometimes with a grip."""
    shape = Shape()
    rise = radius * float(rng.uniform(0.8, 1.3))
    finish = metal if rng.random() < 0.6 else finishes.any_body(rng, "handle", 0.6)
    thick = float(rng.uniform(0.018, 0.04))
    corners = int(rng.choice([4, 5, 7, 17]))
    path = arc((0, 0, ear), (reach, 0, 0), (0, 0, rise), 0, np.pi, corners)
    shape.tube(path, thick, finish, segments=4 if corners < 8 else 8)
    if rng.random() < 0.5:
        grip = finishes.wooden(rng, "grip")
        top = ear + rise * (np.cos(np.pi / (corners - 1) / 2) if corners % 2 == 0 else 1.0)
        half = 0.3 * reach
        shape.cylinder((-half, 0, top), (half, 0, top), thick * 1.5, grip, segments=10)
    return shape

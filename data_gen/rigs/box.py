# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes: chests with one hinged lid, cartons with flaps."""

from __future__ import annotations

import numpy as np

from . import finishes, textures
from .rig import Joint, Rig, View
from .shapes import Shape


def build(rng: np.random.Generator) -> Rig:
    """A box with a lid or with two to four flaps; joint state 0 is closed."""
    rig = Rig("box", View(azimuth=(-70, 70), elevation=(12, 50)))
    width, depth, height = (float(v) for v in rng.uniform((0.6, 0.45, 0.3), (1.2, 0.9, 0.9)))
    carton = rng.random() < 0.4
    if carton:
        pattern = str(rng.choice(["plain", "particle_board", "label"]))
        outside = finishes.surface(rng, "carton", pattern, textures.wood_color(rng), 0.8)
    else:
        outside = finishes.any_body(rng, "outside", 0.6)
    inside = finishes.painted(rng, "inside") if rng.random() < 0.5 else outside
    wall = 0.012 if carton else float(rng.uniform(0.02, 0.05))
    body = _open_box(width, depth, height, wall, outside, inside)
    if not carton and rng.random() < 0.6:
        trim = finishes.metal(rng, "trim")
        for x in (-width / 2, width / 2 - 0.05):
            body.box((x, -0.008, 0), (x + 0.05, 0, height), trim)
    rig.add_part("body", body)
    if carton:
        _add_flaps(rig, rng, width, depth, height, wall, outside, inside)
    else:
        _add_lid(rig, rng, width, depth, height, wall, outside, inside)
    return rig


def _open_box(
    width: float, depth: float, height: float, wall: float, outside: finishes.Finish, inside: finishes.Finish
) -> Shape:
    """Four walls and a floor."""
    half = width / 2
    shape = Shape()
    label = {"front": outside}
    shape.box((-half, 0, 0), (half, wall, height), outside, {"back": inside, **label}, ["front"])
    shape.box((-half, depth - wall, 0), (half, depth, height), outside, {"front": inside})
    shape.box((-half, wall, 0), (-half + wall, depth - wall, height), outside, {"right": inside})
    shape.box((half - wall, wall, 0), (half, depth - wall, height), outside, {"left": inside})
    shape.box((-half + wall, wall, 0), (half - wall, depth - wall, wall), outside, {"top": inside})
    return shape


def _add_lid(
    rig: Rig, rng: np.random.Generator, width: float, depth: float, height: float, wall: float,
    outside: finishes.Finish, inside: finishes.Finish,
) -> None:  # fmt: skip
    """A flat, hollow or round-topped lid that turns on the back edge."""
    lid, half = Shape(), width / 2
    thick = float(rng.uniform(0.02, 0.2))
    z = height + 0.002
    if rng.random() < 0.35:
        outline = [(depth / 2 * (1 - np.cos(a)), z + depth * 0.35 * np.sin(a)) for a in np.linspace(0, np.pi, 11)]
        lid.prism(outline[::-1], 0, -half, half, outside)
    else:
        over = float(rng.choice([0.0, 0.015]))
        low, high = (-half - over, -over, z), (half + over, depth + over, z + thick)
        lid.box(low, high, outside, {"bottom": inside})
    if rng.random() < 0.7:
        metal = finishes.metal(rng, "latch")
        size = float(rng.uniform(0.04, 0.09))
        lid.box((-size, -0.03, z - size * 0.6), (size, -0.015, z + size * 0.5), metal)
    limits = (0.0, float(rng.uniform(1.3, 2.3)))
    rig.add_part("lid", lid, joint=Joint("revolute", "-x", (0.0, depth, z), limits))


def _add_flaps(
    rig: Rig, rng: np.random.Generator, width: float, depth: float, height: float, wall: float,
    outside: finishes.Finish, inside: finishes.Finish,
) -> None:  # fmt: skip
    """A carton's flaps: the pair on the long sides, mostly the other pair too, slightly lower."""
    half, reach = width / 2, float(rng.uniform(0.35, 0.5))
    z = height + wall
    widest = float(rng.uniform(2.0, 3.6))
    pairs = [
        ("front", (-half, 0), (half, depth * reach), "x", (0.0, 0.0, z)),
        ("back", (-half, depth * (1 - reach)), (half, depth), "-x", (0.0, depth, z)),
    ]
    sides = [
        ("left", (-half, 0), (-half + width * reach, depth), "-y", (-half, 0.0, height)),
        ("right", (half - width * reach, 0), (half, depth), "y", (half, 0.0, height)),
    ]
    if rng.random() < 0.6:
        pairs += sides
    for name, low, high, axis, origin in pairs:
        level = origin[2]
        shape = Shape().box((*low, level), (*high, level + wall * 0.8), outside, {"bottom": inside})
        rig.add_part(f"flap.{name}", shape, joint=Joint("revolute", axis, origin, (0.0, widest)))

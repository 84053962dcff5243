# SPDX-License-Identifier: GPL-3.0-or-later
"""Safes: thick walls, a heavy door with a wheel that turns on it."""

from __future__ import annotations

import numpy as np

from . import finishes
from .furniture import Cell, Style, add_carcass, add_front, door_joint
from .rig import Joint, Rig
from .shapes import Shape, moved


def build(rng: np.random.Generator) -> Rig:
    """A safe; joint state 0 is closed."""
    rig = Rig("safe")
    width, depth, height = (float(v) for v in rng.uniform((0.6, 0.5, 0.6), (1.0, 0.8, 1.2)))
    wall = float(rng.uniform(0.05, 0.09))
    body_finish = finishes.painted(rng, "body")
    metal = finishes.metal(rng, "metal")
    inside = finishes.painted(rng, "inside")
    style = Style(body_finish, inside, body_finish, None, metal, "none", wall)
    body = Shape()
    add_carcass(body, style, width, depth, 0.03, height)
    for x in (-width / 2 + 0.02, width / 2 - 0.1):
        for y in (0.02, depth - 0.1):
            body.box((x, y, 0), (x + 0.08, y + 0.08, 0.03), metal)
    rig.add_part("body", body)
    front = Cell(-width / 2, width / 2, 0.03, height).shrunk(float(rng.choice([0.003, wall * 0.7])))
    door = Shape()
    add_front(door, style, front, 0.0)
    hinge = str(rng.choice(["left", "right"]))
    edge = front.left if hinge == "left" else front.right
    for level in (0.2, 0.8):
        z = front.bottom + level * front.height
        door.cylinder((edge, -wall, z - 0.05), (edge, -wall, z + 0.05), 0.02, metal, segments=10)
    part = rig.add_part("door", door, joint=door_joint(hinge, front, -wall, float(rng.uniform(1.5, 2.4))))
    middle = np.array((0.0, -wall, (front.bottom + front.top) / 2))
    wheel = _wheel(rng, middle, 0.22 * min(front.width, front.height), metal)
    origin = (0.0, -wall, float(middle[2]))
    rig.add_part("wheel", wheel, part, Joint("revolute", "y", origin, (0.0, float(rng.uniform(1.5, 3.0)))))
    return rig


def _wheel(rng: np.random.Generator, middle: np.ndarray, radius: float, metal: finishes.Finish) -> Shape:
    """A hub with spokes and mostly a rim."""
    wheel = Shape().cylinder(middle, moved(middle, y=-0.05), radius * 0.3, metal, segments=14)
    hub = moved(middle, y=-0.035)
    spokes = int(rng.integers(3, 6))
    for turn in np.arange(spokes) * (2 * np.pi / spokes):
        end = hub + radius * np.array((np.cos(turn), 0.0, np.sin(turn)))
        wheel.cylinder(hub, end, 0.012, metal, segments=8)
    if rng.random() < 0.6:
        turns = np.arange(20) * (2 * np.pi / 20)
        rim = hub + radius * np.stack((np.cos(turns), 0 * turns, np.sin(turns)), axis=1)
        wheel.tube(rim, 0.014, metal, segments=6, closed=True)
    return wheel

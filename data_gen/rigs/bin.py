# SPDX-License-Identifier: GPL-3.0-or-later
"""Waste bins: a tapered body, round or square, with a lid on a hinge or one that swings."""

from __future__ import annotations

import numpy as np

from . import finishes, textures
from .rig import Joint, Rig, View
from .shapes import Shape, vessel_profile


def build(rng: np.random.Generator) -> Rig:
    """A bin; joint state 0 is closed."""
    rig = Rig("bin", View(azimuth=(-70, 70), elevation=(8, 50)))
    radius, height = float(rng.uniform(0.28, 0.42)), float(rng.uniform(0.6, 1.1))
    segments = int(rng.choice([4, 4, 8, 24]))
    foot = radius * float(rng.uniform(0.7, 1.0))
    outside, lid_finish = finishes.painted(rng, "outside"), finishes.painted(rng, "lid")
    if rng.random() < 0.5:
        lid_finish = outside
    inside = finishes.surface(rng, "inside", "plain", textures.hsv(0.6, 0.05, rng.uniform(0.2, 0.5)))
    wall = 0.02
    # A four-sided ring stands on its corner: turned by an eighth its side faces the front.
    turn = np.pi / segments
    body = Shape().lathe(vessel_profile(foot, radius, height, wall), outside, segments)
    if rng.random() < 0.6:
        level = height * float(rng.uniform(0.3, 0.5))
        body.cylinder((0, 0, wall), (0, 0, level), foot * 0.9, inside, segments=segments)
    body.turn(turn)
    back = (radius + 0.01) * np.cos(turn)
    if rng.random() < 0.4:
        pedal = finishes.metal(rng, "pedal")
        body.box((-0.06, -foot - 0.1, 0.01), (0.06, -foot * 0.6, 0.035), pedal)
    rig.add_part("body", body)
    rise = float(rng.uniform(0.02, 0.2))
    lid = Shape().cylinder((0, 0, height + 0.003), (0, 0, height + 0.003 + rise), radius + 0.02, lid_finish,
                           end_radius=radius * float(rng.uniform(0.5, 1.0)), segments=segments)  # fmt: skip
    lid.turn(turn)
    if rng.random() < 0.4:
        lid.box((-0.07, -0.03, height + rise), (0.07, 0.03, height + rise + 0.04), finishes.metal(rng, "knob"))
    limits = (0.0, float(rng.uniform(1.3, 2.2)))
    rig.add_part("lid", lid, joint=Joint("revolute", "-x", (0.0, back, height), limits))
    return rig

# SPDX-License-Identifier: GPL-3.0-or-later
"""Laptops: a deck with keys and a lid with a display."""

from __future__ import annotations

import numpy as np

from . import textures
from .finishes import any_body, finish_from_pixels, metal
from .rig import Joint, Rig, View
from .shapes import Shape


def build(rng: np.random.Generator) -> Rig:
    """A laptop; joint state 0 is closed."""
    rig = Rig("laptop", View(azimuth=(-65, 65), elevation=(8, 50)))
    width, depth = float(rng.uniform(0.9, 1.2)), float(rng.uniform(0.6, 0.85))
    base, lid = float(rng.uniform(0.03, 0.08)), float(rng.uniform(0.015, 0.04))
    shell = any_body(rng, "shell", wood=0.1)
    color = textures.paint_color(rng)
    deck = finish_from_pixels("deck", textures.keyboard(rng, color))
    bezel = (0.05, 0.05, 0.06) if rng.random() < 0.6 else color
    display = finish_from_pixels("display", textures.screen(rng, bezel))
    hinge = metal(rng, "hinge")
    body = Shape().box((-width / 2, 0, 0), (width / 2, depth, base), shell, {"top": deck}, ["top"])
    radius = lid * 0.8
    for x in (-0.32, 0.2):
        body.cylinder((x * width, depth, base), ((x + 0.12) * width, depth, base), radius, hinge, segments=8)
    rig.add_part("base", body)
    # Closed, the display looks down onto the keys: its lower edge is at the hinge.
    cover = Shape()
    low, high = (-width / 2, 0, base + 0.004), (width / 2, depth, base + 0.004 + lid)
    cover.box(low, high, shell, {"bottom": display}, ["bottom"])
    limits = (0.0, float(rng.uniform(1.9, 2.7)))
    rig.add_part("lid", cover, joint=Joint("revolute", "-x", (0.0, depth, base + 0.004), limits))
    return rig

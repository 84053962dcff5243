# SPDX-License-Identifier: GPL-3.0-or-later
"""Buckets: a tapered vessel with a handle that swings over it, from hanging on one side to hanging on the other."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from . import finishes, textures
from .finishes import Finish
from .rig import Joint, Rig, View
from .shapes import Shape, arc, vessel_profile

WIDEST_SWING = 2.05  # radians from upright
LEAST_SWING = 1.75  # a bow that meets the body earlier is made longer
LONGEST_BOW = 1.55  # height over half-width; one that would need more is given another form

FORMS = ("round", "round", "round", "hexagon", "hexagon", "trapeze", "bracket")  # of bows


@dataclass(frozen=True)
class Body:
    """Measures of a vessel, in scene units: radii at the foot and at the rim, height, wall, number of sides."""

    foot: float
    rim: float
    height: float
    wall: float
    sides: int

    def radius(self, z: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """The outer radius at a height, at the corners of the sides."""
        return self.foot + (self.rim - self.foot) * np.asarray(z) / self.height


def build(rng: np.random.Generator) -> Rig:
    """A bucket; joint state 0 has the handle upright."""
    rig = Rig("bucket", View(azimuth=(-180, 180), elevation=(5, 65)))
    rim = float(rng.uniform(0.35, 0.55))
    taper = float(rng.uniform(0.5, 0.8) if rng.random() < 0.4 else rng.uniform(0.75, 1.0))
    sides = int(rng.choice([5, 6, 6, 7, 8, 8, 10, 12, 16, 20, 28]))
    size = Body(rim * taper, rim, float(rng.uniform(0.45, 1.0)), float(rng.uniform(0.015, 0.05)), sides)
    iron = _iron(rng)
    body = Shape().lathe(vessel_profile(size.foot, size.rim, size.height, size.wall), _staves(rng), sides)
    _add_filling(body, rng, size)
    _add_hoops(body, rng, size, iron)
    ear = size.height * float(rng.uniform(0.84, 0.97))
    reach = rim + float(rng.uniform(0.01, 0.03))
    _add_ears(body, rng, size, ear, reach, iron)
    rig.add_part("body", body)
    bow, swing = _bow(rng, size, reach, ear)
    joint = Joint("revolute", "x", (0.0, 0.0, ear), (-swing, swing))
    rig.add_part("handle", _handle(rng, bow, ear, iron), joint=joint)
    return rig


def _iron(rng: np.random.Generator) -> Finish:
    """Mostly dark, sometimes any metal."""
    if rng.random() < 0.4:
        return finishes.metal(rng, "iron")
    return finishes.surface(rng, "iron", "plain", textures.hsv(rng.random(), 0.08, rng.uniform(0.08, 0.35)), 0.3)


def _staves(rng: np.random.Generator) -> Finish:
    """Wood about half of the time, else metal or paint."""
    if rng.random() < 0.55:
        pattern = str(rng.choice(["planks", "planks", "wood"]))
        return finishes.surface(rng, "staves", pattern, textures.wood_color(rng), 0.5)
    pattern = str(rng.choice(["plain", "plain", "brushed_metal", "stripes", "dots", "label"]))
    return finishes.surface(rng, "staves", pattern, textures.paint_color(rng), 0.5)


def _add_hoops(body: Shape, rng: np.random.Generator, size: Body, iron: Finish) -> None:
    """No to three bands around the staves, mostly even spaced."""
    count = int(rng.choice([0, 1, 2, 2, 3]))
    levels = np.linspace(0.12, 0.88, count) if rng.random() < 0.6 else rng.uniform(0.1, 0.9, count)
    half = float(rng.uniform(0.012, 0.04))
    for level in levels:
        z = level * size.height
        low, high = size.radius(z - half), size.radius(z + half)
        band = [(low - 0.01, z - half), (low + 0.012, z - half), (high + 0.012, z + half), (high - 0.01, z + half)]
        body.lathe(band, iron, size.sides, closed=True)


def _add_filling(body: Shape, rng: np.random.Generator, size: Body) -> None:
    """Mostly some liquid inside."""
    if rng.random() > 0.6:
        return
    color = textures.hsv(rng.uniform(0.45, 0.65), rng.uniform(0.2, 0.8), rng.uniform(0.4, 0.9))
    if rng.random() < 0.2:
        color = textures.paint_color(rng)
    liquid = finishes.finish_from_pixels("liquid", textures.water(rng, color), tile=size.rim)
    z = size.height * float(rng.uniform(0.5, 0.92))
    body.cylinder((0, 0, z - 0.02), (0, 0, z), size.radius(z) - size.wall - 0.002, liquid, segments=size.sides)


def _add_ears(body: Shape, rng: np.random.Generator, size: Body, ear: float, reach: float, iron: Finish) -> None:
    """Plates that the handle hangs on, from the wall out to the handle."""
    wide, tall = (float(v) for v in rng.uniform(0.025, 0.06, 2))
    flat = np.cos(np.pi / size.sides)  # with an odd number of sides the left ear sits on a flat
    for side, share in ((1, 1.0), (-1, flat if size.sides % 2 else 1.0)):
        inner = (size.radius(ear) - size.wall) * share
        body.box((side * inner, -wide, ear - tall), (side * (reach + 0.01), wide, ear + tall), iron)


def _bow(rng: np.random.Generator, size: Body, reach: float, ear: float) -> tuple[NDArray[np.float64], float]:
    """A bow from ear to ear, `[n, 3]`, upright, and how far it swings to either side, in radians."""
    while True:
        outline = _outline(str(rng.choice(FORMS)), rng)
        for share in np.arange(rng.uniform(0.95, 1.35), LONGEST_BOW, 0.04):
            rise = reach * share
            bow = np.stack((outline[:, 0] * reach, np.zeros(len(outline)), ear + outline[:, 1] * rise), axis=1)
            swing = _free_swing(bow, ear, size)
            if swing >= LEAST_SWING:
                return bow, swing


def _outline(form: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """Half of a circle or of an angular figure about a half-width and height of 1, `[n, 2]`, from right to left."""
    if form == "round":
        return arc((0, 0, 0), (1, 0, 0), (0, 1, 0), 0, np.pi, int(rng.choice([9, 17])))[:, :2]
    if form == "hexagon":
        return arc((0, 0, 0), (1, 0, 0), (0, 1 / np.sin(np.pi / 3), 0), 0, np.pi, 4)[:, :2]
    if form == "trapeze":
        shoulder, top = float(rng.uniform(0.45, 0.8)), float(rng.uniform(0.4, 0.75))
        return np.array([(1, 0), (1, shoulder), (top, 1), (-top, 1), (-1, shoulder), (-1, 0)])
    return np.array([(1, 0), (1, 0.9), (0.9, 1), (-0.9, 1), (-1, 0.9), (-1, 0)])


def _free_swing(bow: NDArray[np.float64], ear: float, size: Body) -> float:
    """How far an upright bow swings before it meets the body, in radians, at most `WIDEST_SWING`."""
    steps = np.linspace(0, 1, 12, endpoint=False)[:, None]
    along = np.concatenate([a + (b - a) * steps for a, b in pairwise(bow)])
    x, high = along[:, 0], along[:, 2] - ear
    free = high > 0.1  # next to the ears it touches the wall anyway
    x, high = x[free], high[free]
    for angle in np.arange(0.5, WIDEST_SWING, 0.05):
        y, z = high * np.sin(angle), ear + high * np.cos(angle)
        inside = (z > 0) & (z < size.height) & (np.hypot(x, y) < size.radius(z) + 0.01)
        below = z < 0
        if inside.any() or below.any():
            return float(angle - 0.05)
    return WIDEST_SWING


def _handle(rng: np.random.Generator, bow: NDArray[np.float64], ear: float, iron: Finish) -> Shape:
    """A bar along the bow, from wire to thick wood, sometimes with a grip."""
    shape = Shape()
    wire = rng.random() < 0.4
    thick = float(rng.uniform(0.009, 0.018) if wire else rng.uniform(0.018, 0.045))
    finish = iron if wire or rng.random() < 0.6 else finishes.any_body(rng, "handle", 0.7)
    shape.tube(bow, thick, finish, segments=int(rng.choice([4, 8])) if len(bow) < 8 else 8)
    if rng.random() < 0.35:
        top = float(bow[:, 2].max())
        flat = np.abs(bow[bow[:, 2] > top - 1e-6, 0]).max()
        half = max(0.7 * flat, 0.25 * bow[0, 0])
        grip = finishes.wooden(rng, "grip") if rng.random() < 0.7 else finishes.painted(rng, "grip")
        shape.cylinder((-half, 0, top), (half, 0, top), max(1.5 * thick, 0.025), grip, segments=10)
    for x in (bow[0, 0], bow[-1, 0]):  # pins in the ears
        shape.cylinder((x - 0.015, 0, ear), (x + 0.02, 0, ear), 1.2 * thick, iron, segments=8)
    return shape

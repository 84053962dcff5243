# SPDX-License-Identifier: GPL-3.0-or-later
"""Four-legged animals: a torso with a neck, a head, a tail and legs of two links."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import finishes, textures
from .finishes import Finish
from .rig import Joint, Part, Rig, View
from .shapes import Shape, moved


@dataclass(frozen=True)
class Build:
    """An animal's measures, in scene units, and its finishes.

    Attributes:
        half: half the torso's length. belly: its radius. z: its middle's height.
        thigh, shin: lengths of a leg's links. thick: a leg's radius at the hip.
        sides: corners of all cross-sections. coat, points, dark: of the body, of feet and face, of hoofs and eyes.
    """

    half: float
    belly: float
    z: float
    thigh: float
    shin: float
    thick: float
    sides: int
    coat: Finish
    points: Finish
    dark: Finish


def build(rng: np.random.Generator) -> Rig:
    """An animal that stands, its nose to the left; at state 0 its legs are straight."""
    rig = Rig("quadruped", View(azimuth=(-180, 180), elevation=(0, 45)))
    make = _measures(rng)
    rig.add_part("torso", _torso(rng, make))
    _add_neck(rig, rng, make)
    _add_tail(rig, rng, make)
    hip, knee = float(rng.uniform(0.5, 1.0)), float(rng.uniform(1.0, 1.9))
    hind_forward = rng.random() < 0.4
    thighs: list[Part] = []
    for name, x, forward in (("fore", -1, False), ("hind", 1, hind_forward)):
        for side in (-1, 1):
            whole = f"{name}.{'left' if side < 0 else 'right'}"
            thighs.append(_add_leg(rig, make, whole, x, side, hip, knee, forward))
    if rng.random() < 0.3:
        rig.chains.append(thighs)
    return rig


def _measures(rng: np.random.Generator) -> Build:
    """From dachshund to giraffe."""
    half, belly = float(rng.uniform(0.22, 0.45)), float(rng.uniform(0.1, 0.2))
    legs = float(rng.uniform(0.25, 0.7))
    share = float(rng.uniform(0.42, 0.58))
    coat = finishes.coat(rng, "coat")
    points = coat if rng.random() < 0.5 else finishes.coat(rng, "points")
    dark = finishes.surface(rng, "dark", "plain", textures.hsv(rng.random(), 0.2, rng.uniform(0.03, 0.3)))
    thick = float(rng.uniform(0.03, 0.075))
    return Build(
        half, belly, legs + 0.6 * belly, legs * share, legs * (1 - share), thick,
        int(rng.choice([4, 6, 8, 12, 12, 16])), coat, points, dark,
    )  # fmt: skip


def _torso(rng: np.random.Generator, make: Build) -> Shape:
    """A barrel between chest and rump, its ends round."""
    chest, rump = make.belly * float(rng.uniform(0.85, 1.2)), make.belly * float(rng.uniform(0.75, 1.1))
    shape = Shape()
    if make.sides == 4 and rng.random() < 0.5:
        low, high = (-make.half - 0.5 * chest, -chest, make.z - chest), (make.half + 0.5 * rump, chest, make.z + chest)
        return shape.box(low, high, make.coat)
    flat = float(rng.uniform(0.75, 1.0))
    shape.capsule((-make.half, 0, make.z), (make.half, 0, make.z), chest, make.coat, rump, make.sides, flat)
    if rng.random() < 0.25:  # a belt or saddle
        x, wide = float(rng.uniform(-0.3, 0.3)) * make.half, 0.3 * make.half
        middle = (chest + rump) / 2 + 0.01
        cloth = finishes.coat(rng, "cloth")
        profile = [(0, middle, middle * flat), (2 * wide, middle, middle * flat)]
        shape.loft((x - wide, 0, make.z), (x + wide, 0, make.z), profile, cloth, make.sides)
    return shape


def _add_neck(rig: Rig, rng: np.random.Generator, make: Build) -> None:
    """A neck that nods and a head on it that nods too, mostly."""
    length = float(rng.uniform(0.08, 0.3) if rng.random() < 0.7 else rng.uniform(0.3, 0.7))
    rise = float(rng.uniform(0.3, 1.3))
    thick = make.belly * float(rng.uniform(0.4, 0.65))
    root = np.array((-make.half - 0.2 * make.belly, 0.0, make.z + 0.3 * make.belly))
    top = root + length * np.array((-np.cos(rise), 0.0, np.sin(rise)))
    neck = Shape().capsule(root, top, thick, make.coat, thick * float(rng.uniform(0.65, 0.95)), make.sides)
    axis = "y" if rng.random() < 0.8 else "z"
    part = rig.add_part("neck", neck, joint=Joint("revolute", axis, tuple(root.tolist()), (-0.7, 0.5)))
    axis = "y" if rng.random() < 0.7 else str(rng.choice(["x", "z"]))
    joint = Joint("revolute", axis, tuple(top.tolist()), (-0.6, 0.7))
    rig.add_part("head", _head(rng, make, top, thick), part, joint)


def _head(rng: np.random.Generator, make: Build, top: np.ndarray, thick: float) -> Shape:
    """A skull, a muzzle, ears or horns, eyes."""
    skull = max(thick * float(rng.uniform(0.9, 1.5)), 0.06)
    muzzle = skull * float(rng.uniform(0.6, 2.2))
    droop = float(rng.uniform(0.0, 0.7))
    forward = np.array((-np.cos(droop), 0.0, -np.sin(droop)))
    centre = top + np.array((-0.3, 0.0, 0.3)) * skull
    tip = centre + muzzle * forward
    shape = Shape().capsule(centre, tip, skull, make.coat, skull * float(rng.uniform(0.35, 0.65)), make.sides)
    shape.ellipsoid(tip + forward * skull * 0.45, (skull * 0.25, skull * 0.25, skull * 0.2), make.dark, 10)
    for side in (-1, 1):
        eye = centre + np.array((-0.45, side * 0.75, 0.4)) * skull
        shape.ellipsoid(eye, (skull * 0.18,) * 3, make.dark, 8)
        base = centre + np.array((0.2, side * 0.6, 0.7)) * skull
        out = np.array((float(rng.uniform(0.0, 0.4)), side * 0.5, 1.0)) * skull * float(rng.uniform(0.6, 1.4))
        if rng.random() < 0.3:
            out[2] *= -0.3  # hanging ears
        shape.capsule(base, base + out, skull * 0.3, make.points, skull * 0.1, 8, 0.5)
    return shape


def _add_tail(rig: Rig, rng: np.random.Generator, make: Build) -> None:
    """A tail of one to three links."""
    count = int(rng.integers(1, 4))
    length = float(rng.uniform(0.12, 0.5)) / count
    rise = float(rng.uniform(-1.0, 1.2))
    step = length * np.array((np.cos(rise), 0.0, np.sin(rise)))
    thick = float(rng.uniform(0.018, 0.05))
    axis, limit = ("y", 0.6) if rng.random() < 0.5 else ("z", 0.8)
    at = np.array((make.half + 0.75 * make.belly, 0.0, make.z + 0.3 * make.belly))
    parent, links = rig.parts[0], []
    for index in range(count):
        finish = make.points if index == count - 1 else make.coat
        shape = Shape().capsule(at, at + step, thick, finish, thick * 0.85, max(make.sides, 6))
        joint = Joint("revolute", axis, tuple(at.tolist()), (-limit, limit))
        parent = rig.add_part(f"tail.{index}", shape, parent, joint)
        links.append(parent)
        at, thick = at + step, thick * 0.85
    if count > 1:
        rig.chains.append(links)


def _add_leg(rig: Rig, make: Build, name: str, end: int, side: int, hip: float, knee: float, forward: bool) -> Part:
    """A thigh that swings, which is given, and a shin that bends backward, or forward; `end` is -1 for a fore leg."""
    top = np.array((end * make.half * 0.9, side * make.belly * 0.62, make.thigh + make.shin))
    bend = moved(top, z=-make.thigh)
    foot = moved(bend, z=-make.shin)
    lower = make.thick * 0.72
    thigh = Shape().capsule(top, bend, make.thick * 1.3, make.coat, lower, make.sides)
    # Equal states of all thighs are a trot: diagonal legs go together.
    swing = Joint("revolute", "y" if end * side > 0 else "-y", tuple(top.tolist()), (-hip, hip))
    upper = rig.add_part(f"thigh.{name}", thigh, joint=swing)
    shin = Shape().capsule(bend, moved(foot, z=lower), lower * 0.97, make.points, lower * 0.75, make.sides)
    shin.capsule(moved(foot, z=lower * 0.8), moved(foot, -lower, z=lower * 0.8), lower * 0.8, make.dark, segments=8)
    joint = Joint("revolute", "y" if forward else "-y", tuple(bend.tolist()), (0.0, knee))
    rig.add_part(f"shin.{name}", shin, upper, joint)
    return upper

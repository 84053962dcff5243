# SPDX-License-Identifier: GPL-3.0-or-later
"""People, dolls and robots: a torso, a head, arms with shoulder and elbow, legs with hip and knee."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import finishes, textures
from .finishes import Finish
from .rig import Joint, Part, Rig, View
from .shapes import Shape, moved


@dataclass(frozen=True)
class Figure:
    """A figure's measures, in scene units, and its finishes.

    Attributes:
        hip: height of the hips. shoulder: height of the shoulders. chest, waist: half-widths. flat: depth over width.
        head: radius of the head. arm, leg: lengths. thick: a leg's radius. sides: corners of all cross-sections.
        skin, shirt, trousers, shoes, hair: finishes.
    """

    hip: float
    shoulder: float
    chest: float
    waist: float
    flat: float
    head: float
    arm: float
    leg: float
    thick: float
    sides: int
    skin: Finish
    shirt: Finish
    trousers: Finish
    shoes: Finish
    hair: Finish


def build(rng: np.random.Generator) -> Rig:
    """A standing figure that looks to the front; at state 0 its arms hang or are spread."""
    rig = Rig("humanoid", View(azimuth=(-110, 110), elevation=(-5, 35)))
    make = _measures(rng)
    chest = _add_torso(rig, rng, make)
    _add_head(rig, rng, make, chest)
    spread = rng.random() < 0.4
    for side in (-1, 1):
        _add_arm(rig, rng, make, chest, side, spread)
        _add_leg(rig, rng, make, side)
    return rig


def _measures(rng: np.random.Generator) -> Figure:
    """From a long-legged adult to a big-headed doll; clothed, or of one stuff."""
    leg = float(rng.uniform(0.35, 0.6))
    torso = float(rng.uniform(0.35, 0.5))
    chest = float(rng.uniform(0.12, 0.22))
    clothed = rng.random() < 0.7
    pale = textures.hsv(rng.uniform(0.02, 0.1), rng.uniform(0.2, 0.65), rng.uniform(0.3, 0.97))
    skin = finishes.surface(rng, "skin", "plain", pale) if clothed else finishes.any_body(rng, "skin", 0.4)
    shirt = finishes.coat(rng, "shirt") if clothed else skin
    trousers = finishes.coat(rng, "trousers") if clothed else finishes.metal(rng, "joints")
    shoes = finishes.surface(rng, "shoes", "plain", textures.hsv(rng.random(), 0.3, rng.uniform(0.05, 0.5)))
    hair = finishes.surface(rng, "hair", "wood", textures.hsv(rng.uniform(0, 0.13), 0.6, rng.uniform(0.05, 0.8)))
    return Figure(
        hip=leg, shoulder=leg + torso, chest=chest, waist=chest * float(rng.uniform(0.7, 1.0)),
        flat=float(rng.uniform(0.5, 0.8)), head=float(rng.uniform(0.09, 0.14) if rng.random() < 0.7 else 0.2),
        arm=torso * float(rng.uniform(1.0, 1.4)), leg=leg, thick=chest * float(rng.uniform(0.3, 0.45)),
        sides=int(rng.choice([4, 4, 8, 12, 12, 16])), skin=skin, shirt=shirt, trousers=trousers, shoes=shoes, hair=hair,
    )  # fmt: skip


def _add_torso(rig: Rig, rng: np.random.Generator, make: Figure) -> Part:
    """Pelvis and chest, one part or two with a joint between; gives the chest."""
    middle = make.hip + 0.35 * (make.shoulder - make.hip)
    low, top = make.hip - 0.2 * make.waist, make.shoulder + 0.1 * make.chest
    pelvis = _trunk(make, low, middle, 1.05 * make.waist, make.waist, make.trousers)
    chest = _trunk(make, middle - 0.02, top, 0.97 * make.waist, make.chest, make.shirt)
    chest.capsule((0, 0, make.shoulder), (0, 0, make.shoulder + 0.5 * make.head), 0.4 * make.head, make.skin)
    if rng.random() < 0.5:
        rig.add_part("torso", pelvis.add_shape(chest, (0, 0, 0)))
        return rig.parts[0]
    rig.add_part("pelvis", pelvis)
    axis, limit = {0: ("x", 0.7), 1: ("y", 0.5), 2: ("z", 0.9)}[int(rng.integers(3))]
    return rig.add_part("chest", chest, joint=Joint("revolute", axis, (0.0, 0.0, middle), (-limit, limit)))


def _trunk(make: Figure, low: float, high: float, below: float, above: float, finish: Finish) -> Shape:
    """A flattened barrel between two heights with the given half-widths, rounded over at both ends."""
    rows = [(0.0, 0.6 * below), (0.06, 0.9 * below), (0.15, below)]
    rows += [(0.85, above), (0.95, 0.9 * above), (1.0, 0.6 * above)]
    # Along z, `perpendicular`'s side is y and its up is x.
    profile = [(share * (high - low), wide * make.flat, wide) for share, wide in rows]
    return Shape().loft((0, 0, low), (0, 0, high), profile, finish, 16 if make.sides > 4 else 4)


def _add_head(rig: Rig, rng: np.random.Generator, make: Figure, chest: Part) -> None:
    """A ball or a block with eyes, mostly hair, on the neck; it turns, nods or tilts."""
    r, neck = make.head, make.shoulder + 0.3 * make.head
    centre = np.array((0.0, -0.05 * r, neck + 1.2 * r))
    shape = Shape()
    tall = float(rng.uniform(1.0, 1.25))
    if make.sides == 4:
        block = r * np.array((0.85, 0.85, 0.9))
        shape.box(centre - block, centre + block, make.skin)
        if rng.random() < 0.7:
            low, high = moved(centre, -0.9 * r, -0.5 * r, 0.3 * r), moved(centre, 0.9 * r, 0.92 * r, 0.97 * r)
            shape.box(low, high, make.hair)
    else:
        shape.ellipsoid(centre, (0.85 * r, 0.95 * r, tall * r), make.skin)
        if rng.random() < 0.7:
            shape.ellipsoid(moved(centre, y=0.2 * r, z=0.25 * r), (0.92 * r, 0.92 * r, tall * 0.9 * r), make.hair)
    front = centre[1] - (0.85 if make.sides == 4 else 0.86) * r
    for x in (-0.32 * r, 0.32 * r):
        shape.ellipsoid((x, front, centre[2] + 0.05 * r), (0.13 * r,) * 3, make.shoes, 8)
    shape.ellipsoid((0, front - 0.05 * r, centre[2] - 0.2 * r), (0.1 * r, 0.18 * r, 0.15 * r), make.skin, 8)
    axis, limit = {0: ("x", 0.6), 1: ("y", 0.5), 2: ("z", 1.1), 3: ("z", 1.1)}[int(rng.integers(4))]
    rig.add_part("head", shape, chest, Joint("revolute", axis, (0.0, 0.0, neck), (-limit, limit)))


def _add_arm(rig: Rig, rng: np.random.Generator, make: Figure, chest: Part, side: int, spread: bool) -> None:
    """A shoulder that lifts sideways, an upper arm that swings forward, a forearm that bends forward."""
    name = "left" if side < 0 else "right"
    along = np.array((side, 0.0, 0.0)) if spread else np.array((0.0, 0.0, -1.0))
    thick = 0.75 * make.thick
    root = np.array((side * (make.chest + 0.6 * thick), 0.0, make.shoulder - 0.3 * thick))
    elbow = root + 0.5 * make.arm * along
    wrist = elbow + 0.45 * make.arm * along
    lift, swing = _shoulder_joints(side, spread, root)
    ball = Shape().ellipsoid(root, (1.15 * thick,) * 3, make.shirt, 12)
    shoulder = rig.add_part(f"shoulder.{name}", ball, chest, lift)
    sleeve = Shape().capsule(root, elbow, thick, make.shirt, 0.85 * thick, make.sides)
    upper = rig.add_part(f"arm.{name}", sleeve, shoulder, swing)
    fore = Shape().capsule(elbow, wrist, 0.82 * thick, make.skin, 0.65 * thick, make.sides)
    fore.ellipsoid(wrist + 0.8 * thick * along, (0.95 * thick,) * 3, make.skin, 10)
    axis = ("-z" if side > 0 else "z") if spread else "-x"
    limit = float(rng.uniform(1.6, 2.4))
    rig.add_part(f"forearm.{name}", fore, upper, Joint("revolute", axis, tuple(elbow.tolist()), (0.0, limit)))


def _shoulder_joints(side: int, spread: bool, root: NDArray[np.float64]) -> tuple[Joint, Joint]:
    """Lifting sideways and swinging forward, of an arm that hangs or is spread."""
    right = side > 0
    if spread:
        lift = Joint("revolute", "-y" if right else "y", tuple(root.tolist()), (-1.2, 1.2))
        return lift, Joint("revolute", "-z" if right else "z", tuple(root.tolist()), (-0.4, 1.5))
    lift = Joint("revolute", "-y" if right else "y", tuple(root.tolist()), (0.0, 2.4))
    return lift, Joint("revolute", "-x", tuple(root.tolist()), (-0.7, 2.4))


def _add_leg(rig: Rig, rng: np.random.Generator, make: Figure, side: int) -> None:
    """A thigh that swings, or spreads, and a shin that bends backward, with a shoe."""
    name = "left" if side < 0 else "right"
    hip = np.array((side * 0.52 * make.waist, 0.0, make.hip))
    knee = moved(hip, z=-0.5 * make.leg)
    lower = 0.8 * make.thick
    ankle = np.array((hip[0], 0.0, lower))
    thigh = Shape().capsule(hip, knee, make.thick, make.trousers, lower, make.sides)
    if rng.random() < 0.75:
        joint = Joint("revolute", "-x", tuple(hip.tolist()), (-0.7, 1.7))
    else:
        joint = Joint("revolute", "-y" if side > 0 else "y", tuple(hip.tolist()), (0.0, 1.0))
    upper = rig.add_part(f"thigh.{name}", thigh, joint=joint)
    shin = Shape().capsule(knee, ankle, 0.97 * lower, make.trousers, 0.8 * lower, make.sides)
    toe = (ankle[0], -1.8 * lower, 0.75 * lower)
    shin.capsule((ankle[0], 0.2 * lower, 0.75 * lower), toe, 0.75 * lower, make.shoes, segments=8)
    rig.add_part(f"shin.{name}", shin, upper, Joint("revolute", "x", tuple(knee.tolist()), (0.0, 2.1)))

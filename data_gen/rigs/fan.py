# SPDX-License-Identifier: GPL-3.0-or-later
"""Fans: on a stand, with a head that may tilt and pan, or hanging from the ceiling; the blades turn."""

from __future__ import annotations

import numpy as np

from . import finishes
from .finishes import Finish
from .rig import Joint, Part, Rig, View
from .shapes import Shape, arc

TURN = 1.7  # radians that the blades turn either way: of even blades nobody sees how often they went round


def build(rng: np.random.Generator) -> Rig:
    """A fan; at state 0 its head looks to the front."""
    return _ceiling_fan(rng) if rng.random() < 0.3 else _standing_fan(rng)


def _ceiling_fan(rng: np.random.Generator) -> Rig:
    """A rod and a motor that hang from a plate; blades about the upright axis."""
    from_below = rng.random() < 0.7
    rig = Rig("fan", View(azimuth=(-180, 180), elevation=(-60, -15) if from_below else (10, 60)))
    paint, metal = finishes.any_body(rng, "paint", 0.3), finishes.metal(rng, "metal")
    drop, radius = float(rng.uniform(0.15, 0.5)), float(rng.uniform(0.08, 0.16))
    motor = float(rng.uniform(0.08, 0.16))
    body = Shape().cylinder((0, 0, motor + drop), (0, 0, motor + drop + 0.04), radius * 0.8, metal, segments=20)
    body.cylinder((0, 0, motor * 0.9), (0, 0, motor + drop), 0.02, metal, segments=10)
    body.cylinder((0, 0, 0.4 * motor), (0, 0, motor), radius, paint, end_radius=radius * 0.6, segments=20)
    rig.add_part("mount", body)
    blades = _blades(rng, radius * 0.7, float(rng.uniform(0.5, 0.8)), int(rng.integers(2, 6)))
    hub = Shape().cylinder((0, 0, 0), (0, 0, 0.4 * motor), radius * 0.75, metal, end_radius=radius, segments=20)
    if rng.random() < 0.5:
        hub.ellipsoid((0, 0, 0.0), (radius * 0.6, radius * 0.6, radius * 0.5), finishes.coat(rng, "globe"))
    level = (0.0, 0.0, 0.3 * motor)
    rig.add_part("blades", hub.add_shape(blades, level), joint=Joint("revolute", "z", level, (-TURN, TURN)))
    lowest = min(float(part.object.location.z + min(v.co.z for v in part.object.data.vertices)) for part in rig.parts)
    rig.parts[0].object.location.z -= min(lowest, 0.0)
    return rig


def _standing_fan(rng: np.random.Generator) -> Rig:
    """A foot, a post, and on it a head with blades, mostly in a cage."""
    rig = Rig("fan", View(azimuth=(-75, 75), elevation=(0, 40)))
    paint, metal = finishes.painted(rng, "paint"), finishes.metal(rng, "metal")
    size = float(rng.uniform(0.28, 0.45))
    z = size + float(rng.uniform(0.12, 0.25) if rng.random() < 0.6 else rng.uniform(0.4, 0.9))
    post = size + 0.06  # the head hangs clear of the foot; behind it stands the post's top
    body = Shape().cylinder((0, 0, 0), (0, 0, 0.05), size * float(rng.uniform(0.5, 0.8)), paint,
                            end_radius=size * 0.45, segments=int(rng.choice([4, 8, 24])))  # fmt: skip
    body.cylinder((0, 0, 0.04), (0, 0, z), 0.03, metal, end_radius=0.022, segments=12)
    rig.add_part("stand", body)
    neck = rig.parts[0]
    if rng.random() < 0.5:
        shape = Shape().cylinder((0, 0, z - 0.06), (0, 0, z + 0.02), 0.045, paint, segments=14)
        limit = float(rng.uniform(0.6, 1.2))
        neck = rig.add_part("neck", shape, joint=Joint("revolute", "z", (0.0, 0.0, z), (-limit, limit)))
    axle = float(rng.uniform(0.1, 0.2)) * min(post, 1.0) + 0.04
    head = _head(rng, size, z, axle, paint, metal)
    tilt = Joint("revolute", "x", (0.0, 0.0, z), (-0.5, 0.6)) if rng.random() < 0.6 else None
    carrier = rig.add_part("head", head, neck, tilt)
    _add_rotor(rig, rng, carrier, size * 0.92, (0.0, -axle - 0.04, z), metal)
    return rig


def _head(rng: np.random.Generator, size: float, z: float, axle: float, paint: Finish, metal: Finish) -> Shape:
    """The motor, reaching forward to the axle, and the cage around the blades or none."""
    shape = Shape().capsule((0, 0.08, z), (0, -axle + 0.05, z), 0.07, paint, end_radius=0.05)
    if rng.random() < 0.75:
        depth = float(rng.uniform(0.1, 0.16))
        _add_cage(shape, rng, size, (0.0, -axle - 0.04, z), depth, metal if rng.random() < 0.6 else paint)
    return shape


def _add_cage(
    shape: Shape, rng: np.random.Generator, size: float, centre: tuple[float, float, float], depth: float, wire: Finish
) -> None:
    """Rings and spokes before and behind the blades."""
    thick = float(rng.uniform(0.004, 0.008))
    spokes = int(rng.integers(6, 17))
    middle = np.array(centre)
    turns = np.linspace(0, 2 * np.pi, spokes, endpoint=False)
    for out in (-1, 1):
        offset = np.array((0.0, out * depth / 2, 0.0))
        for radius, share in ((size, 0.3), (0.65 * size, 0.9), (0.25 * size, 1.0)):
            circle = arc(middle + offset * share, (radius, 0, 0), (0, 0, radius), 0, 2 * np.pi, 33)[:-1]
            shape.tube(circle, thick * (1.6 if share < 0.5 else 1.0), wire, segments=5, closed=True)
        for turn in turns:
            away = np.array((np.cos(turn), 0.0, np.sin(turn)))
            path = [middle + offset + 0.1 * size * away, middle + offset * 0.9 + 0.65 * size * away]
            shape.tube([*path, middle + offset * 0.3 + size * away], thick * 0.8, wire, segments=4)
    badge = middle + np.array((0.0, -depth / 2, 0.0))
    shape.cylinder(badge, badge - np.array((0.0, 0.012, 0.0)), 0.2 * size, wire, segments=16)


def _add_rotor(
    rig: Rig, rng: np.random.Generator, head: Part, size: float, centre: tuple[float, float, float], metal: Finish
) -> Part:
    """A hub with blades that turn about y."""
    blades = _blades(rng, 0.12 * size, size, int(rng.integers(3, 7))).turn(np.pi / 2, 0)
    shape = Shape().add_shape(blades, centre)
    x, y, z = centre
    shape.cylinder((x, y + 0.04, z), (x, y - 0.025, z), 0.17 * size, metal, end_radius=0.12 * size, segments=16)
    return rig.add_part("blades", shape, head, Joint("revolute", "y", centre, (-TURN, TURN)))


def _blades(rng: np.random.Generator, inner: float, outer: float, count: int) -> Shape:
    """Blades around the upright axis; now and then one has another colour."""
    finish = finishes.any_body(rng, "blade", 0.3)
    odd = finishes.painted(rng, "odd blade") if rng.random() < 0.5 else finish
    root = outer * float(rng.uniform(0.06, 0.14))
    chord = float(rng.uniform(0.7, 1.6)) * outer / count
    chord = max(min(chord, 0.4 * outer), 1.2 * root)
    lean, pitch = float(rng.uniform(-0.4, 0.6)) * chord, float(rng.uniform(0.2, 0.6))
    outline = [(inner * 0.6, -root), (0.7 * outer, lean - chord / 2), (0.95 * outer, lean - 0.35 * chord)]
    outline += [(outer, lean), (0.95 * outer, lean + 0.35 * chord), (0.6 * outer, lean + chord / 2)]
    outline.append((inner * 0.6, root))
    whole = Shape()
    for index in range(count):
        blade = Shape().prism(outline, 2, -0.006, 0.006, odd if index == 0 else finish)
        whole.add_shape(blade.turn(pitch, 0).turn(2 * np.pi * index / count), (0, 0, 0))
    return whole

# SPDX-License-Identifier: GPL-3.0-or-later
"""Ovens and dishwashers: a door that falls open at the front, racks that slide out."""

from __future__ import annotations

import numpy as np

from . import finishes, textures
from .furniture import Cell, Style, add_carcass, add_door, add_drawer, plain_style
from .rig import Joint, Part, Rig
from .shapes import Shape, moved


def build(rng: np.random.Generator) -> Rig:
    """An oven or a dishwasher; joint state 0 is closed."""
    rig = Rig("oven")
    width, depth, height = (float(v) for v in rng.uniform((0.55, 0.5, 0.6), (0.95, 0.75, 1.1)))
    style = _style(rng)
    body = Shape()
    add_carcass(body, style, width, depth, 0.0, height)
    strip = height * float(rng.choice([0.0, rng.uniform(0.08, 0.2)]))
    foot = height * float(rng.choice([0.06, rng.uniform(0.15, 0.25)]))
    top = height - strip
    if strip:
        panel = finishes.finish_from_pixels("controls", textures.dial_panel(rng, textures.paint_color(rng)))
        low, high = (-width / 2, -style.thickness, top), (width / 2, 0, height)
        body.box(low, high, style.front, {"front": panel}, ["front"])
    if rng.random() < 0.4:
        _add_hob(body, rng, width, depth, height)
    has_drawer = foot > 0.1 * height
    if has_drawer:
        low = (-width / 2 + style.thickness, 0.0, foot - style.thickness / 2)
        body.box(low, (width / 2 - style.thickness, depth, foot + style.thickness / 2), style.inside)
    rig.add_part("body", body)
    front = Cell(-width / 2, width / 2, foot, top).shrunk(0.004)
    door = add_door(rig, rng, style, front, 0.0, "bottom" if rng.random() < 0.85 else "left", "door")
    if has_drawer:
        drawer = Cell(-width / 2, width / 2, 0.02, foot).shrunk(0.004)
        add_drawer(rig, rng, style, drawer, 0.0, depth - 2 * style.thickness, "drawer")
    for index, level in enumerate(rng.uniform(0.25, 0.8, int(rng.integers(0, 3)))):
        z = foot + float(level) * (top - foot)
        rack = _add_rack(rig, rng, style, width - 2.5 * style.thickness, depth, z, f"rack.{index}")
        rig.gates[rack] = door
    return rig


def _style(rng: np.random.Generator) -> Style:
    if rng.random() < 0.25:
        return plain_style(rng)
    body = finishes.metal(rng, "body") if rng.random() < 0.4 else finishes.painted(rng, "body")
    panel = None
    if rng.random() < 0.5:
        panel = finishes.finish_from_pixels("window", textures.glazed_panel(rng, textures.paint_color(rng)))
    inside = finishes.surface(rng, "inside", "brushed_metal", textures.hsv(0.6, 0.05, rng.uniform(0.3, 0.8)))
    handle = str(rng.choice(["bar", "bar", "bow", "slot"]))
    return Style(body, inside, body, panel, finishes.metal(rng, "metal"), handle, float(rng.uniform(0.025, 0.05)))


def _add_hob(body: Shape, rng: np.random.Generator, width: float, depth: float, height: float) -> None:
    """Four plates on top."""
    plate = finishes.surface(rng, "plate", "plain", (0.2, 0.2, 0.21))
    for x in (-0.24, 0.24):
        for y in (0.28, 0.72):
            centre = np.array((x * width, y * depth, height))
            body.cylinder(centre, moved(centre, z=0.015), float(rng.uniform(0.09, 0.14)) * width, plate)


def _add_rack(
    rig: Rig, rng: np.random.Generator, style: Style, width: float, depth: float, z: float, name: str
) -> Part:
    """A wire rack or a basket of bars that slides out through the open door."""
    rack = Shape()
    back, thick = depth * 0.88, 0.006
    for x in np.linspace(-width / 2, width / 2, int(rng.integers(6, 10))):
        rack.box((x - thick, 0.02, z), (x + thick, back, z + 2 * thick), style.metal)
    rims = [z] if rng.random() < 0.5 else [z, z + 0.09]
    for level in rims:
        for y in (0.02, back):
            rack.box((-width / 2, y - thick, level), (width / 2, y + thick, level + 3 * thick), style.metal)
    joint = Joint("prismatic", "-y", (0.0, 0.02, z), (0.0, depth * float(rng.uniform(0.4, 0.75))))
    return rig.add_part(name, rack, joint=joint)

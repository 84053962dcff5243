# SPDX-License-Identifier: GPL-3.0-or-later
"""Doors and windows: one or two leaves in a frame, mostly in a piece of wall."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import finishes, textures
from .finishes import Finish
from .furniture import Cell, Style, add_handle, door_joint, random_style
from .rig import Joint, Rig, View
from .shapes import Shape


def build(rng: np.random.Generator) -> Rig:
    """A door, a double door or a window with one or two leaves; joint state 0 is closed."""
    rig = Rig("door", View(azimuth=(-65, 65), elevation=(0, 30)))
    style = random_style(rng, 0.5)
    window = rng.random() < 0.4
    double = rng.random() < (0.6 if window else 0.35)
    height = float(rng.uniform(0.6, 1.1) if window else rng.uniform(1.2, 1.7))
    width = height * float(rng.uniform(0.35, 0.6)) * (1.6 if double else 1.0) * (1.3 if window else 1.0)
    bottom = float(rng.uniform(0.2, 0.5)) if window else 0.0
    opening = Cell(-width / 2, width / 2, bottom, bottom + height)
    frame = finishes.any_body(rng, "frame", 0.5) if rng.random() < 0.6 else style.front
    away = rng.random() < 0.25  # the leaves open away from the viewer
    rig.add_part("frame", _surround(rng, opening, frame, window, closed=not away and bool(rng.random() < 0.5)))
    gap = float(rng.uniform(0.003, 0.01))
    leaf_style = _leaf_style(rng, style, window)
    edges = [opening.left, 0.0, opening.right] if double else [opening.left, opening.right]
    hinges = ["left", "right"] if double else [str(rng.choice(["left", "right"]))]
    for index, hinge in enumerate(hinges):
        leaf = Cell(edges[index] + gap, edges[index + 1] - gap, opening.bottom + gap, opening.top - gap)
        shape = _leaf(rng, leaf_style, leaf, hinge, window)
        outer = -0.5 * leaf_style.thickness
        joint = door_joint(hinge, leaf, outer, float(rng.uniform(1.5, 2.4)))
        if away:
            x, y, z = joint.origin
            axis = "z" if hinge == "left" else "-z"
            joint = Joint("revolute", axis, (x, -y, z), (0.0, float(rng.uniform(1.3, 1.6))))
        rig.add_part(f"leaf.{index}", shape, joint=joint)
    return rig


def _leaf_style(rng: np.random.Generator, style: Style, window: bool) -> Style:
    """Doors mostly with panels, windows without."""
    panel = style.panel
    if not window and rng.random() < 0.5:
        maker = textures.glazed_panel if rng.random() < 0.25 else textures.framed_panel
        panel = finishes.finish_from_pixels("panel", maker(rng, textures.wood_color(rng)))
    handle = str(rng.choice(["bar", "bow", "knob", "knob"]))
    thickness = float(rng.uniform(0.025, 0.045))
    return replace(style, panel=panel, handle=handle, thickness=thickness)


def _surround(rng: np.random.Generator, opening: Cell, frame: Finish, window: bool, closed: bool) -> Shape:
    """The frame around the opening, mostly in a wall; `closed` ones have something to be seen behind the leaves."""
    shape = Shape()
    bar, deep = float(rng.uniform(0.03, 0.1)), float(rng.uniform(0.05, 0.12))
    low, high = opening.bottom, opening.top
    shape.box((opening.left - bar, -0.01, low), (opening.left, deep, high), frame)
    shape.box((opening.right, -0.01, low), (opening.right + bar, deep, high), frame)
    shape.box((opening.left - bar, -0.01, high), (opening.right + bar, deep, high + bar), frame)
    if window:
        out = float(rng.uniform(0.0, 0.12))
        shape.box((opening.left - bar, -0.01 - out, low - 0.04), (opening.right + bar, deep, low), frame)
    if rng.random() < 0.75:
        wall = finishes.painted(rng, "wall")
        _add_wall(shape, rng, opening, bar, deep, wall, window)
    if closed:
        dark = textures.plain(rng, textures.hsv(rng.random(), 0.3, rng.uniform(0.03, 0.4)))
        back = finishes.finish_from_pixels("view", textures.shelf_view(rng) if rng.random() < 0.4 else dark)
        shape.box((opening.left, deep - 0.01, low), (opening.right, deep, high), back, {"front": back}, ["front"])
    return shape


def _add_wall(
    shape: Shape, rng: np.random.Generator, opening: Cell, bar: float, deep: float, wall: Finish, window: bool
) -> None:
    """Wall to the sides, above and, of a window, below, down to the floor."""
    side, above = (float(v) for v in rng.uniform(0.05, 0.35, 2))
    left, right, top = opening.left - bar, opening.right + bar, opening.top + bar
    below = opening.bottom - 0.04 if window else 0.0
    shape.box((left - side, 0.0, 0.0), (left, deep - 0.005, top), wall)
    shape.box((right, 0.0, 0.0), (right + side, deep - 0.005, top), wall)
    shape.box((left - side, 0.0, top), (right + side, deep - 0.005, top + above), wall)
    if window:
        shape.box((left, 0.0, 0.0), (right, deep - 0.005, below), wall)


def _leaf(rng: np.random.Generator, style: Style, leaf: Cell, hinge: str, window: bool) -> Shape:
    """A door's board or a window's bars and pane, its outer face on y = -thickness / 2, with handles."""
    shape = Shape()
    outer, inner = -0.5 * style.thickness, 0.5 * style.thickness
    if window:
        _add_window(shape, rng, style, leaf, outer, inner)
    else:
        sides = {} if style.panel is None else {"front": style.panel, "back": style.panel}
        low, high = (leaf.left, outer, leaf.bottom), (leaf.right, inner, leaf.top)
        shape.box(low, high, style.front, sides, list(sides))
    margin = min(0.05, 0.12 * leaf.width)
    x = leaf.right - margin if hinge == "left" else leaf.left + margin
    z = leaf.bottom + leaf.height * float(rng.uniform(0.4, 0.55))
    add_handle(shape, style, x, z, outer, leaf.height * float(rng.uniform(0.06, 0.2)), True)
    shape.capsule((x, inner, z), (x, inner + 0.035, z), 0.012, style.metal, end_radius=0.02, segments=8)
    return shape


def _add_window(shape: Shape, rng: np.random.Generator, style: Style, leaf: Cell, outer: float, inner: float) -> None:
    """Bars all around, some across, and a pane."""
    bar = float(rng.uniform(0.03, 0.06))
    pane = leaf.shrunk(bar)
    glass = finishes.surface(rng, "glass", "plain", textures.hsv(rng.uniform(0.5, 0.62), 0.25, rng.uniform(0.3, 0.9)))
    for left, right in ((leaf.left, pane.left), (pane.right, leaf.right)):
        shape.box((left, outer, leaf.bottom), (right, inner, leaf.top), style.front)
    for low, high in ((leaf.bottom, pane.bottom), (pane.top, leaf.top)):
        shape.box((pane.left, outer, low), (pane.right, inner, high), style.front)
    shape.box((pane.left, -0.004, pane.bottom), (pane.right, 0.004, pane.top), glass)
    for share in np.linspace(0, 1, int(rng.integers(2, 5)))[1:-1]:
        z = pane.bottom + share * pane.height
        shape.box((pane.left, outer * 0.8, z - bar / 4), (pane.right, inner * 0.8, z + bar / 4), style.front)
    if rng.random() < 0.5:
        x = (pane.left + pane.right) / 2
        shape.box((x - bar / 4, outer * 0.7, pane.bottom), (x + bar / 4, inner * 0.7, pane.top), style.front)

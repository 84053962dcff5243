# SPDX-License-Identifier: GPL-3.0-or-later
"""Fridges: one door, two stacked doors or two side by side, with shelves inside."""

from __future__ import annotations

import numpy as np

from . import finishes, textures
from .furniture import Cell, Style, add_carcass, add_door
from .rig import Rig
from .shapes import Shape


def build(rng: np.random.Generator) -> Rig:
    """A fridge; joint state 0 is closed."""
    rig = Rig("fridge")
    width, depth, height = (float(v) for v in rng.uniform((0.5, 0.45, 0.7), (0.95, 0.75, 1.6)))
    style = _style(rng)
    body = Shape()
    plinth = float(rng.uniform(0.02, 0.1))
    add_carcass(body, style, width, depth, plinth, height)
    body.box((-width / 2, 0.01, 0), (width / 2, depth, plinth), finishes.painted(rng, "plinth", (0.1, 0.1, 0.11)))
    for level in np.linspace(plinth, height, int(rng.integers(3, 6)))[1:-1]:
        low = (-width / 2 + style.thickness, 0.02, level)
        body.box(low, (width / 2 - style.thickness, depth - style.thickness, level + 0.012), style.inside)
        _add_food(body, rng, width * 0.8, depth, float(level) + 0.012, height)
    rig.add_part("body", body)
    front = Cell(-width / 2, width / 2, plinth, height)
    for index, (cell, hinge) in enumerate(_doors(rng, front)):
        add_door(rig, rng, style, cell.shrunk(0.004), 0.0, hinge, f"door.{index}")
    return rig


def _style(rng: np.random.Generator) -> Style:
    steel = rng.random() < 0.35
    body = finishes.metal(rng, "body") if steel else finishes.painted(rng, "body")
    white = (0.93, 0.94, 0.95)
    panel = None
    if rng.random() < 0.35:
        panel = finishes.finish_from_pixels("glass", textures.glazed_panel(rng, textures.paint_color(rng)))
    elif rng.random() < 0.25:
        panel = finishes.finish_from_pixels("notes", textures.label(rng, textures.paint_color(rng)))
    front = body if rng.random() < 0.7 else finishes.painted(rng, "front")
    inside = finishes.surface(rng, "inside", "plain", white)
    handle = str(rng.choice(["bar", "bar", "bow", "slot"]))
    return Style(body, inside, front, panel, finishes.metal(rng, "metal"), handle, float(rng.uniform(0.03, 0.06)))


def _doors(rng: np.random.Generator, front: Cell) -> list[tuple[Cell, str]]:
    """Door cells with their hinge sides."""
    side = str(rng.choice(["left", "right"]))
    layout = rng.random()
    if layout < 0.45:
        return [(front, side)]
    if layout < 0.8:
        level = front.bottom + front.height * float(rng.choice([0.3, 0.4, 0.65, 0.72]))
        lower = Cell(front.left, front.right, front.bottom, level)
        return [(lower, side), (Cell(front.left, front.right, level, front.top), side)]
    middle = front.left + front.width * float(rng.uniform(0.4, 0.6))
    left = Cell(front.left, middle, front.bottom, front.top)
    return [(left, "left"), (Cell(middle, front.right, front.bottom, front.top), "right")]


def _add_food(body: Shape, rng: np.random.Generator, width: float, depth: float, level: float, height: float) -> None:
    """A few packets and bottles on a shelf."""
    room = min(0.16, height - level - 0.03)
    if room < 0.05:
        return
    for _ in range(int(rng.integers(0, 4))):
        x, y = float(rng.uniform(-0.4, 0.3)) * width, float(rng.uniform(0.1, 0.5)) * depth
        tall, wide = float(rng.uniform(0.05, room)), float(rng.uniform(0.04, 0.1))
        finish = finishes.surface(rng, "food", "label", textures.paint_color(rng), 0.2)
        if rng.random() < 0.5:
            body.cylinder((x, y, level), (x, y, level + tall), wide / 2, finish, segments=10)
        else:
            body.box((x, y, level), (x + wide, y + wide, level + tall), finish)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables and desks: a top on legs with drawers under it, sometimes a pedestal with doors or drawers."""

from __future__ import annotations

import numpy as np

from .furniture import Cell, Style, add_carcass, add_door, add_drawer, add_legs, even_cells, random_style
from .rig import Rig
from .shapes import Shape


def build(rng: np.random.Generator) -> Rig:
    """A table; joint state 0 is closed."""
    rig = Rig("table")
    style = random_style(rng)
    width, depth, height = (float(v) for v in rng.uniform((0.8, 0.45, 0.45), (1.6, 0.8, 0.9)))
    over = float(rng.uniform(0.0, 0.05))
    body = Shape()
    body.box((-width / 2 - over, -over, height), (width / 2 + over, depth, height + style.thickness * 1.5), style.front)
    add_legs(body, style.body, width, depth, height, float(rng.uniform(0.04, 0.08)))
    frame = height * float(rng.uniform(0.2, 0.35))
    pedestal = rng.random() < 0.55
    _add_drawer_frame(body, style, width, depth, height - frame, height)
    if pedestal:
        side = float(rng.choice([-1, 1]))
        place = _pedestal_place(side, width, height, frame, float(rng.uniform(0.3, 0.45)))
        _add_pedestal(body, style, place, depth)
    rig.add_part("body", body)
    gap = 0.004
    row = Cell(-width / 2 + 0.08, width / 2 - 0.08, height - frame + style.thickness, height - style.thickness)
    for index, cell in enumerate(even_cells(row, int(rng.integers(1, 4)), 1)):
        add_drawer(rig, rng, style, cell.shrunk(gap), 0.0, depth - style.thickness, f"drawer.{index}")
    if pedestal:
        _fill_pedestal(rig, rng, style, place, depth)
    return rig


def _add_drawer_frame(body: Shape, style: Style, width: float, depth: float, bottom: float, top: float) -> None:
    """The boards that hold the row of drawers: sides, back and floor."""
    t, half = style.thickness, width / 2
    body.box((-half, 0.005, bottom), (-half + t, depth - 0.005, top), style.body)
    body.box((half - t, 0.005, bottom), (half, depth - 0.005, top), style.body)
    body.box((-half + t, depth - t, bottom), (half - t, depth - 0.005, top), style.body)
    body.box((-half + t, 0.005, bottom), (half - t, depth - t, bottom + t * 0.5), style.inside)
    for low, high in ((-half + t, -half + 0.08), (half - 0.08, half - t)):
        body.box((low, 0.004, bottom), (high, t, top), style.body)


def _pedestal_place(side: float, width: float, height: float, frame: float, share: float) -> Cell:
    inner, outer = side * width * (0.5 - share), side * width * 0.5
    return Cell(min(inner, outer), max(inner, outer), 0.04, height - frame)


def _add_pedestal(body: Shape, style: Style, place: Cell, depth: float) -> None:
    """A carcass under one end of the table."""
    pedestal = Shape()
    add_carcass(pedestal, style, place.width, depth, place.bottom, place.top)
    body.add_shape(pedestal, ((place.left + place.right) / 2, 0.0, 0.0))


def _fill_pedestal(rig: Rig, rng: np.random.Generator, style: Style, place: Cell, depth: float) -> None:
    """Drawers or a door on the pedestal's front."""
    if rng.random() < 0.6:
        for index, cell in enumerate(even_cells(place, 1, int(rng.integers(2, 4)))):
            add_drawer(rig, rng, style, cell.shrunk(0.004), 0.0, depth - 2 * style.thickness, f"pedestal.{index}")
    else:
        add_door(rig, rng, style, place.shrunk(0.004), 0.0, str(rng.choice(["left", "right"])), "door")

# SPDX-License-Identifier: GPL-3.0-or-later
"""Cabinets: a carcass whose front is divided into doors, drawers and open shelves."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .finishes import painted
from .furniture import Cell, Style, add_carcass, add_door, add_drawer, add_legs, random_style
from .rig import Rig
from .shapes import Shape


def build(rng: np.random.Generator) -> Rig:
    """A cabinet of random proportions with one to about eight moving parts."""
    rig = Rig("cabinet")
    style = random_style(rng)
    width, height = float(rng.uniform(0.45, 1.5)), float(rng.uniform(0.5, 1.5))
    depth = float(rng.uniform(0.35, 0.75))
    bottom = float(rng.choice([0.0, 0.0, 0.06, rng.uniform(0.05, 0.2)]))
    body = Shape()
    add_carcass(body, style, width, depth, bottom, height, open_top=bool(rng.random() < 0.15))
    _add_base(body, rng, style, width, depth, bottom)
    if rng.random() < 0.4:
        over = float(rng.uniform(0.0, 0.04))
        slab = (width / 2 + over, depth, height + style.thickness * 1.3)
        body.box((-slab[0], -over - style.thickness, height), slab, style.front)
    cells = _divide(rng, Cell(-width / 2, width / 2, bottom, height))
    _add_partitions(body, style, cells, depth)
    rig.add_part("body", body)
    _fill(rig, rng, style, cells, depth)
    return rig


def _add_base(body: Shape, rng: np.random.Generator, style: Style, width: float, depth: float, bottom: float) -> None:
    """Feet or a plinth, whichever the space under the carcass gets."""
    if bottom <= 0:
        return
    if rng.random() < 0.5:
        add_legs(body, style.front, width, depth, bottom, float(rng.uniform(0.03, 0.06)))
    else:
        body.box((-width / 2 + 0.01, 0.03, 0), (width / 2 - 0.01, depth - 0.01, bottom), painted(rng, "plinth"))


def _divide(rng: np.random.Generator, front: Cell) -> list[Cell]:
    """Columns of cells that fill the front."""
    columns = int(rng.integers(1, 2 + int(front.width > 0.8) + int(front.width > 1.2)))
    shares = np.cumsum(_shares(rng, columns))
    edges = front.left + front.width * np.concatenate(([0.0], shares))
    cells = []
    for left, right in pairwise(edges):
        rows = int(rng.integers(1, 5))
        levels = front.bottom + front.height * np.concatenate(([0.0], np.cumsum(_shares(rng, rows))))
        cells += [Cell(float(left), float(right), float(low), float(high)) for low, high in pairwise(levels)]
    return cells


def _shares(rng: np.random.Generator, count: int) -> np.ndarray:
    """Shares of one that are even half of the time and uneven otherwise."""
    weights = np.ones(count) if rng.random() < 0.5 else rng.uniform(0.6, 1.6, count)
    return weights / weights.sum()


def _add_partitions(body: Shape, style: Style, cells: list[Cell], depth: float) -> None:
    """A shelf under each cell but the lowest and a wall left of each column but the first."""
    t = style.thickness * 0.5
    lowest, leftmost = min(cell.bottom for cell in cells), min(cell.left for cell in cells)
    highest = max(cell.top for cell in cells)
    for cell in cells:
        if cell.bottom > lowest:
            low = (cell.left + 2 * t, 0.01, cell.bottom - t)
            body.box(low, (cell.right - 2 * t, depth - 2 * t, cell.bottom + t), style.inside)
        elif cell.left > leftmost:
            low = (cell.left - t, 0.005, lowest + 2 * t)
            body.box(low, (cell.left + t, depth - 2 * t, highest - 2 * t), style.inside)


def _fill(rig: Rig, rng: np.random.Generator, style: Style, cells: list[Cell], depth: float) -> None:
    """Give each cell a drawer, a door, a pair of doors or nothing; at least one moves."""
    gap = float(rng.uniform(0.002, 0.012))
    inset = rng.random() < 0.3
    front = style.thickness if inset else 0.0
    margin = style.thickness + gap if inset else gap
    doors = drawers = 0
    for index, cell in enumerate(cells):
        last_chance = index == len(cells) - 1 and not rig.joints
        if not last_chance and rng.random() < 0.12:
            continue
        place = cell.shrunk(margin)
        if rng.random() < _drawer_chance(cell):
            add_drawer(rig, rng, style, place, front, depth - front - style.thickness, f"drawer.{drawers}")
            drawers += 1
        elif cell.width > 0.7 * cell.height and cell.width > 0.5 and rng.random() < 0.6:
            middle = (place.left + place.right) / 2
            for hinge, left, right in (("left", place.left, middle), ("right", middle, place.right)):
                leaf = Cell(left + gap / 2, right - gap / 2, place.bottom, place.top)
                add_door(rig, rng, style, leaf, front, hinge, f"door.{doors}")
                doors += 1
        else:
            sides = ["left", "right"] if cell.width < 1.4 * cell.height else ["left", "right", "bottom", "top"]
            add_door(rig, rng, style, place, front, str(rng.choice(sides)), f"door.{doors}")
            doors += 1


def _drawer_chance(cell: Cell) -> float:
    """Low cells are mostly drawers, tall ones mostly doors."""
    return 0.85 if cell.height < 0.7 * cell.width else 0.35 if cell.height < 1.2 * cell.width else 0.06

# SPDX-License-Identifier: GPL-3.0-or-later
"""What pieces of furniture share: handles, fronts, hinged doors, drawers and carcasses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import finishes, textures
from .finishes import Finish
from .rig import Joint, Part, Rig
from .shapes import Shape, arc, moved

HANDLES = ("bar", "bar", "bow", "knob", "cup", "slot", "none")


@dataclass(frozen=True)
class Style:
    """The look all fronts of one piece share.

    Attributes:
        body: carcass outside. inside: shelves and drawer boxes. front: fronts, box mapped.
        panel: fronts' outer face fitted whole, or None for box mapping. metal: handles.
        handle: one of `HANDLES`. thickness: of boards, in scene units.
    """

    body: Finish
    inside: Finish
    front: Finish
    panel: Finish | None
    metal: Finish
    handle: str
    thickness: float


@dataclass(frozen=True)
class Cell:
    """An upright rectangle on the front plane: x and z ranges."""

    left: float
    right: float
    bottom: float
    top: float

    @property
    def width(self) -> float:
        """Extent along x."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Extent along z."""
        return self.top - self.bottom

    def shrunk(self, by: float) -> Cell:
        """The cell with a margin cut off all around."""
        return Cell(self.left + by, self.right - by, self.bottom + by, self.top - by)


def plain_style(rng: np.random.Generator) -> Style:
    """A look without any texture: one light grey for everything."""
    color = textures.hsv(rng.random(), rng.uniform(0, 0.04), rng.uniform(0.6, 0.92))
    grey = finishes.surface(rng, "grey", "plain", color)
    return Style(grey, grey, grey, None, grey, str(rng.choice(HANDLES)), float(rng.uniform(0.015, 0.04)))


def random_style(rng: np.random.Generator, wood: float = 0.65) -> Style:
    """A look for one piece of furniture; `wood` is how likely the body is wooden."""
    if rng.random() < 0.08:
        return plain_style(rng)
    body = finishes.any_body(rng, "body", wood)
    choice = rng.random()
    if choice < 0.45:
        front = body
    elif choice < 0.8:
        front = finishes.any_body(rng, "front", wood)
    else:
        front = finishes.painted(rng, "front")
    inside = body
    if rng.random() < 0.7:
        pale = textures.hsv(rng.uniform(0.08, 0.13), rng.uniform(0.05, 0.4), rng.uniform(0.6, 0.95))
        inside = finishes.surface(rng, "inside", "particle_board", pale)
    panel = None
    if rng.random() < 0.4:
        maker = textures.glazed_panel if rng.random() < 0.2 else textures.framed_panel
        panel = finishes.finish_from_pixels("panel", maker(rng, textures.wood_color(rng)))
    metal = finishes.metal(rng, "metal")
    return Style(body, inside, front, panel, metal, str(rng.choice(HANDLES)), float(rng.uniform(0.015, 0.04)))


def add_handle(shape: Shape, style: Style, x: float, z: float, front: float, length: float, upright: bool) -> None:
    """A handle centred at (x, z) on the plane y = front, standing out towards -y."""
    out, thick = 0.035, 0.008 + 0.012 * min(length, 0.5)
    along = np.array((0.0, 0.0, 1.0) if upright else (1.0, 0.0, 0.0))
    centre = np.array((x, front, z))
    half = along * length / 2
    if style.handle == "bar":
        lift = np.array((0.0, -out, 0.0))
        shape.cylinder(centre - half + lift, centre + half + lift, thick, style.metal, segments=8)
        for end in (-0.8, 0.8):
            foot = centre + end * half
            shape.cylinder(foot, foot + lift, thick * 0.8, style.metal, segments=6)
    elif style.handle == "bow":
        path = arc(centre, half, (0.0, -out * 1.6, 0.0), 0.0, np.pi, 9)
        shape.tube(path, thick, style.metal, segments=6)
    elif style.handle == "knob":
        shape.cylinder(centre, moved(centre, y=-out * 0.6), thick, style.metal, segments=8)
        tip = moved(centre, y=-out * 0.6)
        shape.cylinder(tip, moved(tip, y=-0.02), 0.022, style.metal, end_radius=0.015, segments=12)
    elif style.handle == "cup":
        across = np.array((1.0, 0, 0)) * length / 2 + np.array((0, 0, 1.0)) * 0.015
        shape.box(centre - across, moved(centre + across, y=-out * 0.8), style.metal)
    elif style.handle == "slot":
        across = half + 0.008 * (1 - along) * (1, 0, 1)
        shape.box(centre - across, moved(centre + across, y=-0.004), style.metal)


def add_front(shape: Shape, style: Style, cell: Cell, front: float) -> None:
    """A board in the cell, its outer face on y = front - thickness, its inner face on y = front."""
    sides = {"back": style.inside}
    fitted = []
    if style.panel is not None:
        sides["front"], fitted = style.panel, ["front"]
    outer = front - style.thickness
    shape.box((cell.left, outer, cell.bottom), (cell.right, front, cell.top), style.front, sides, fitted)


def add_door(rig: Rig, rng: np.random.Generator, style: Style, cell: Cell, front: float, hinge: str, name: str) -> Part:
    """A hinged door in the cell; `hinge` is the side it turns on: left, right, bottom or top."""
    shape = Shape()
    add_front(shape, style, cell, front)
    outer = front - style.thickness
    margin = min(0.06, 0.15 * min(cell.width, cell.height))
    upright = hinge in ("left", "right")
    x = {"left": cell.right - margin, "right": cell.left + margin}.get(hinge, (cell.left + cell.right) / 2)
    z = {"bottom": cell.top - margin, "top": cell.bottom + margin}.get(
        hinge, cell.bottom + cell.height * rng.uniform(0.35, 0.65)
    )
    reach = cell.height if upright else cell.width
    add_handle(shape, style, x, z, outer, reach * float(rng.uniform(0.12, 0.45)), upright)
    widest = rng.uniform(1.4, 2.6) if upright else rng.uniform(1.2, 1.75)
    return rig.add_part(name, shape, joint=door_joint(hinge, cell, outer, float(widest)))


def door_joint(hinge: str, cell: Cell, outer: float, widest: float) -> Joint:
    """The hinge of a door in a cell whose outer face is on y = outer: state 0 closed, `widest` open."""
    axis, origin = {
        "left": ("-z", (cell.left, outer, 0.0)),
        "right": ("z", (cell.right, outer, 0.0)),
        "bottom": ("x", (0.0, outer, cell.bottom)),
        "top": ("-x", (0.0, outer, cell.top)),
    }[hinge]
    return Joint("revolute", axis, origin, (0.0, widest))


def add_drawer(
    rig: Rig, rng: np.random.Generator, style: Style, cell: Cell, front: float, depth: float, name: str
) -> Part:
    """A drawer: a front with its handles and an open box behind it, `depth` deep."""
    shape = Shape()
    add_front(shape, style, cell, front)
    board = style.thickness * 0.6
    inner = cell.shrunk(style.thickness * 0.8)
    top = inner.bottom + inner.height * float(rng.uniform(0.55, 0.9))
    back = front + depth * float(rng.uniform(0.8, 0.95))
    wall = style.inside
    shape.box((inner.left, front, inner.bottom), (inner.right, back, inner.bottom + board), wall)
    shape.box((inner.left, front, inner.bottom + board), (inner.left + board, back, top), wall)
    shape.box((inner.right - board, front, inner.bottom + board), (inner.right, back, top), wall)
    shape.box((inner.left + board, back - board, inner.bottom + board), (inner.right - board, back, top), wall)
    outer, z = front - style.thickness, cell.bottom + cell.height * float(rng.choice([0.5, 0.5, 0.75]))
    if cell.width > 0.6 and rng.random() < 0.35:
        for x in (0.25, 0.75):
            add_handle(shape, style, cell.left + x * cell.width, z, outer, cell.width * 0.15, False)
    else:
        length = cell.width * float(rng.uniform(0.15, 0.8))
        add_handle(shape, style, (cell.left + cell.right) / 2, z, outer, length, False)
    travel = float(rng.uniform(0.55, 0.9)) * depth
    origin = ((cell.left + cell.right) / 2, front, (cell.bottom + cell.top) / 2)
    return rig.add_part(name, shape, joint=Joint("prismatic", "-y", origin, (0.0, travel)))


def add_carcass(
    shape: Shape, style: Style, width: float, depth: float, bottom: float, top: float, open_top: bool = False
) -> None:
    """A box of boards open at the front, centred on x, its front edge on y = 0, its back on y = depth."""
    t, half = style.thickness, width / 2
    for low, high, inner in ((-half, -half + t, "right"), (half - t, half, "left")):
        shape.box((low, 0, bottom), (high, depth, top), style.body, {inner: style.inside})
    shape.box((-half + t, 0, bottom), (half - t, depth, bottom + t), style.body, {"top": style.inside})
    shape.box((-half + t, depth - t, bottom + t), (half - t, depth, top - t), style.body, {"front": style.inside})
    if open_top:
        for y in (0.0, depth - 2 * t):
            shape.box((-half + t, y, top - t), (half - t, y + 2 * t, top), style.inside)
    else:
        shape.box((-half + t, 0, top - t), (half - t, depth, top), style.body, {"bottom": style.inside})


def even_cells(whole: Cell, columns: int, rows: int) -> list[Cell]:
    """A cell divided evenly, column by column from the left, each from below."""
    x = np.linspace(whole.left, whole.right, columns + 1).tolist()
    z = np.linspace(whole.bottom, whole.top, rows + 1).tolist()
    return [Cell(x[i], x[i + 1], z[j], z[j + 1]) for i in range(columns) for j in range(rows)]


def add_legs(shape: Shape, finish: Finish, width: float, depth: float, height: float, thick: float) -> None:
    """Four square legs from the floor up to z = height."""
    for x in (-width / 2, width / 2 - thick):
        for y in (0.0, depth - thick):
            shape.box((x, y, 0), (x + thick, y + thick, height), finish)

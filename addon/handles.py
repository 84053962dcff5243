# SPDX-License-Identifier: GPL-3.0-or-later
"""Drags as Blender properties, and the way between them and the protocol's drags.

`Scene.puppet_master.drags` holds them. `drags_of` reads them out as the protocol's drags; `add_drag` writes one.
Positions are the protocol's: normalised to the still, origin top-left, x right, y down.
"""

import re

import numpy as np
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    IntVectorProperty,
    PointerProperty,
    StringProperty,
)
from bpy.types import Object, PropertyGroup, Scene

from ..backend.errors import InputError
from ..backend.protocol import Drag, DragPoint
from . import translations

EASE_ITEMS = (
    ("linear", "Linear", "Constant speed between points"),
    ("smooth", "Smooth", "Start and end at rest"),
)
ANCHOR_ITEMS = (
    ("NONE", "Image", "The start lies on the image"),
    ("STUCK", "Surface", "The start sticks to a surface"),
    ("GONE", "Object gone", "The start's object left the scene; the start stays at its last place on the image"),
    ("CHANGED", "Mesh changed", "The start's surface has other triangles, or its copy is gone; the start stays put"),
    ("UNSEEN", "Not in view", "The start's surface is hidden or outside the still; the start stays at its last place"),
)
# Told apart at a glance on grey, dark and light pictures; not red, which says "fault".
COLOURS = (
    (1.00, 0.62, 0.11), (0.16, 0.71, 0.96), (0.44, 0.85, 0.30), (0.93, 0.42, 0.83),
    (0.98, 0.88, 0.25), (0.29, 0.86, 0.76), (0.62, 0.52, 1.00), (0.85, 0.64, 0.45),
)  # fmt: skip


class PuppetDragPoint(PropertyGroup):
    """One place a drag passes."""

    t: FloatProperty(
        name="Time",
        description="When the drag is here: 0 is the still, 1 the last frame of the preview",
        min=0.0,
        max=1.0,
        precision=3,
    )
    x: FloatProperty(
        name="X",
        description="Distance from the still's left edge, as a part of its width",
        soft_min=0.0,
        soft_max=1.0,
        step=1,
        precision=4,
    )
    y: FloatProperty(
        name="Y",
        description="Distance from the still's top edge, as a part of its height",
        soft_min=0.0,
        soft_max=1.0,
        step=1,
        precision=4,
    )
    select: BoolProperty(name="Select", description="Whether edits of the selected points change this one")


class PuppetDrag(PropertyGroup):
    """One drag; `name` is the collection's own."""

    name: StringProperty(name="Name", description="What this drag moves", default="Drag")
    enabled: BoolProperty(
        name="Enabled", description="Whether previews follow this drag", default=True
    )
    ease: EnumProperty(
        name="Ease",
        description="How the drag moves between its points",
        items=EASE_ITEMS,
        translation_context=translations.OWN,
    )
    points: CollectionProperty(type=PuppetDragPoint, name="Points")
    color: FloatVectorProperty(
        name="Color",
        description="Colour of this drag's handles",
        subtype="COLOR_GAMMA",
        size=3,
        min=0.0,
        max=1.0,
        default=COLOURS[0],
    )
    hidden: BoolProperty(
        name="Hidden",
        description="Whether something lay before this drag's point in the still when it was made from an animation",
    )

    anchor: PointerProperty(
        type=Object, name="Surface", description="Object whose surface the drag's start sticks to"
    )
    anchor_name: StringProperty(
        name="Surface Name", description="What the object is called that the drag's start sticks to, or stuck to"
    )
    anchor_triangle: IntProperty(
        name="Triangle", description="Triangle of the evaluated mesh that the start lies in", default=-1, min=-1
    )
    anchor_triangles: IntProperty(
        name="Triangles", description="How many triangles the evaluated mesh had when the start was stuck to it", min=0
    )
    anchor_weights: FloatVectorProperty(
        name="Weights", description="Barycentric coordinates of the start in its triangle", size=3
    )
    anchor_is_copy: BoolProperty(name="On a Copy", description="The surface is a copy that the object makes")
    anchor_copy: IntVectorProperty(
        name="Copy", description="Blender's persistent id of the copy among those of the object", size=8
    )
    anchor_state: EnumProperty(
        name="Start", description="What the drag's start sticks to", items=ANCHOR_ITEMS
    )


def to_drag(item: PuppetDrag) -> Drag:
    """The protocol's form of a stored drag.

    Raises:
        InputError: the stored drag is not a valid one; the message names it, the point and the value.
    """
    points = tuple(DragPoint(shortest(p.t), shortest(p.x), shortest(p.y)) for p in item.points)
    return Drag(item.name, points, item.ease)


def is_pin(drag: PuppetDrag) -> bool:
    """Whether all points of a stored drag coincide."""
    first = drag.points[0] if len(drag.points) else None
    return first is not None and all(point.x == first.x and point.y == first.y for point in drag.points)


def drags_of(scene: Scene) -> tuple[Drag, ...]:
    """The enabled drags of a scene, in list order.

    Raises:
        InputError: one of them is not valid.
    """
    return tuple(to_drag(item) for item in scene.puppet_master.drags if item.enabled)


def add_drag(scene: Scene, drag: Drag) -> PuppetDrag:
    """Store a drag in the scene and make it the active one. An equal name gets a number: "door.001"."""
    settings = scene.puppet_master
    name = free_name(drag.name, {item.name for item in settings.drags})
    colour = free_colour(settings)
    item = settings.drags.add()
    item.name = name
    item.ease = drag.ease
    item.color = colour
    for point in drag.points:
        stored = item.points.add()
        stored.t, stored.x, stored.y = point.t, point.x, point.y
    settings.active_drag = len(settings.drags) - 1
    return item


def remove_drag(scene: Scene, index: int) -> None:
    """Remove the drag at `index`, counted from 0.

    Raises:
        InputError: there is none.
    """
    settings = scene.puppet_master
    if not 0 <= index < len(settings.drags):
        raise InputError(f"there is no drag {index}; the scene has {len(settings.drags)}")
    settings.drags.remove(index)
    settings.active_drag = max(0, min(settings.active_drag, len(settings.drags) - 1))


def free_name(name: str, taken: set[str]) -> str:
    """The name, with a number after it if it is taken: "door.001", and after that "door.002"."""
    candidate, number = name, 0
    if name in taken:
        name = re.sub(r"\.\d{3,}$", "", name)
    while candidate in taken:
        number += 1
        candidate = f"{name}.{number:03d}"
    return candidate


def free_colour(settings: PropertyGroup) -> tuple[float, ...]:
    """The colour that the fewest drags have."""
    taken = [tuple(item.color) for item in settings.drags]
    uses = [sum(bool(np.allclose(colour, other, atol=0.01)) for other in taken) for colour in COLOURS]
    return COLOURS[uses.index(min(uses))]


def shortest(value: float) -> float:
    """Blender stores float32: the shortest decimal that means the same one, so that 0.31 stays 0.31."""
    return float(str(np.float32(value)))

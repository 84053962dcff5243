# SPDX-License-Identifier: GPL-3.0-or-later
"""Drags and preview settings as Blender properties, stored in the .blend with their scene.

`Scene.puppet_master` holds them. `drags_of` reads them out as the protocol's drags; `add_drag` writes one.
Positions are the protocol's: normalised to the still, origin top-left, x right, y down.
"""

import bpy
import numpy as np
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)
from bpy.types import PropertyGroup, Scene

from ..backend.errors import InputError
from ..backend.protocol import MAX_FRAMES, MAX_STEPS, Drag, DragPoint

EASE_ITEMS = (
    ("linear", "Linear", "Constant speed between points"),
    ("smooth", "Smooth", "Start and end at rest"),
)
# Blender's integer properties end here; the protocol's seeds go further.
MAX_BLENDER_SEED = 2**31 - 1


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


class PuppetDrag(PropertyGroup):
    """One drag; `name` is the collection's own."""

    name: StringProperty(name="Name", description="What this drag moves", default="Drag")
    enabled: BoolProperty(
        name="Enabled", description="Whether previews follow this drag", default=True
    )
    ease: EnumProperty(
        name="Ease", description="How the drag moves between its points", items=EASE_ITEMS
    )
    points: CollectionProperty(type=PuppetDragPoint, name="Points")


class PuppetSettings(PropertyGroup):
    """What a preview of this scene is made from."""

    drags: CollectionProperty(type=PuppetDrag, name="Drags")
    active_drag: IntProperty(name="Active Drag", description="The drag shown for editing", min=0)

    still_size: IntProperty(
        name="Size",
        description="Longer side of the still; the other side follows the render's aspect",
        default=256,
        min=16,
        soft_max=1024,
        max=4096,
        subtype="PIXEL",
    )
    still_samples: IntProperty(
        name="Max Samples",
        description="Cycles stops the still at this many samples; the scene's own number counts if lower",
        default=32,
        min=1,
        soft_max=256,
    )
    still_path: StringProperty(
        name="Still",
        description="The still rendered last",
        subtype="FILE_PATH",
    )

    model: StringProperty(
        name="Model",
        description="Name of an installed model, or the path of a model folder",
        default="tiny",
    )
    seed: IntProperty(
        name="Seed",
        description="Noise to start from; the same seed repeats a preview",
        default=0,
        min=0,
        max=MAX_BLENDER_SEED,
    )
    use_model_defaults: BoolProperty(
        name="Model Defaults",
        description="Use the frames, steps and guidance that the model was trained for",
        default=True,
    )
    frames: IntProperty(
        name="Frames",
        description="Length of the preview, the still included",
        default=14,
        min=2,
        max=MAX_FRAMES,
    )
    steps: IntProperty(
        name="Steps",
        description="Sampling steps: more take longer and come out cleaner",
        default=25,
        min=1,
        soft_max=100,
        max=MAX_STEPS,
    )
    guidance_first: FloatProperty(
        name="Guidance First",
        description="How strongly the still and the drags are followed at the first frame; 1 is off",
        default=1.0,
        min=1.0,
        soft_max=10.0,
        max=100.0,
    )
    guidance_last: FloatProperty(
        name="Last",
        description="How strongly the still and the drags are followed at the last frame; 1 is off",
        default=3.0,
        min=1.0,
        soft_max=10.0,
        max=100.0,
    )

    result_folder: StringProperty(
        name="Result",
        description="Folder of the preview made last: its frames, video and settings",
        subtype="DIR_PATH",
    )
    result_frame: IntProperty(
        name="Result Frame",
        description="Scene frame at which the still of the last preview was rendered",
        default=1,
    )


def to_drag(item: PuppetDrag) -> Drag:
    """The protocol's form of a stored drag.

    Raises:
        InputError: the stored drag is not a valid one; the message names it, the point and the value.
    """
    points = tuple(DragPoint(_shortest(p.t), _shortest(p.x), _shortest(p.y)) for p in item.points)
    return Drag(item.name, points, item.ease)


def drags_of(scene: Scene) -> tuple[Drag, ...]:
    """The enabled drags of a scene, in list order.

    Raises:
        InputError: one of them is not valid.
    """
    return tuple(to_drag(item) for item in scene.puppet_master.drags if item.enabled)


def add_drag(scene: Scene, drag: Drag) -> PuppetDrag:
    """Store a drag in the scene and make it the active one. An equal name gets a number: "door.001"."""
    settings = scene.puppet_master
    name = _free_name(drag.name, {item.name for item in settings.drags})
    item = settings.drags.add()
    item.name = name
    item.ease = drag.ease
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


def _free_name(name: str, taken: set[str]) -> str:
    candidate, number = name, 0
    while candidate in taken:
        number += 1
        candidate = f"{name}.{number:03d}"
    return candidate


def _shortest(value: float) -> float:
    """Blender stores float32: the shortest decimal that means the same one, so that 0.31 stays 0.31."""
    return float(str(np.float32(value)))


_CLASSES = (PuppetDragPoint, PuppetDrag, PuppetSettings)


def register() -> None:
    """Register the property groups and attach them to scenes."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    Scene.puppet_master = PointerProperty(type=PuppetSettings)


def unregister() -> None:
    """Detach and unregister; what is stored in open scenes stays in their files."""
    del Scene.puppet_master
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)

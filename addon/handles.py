# SPDX-License-Identifier: GPL-3.0-or-later
"""Drags and preview settings as Blender properties, stored in the .blend with their scene.

`Scene.puppet_master` holds them. `drags_of` reads them out as the protocol's drags; `add_drag` writes one.
Positions are the protocol's: normalised to the still, origin top-left, x right, y down.
"""

import re

import bpy
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
from bpy.types import Context, Image, Object, PropertyGroup, Scene

from ..backend.errors import InputError
from ..backend.protocol import MAX_FRAMES, MAX_STEPS, Drag, DragPoint
from . import still_status, translations

EASE_ITEMS = (
    ("linear", "Linear", "Constant speed between points"),
    ("smooth", "Smooth", "Start and end at rest"),
)
SOURCE_ITEMS = (
    ("CAMERA", "Camera", "Render what the scene's camera sees, afresh for each preview", "OUTLINER_OB_CAMERA", 0),
    ("RENDER_RESULT", "Render Result", "The last render's pixels, copied when the still is made", "RENDER_RESULT", 1),
    ("IMAGE", "Image", "An image of this file", "IMAGE_DATA", 2),
)
ENGINE_ITEMS = (
    ("SCENE", "Scene's Engine", "The engine that the scene renders with"),
    ("WORKBENCH", "Workbench", "The fastest: solid shading, colours as set in the scene's Workbench settings"),
    ("EEVEE", "EEVEE", "Materials and lights, quickly; needs a window"),
    ("CYCLES", "Cycles", "Materials and lights, path traced"),
)
ANCHOR_ITEMS = (
    ("NONE", "Image", "The start lies on the image"),
    ("STUCK", "Surface", "The start sticks to a surface"),
    ("GONE", "Object gone", "The start's object left the scene; the start stays at its last place on the image"),
    ("CHANGED", "Mesh changed", "The start's surface has other triangles, or its copy is gone; the start stays put"),
    ("UNSEEN", "Not in view", "The start's surface is hidden or outside the still; the start stays at its last place"),
)
MOTION_ITEMS = (
    ("BONES", "Bones", "The selected bones of the active armature", "BONE_DATA", 0),
    ("OBJECTS", "Objects", "The origins of the selected objects and empties", "OBJECT_DATA", 1),
    ("VERTICES", "Vertices", "The selected vertices of the active mesh", "VERTEXSEL", 2),
)
BONE_PART_ITEMS = (
    ("HEAD", "Head", "Where the bone begins"),
    ("MIDDLE", "Middle", "Halfway along the bone"),
    ("TAIL", "Tail", "Where the bone ends"),
)
# Told apart at a glance on grey, dark and light pictures; not red, which says "fault".
COLOURS = (
    (1.00, 0.62, 0.11), (0.16, 0.71, 0.96), (0.44, 0.85, 0.30), (0.93, 0.42, 0.83),
    (0.98, 0.88, 0.25), (0.29, 0.86, 0.76), (0.62, 0.52, 1.00), (0.85, 0.64, 0.45),
)  # fmt: skip
DEFAULT_FRAMES = 14  # of the embedded model, and of those it was modelled on
# Blender's integer properties end here; the protocol's seeds go further.
MAX_BLENDER_SEED = 2**31 - 1


def _source_changed(settings: PropertyGroup, context: Context) -> None:
    """Another still: what is known about the last one no longer holds."""
    still_status.refresh(settings.id_data)


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


class PuppetStill(PropertyGroup):
    """What the still shows: where it was seen from, and when."""

    source: EnumProperty(name="Source", description="What the still was made from", items=SOURCE_ITEMS)
    camera: PointerProperty(type=Object, name="Camera", description="Camera that saw the still")
    camera_name: StringProperty(name="Camera Name", description="What that camera was called")
    image_name: StringProperty(name="Image Name", description="Image that the still was copied from")
    frame: IntProperty(name="Frame", description="Scene frame that the still shows")
    width: IntProperty(name="Width", description="Width of the still; 0 before there is one", min=0, subtype="PIXEL")
    height: IntProperty(name="Height", description="Height of the still", min=0, subtype="PIXEL")
    resolution: IntVectorProperty(
        name="Resolution", description="Resolution of the scene's render when the still was made", size=2
    )
    view: FloatVectorProperty(name="View", description="World to camera matrix of the still, row by row", size=16)
    lens: FloatVectorProperty(name="Lens", description="Picture's size and shift at depth 1", size=5)
    region: FloatVectorProperty(
        name="Region",
        description="Left, top, right and bottom of the part of the camera's picture that the still shows",
        size=4,
        default=(0.0, 0.0, 1.0, 1.0),
    )


class PuppetSettings(PropertyGroup):
    """What a preview of this scene is made from."""

    drags: CollectionProperty(type=PuppetDrag, name="Drags")
    active_drag: IntProperty(name="Active Drag", description="The drag shown for editing", min=0)

    show_handles: BoolProperty(
        name="Show Handles",
        description="Draw the drags on the camera view and on the still in the Image Editor",
        default=True,
    )
    stick: BoolProperty(
        name="Stick to Surface",
        description="A drag placed on an object follows its surface when the frame or the camera changes",
        default=True,
    )

    motion_source: EnumProperty(
        name="Motion Of", description="What drags are made from", items=MOTION_ITEMS, default="OBJECTS"
    )
    motion_bone_part: EnumProperty(
        name="Bone Part", description="Which point of each bone is followed", items=BONE_PART_ITEMS, default="TAIL"
    )
    motion_start: IntProperty(
        name="Start",
        description="First frame of the motion, the one that the still shows",
        default=1,
        subtype="TIME",
    )
    motion_end: IntProperty(
        name="End",
        description="Last frame of the motion, which the preview's last frame shows",
        default=25,
        subtype="TIME",
    )
    motion_tolerance: FloatProperty(
        name="Tolerance",
        description="How far a drag may leave the motion, in parts of the still: a larger value gives fewer points",
        default=0.003,
        min=0.0,
        max=0.1,
        step=0.1,
        precision=4,
    )

    still: PointerProperty(type=PuppetStill, name="Still")
    still_source: EnumProperty(
        name="Source", description="What previews start from", items=SOURCE_ITEMS, update=_source_changed
    )
    still_image: PointerProperty(
        type=Image, name="Image", description="Image that previews start from", update=_source_changed
    )
    still_engine: EnumProperty(
        name="Engine", description="What renders the still", items=ENGINE_ITEMS
    )
    background: FloatVectorProperty(
        name="Background",
        description="Put behind the object where the still is transparent; models know white best",
        subtype="COLOR_GAMMA",
        size=3,
        min=0.0,
        max=1.0,
        default=(1.0, 1.0, 1.0),
    )
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


def preview_frames(settings: PuppetSettings) -> int:
    """How many frames a preview is expected to have, the still included."""
    return DEFAULT_FRAMES if settings.use_model_defaults else settings.frames


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


def free_colour(settings: PuppetSettings) -> tuple[float, ...]:
    """The colour that the fewest drags have."""
    taken = [tuple(item.color) for item in settings.drags]
    uses = [sum(bool(np.allclose(colour, other, atol=0.01)) for other in taken) for colour in COLOURS]
    return COLOURS[uses.index(min(uses))]


def shortest(value: float) -> float:
    """Blender stores float32: the shortest decimal that means the same one, so that 0.31 stays 0.31."""
    return float(str(np.float32(value)))


_CLASSES = (PuppetDragPoint, PuppetDrag, PuppetStill, PuppetSettings)
_register_classes, _unregister_classes = bpy.utils.register_classes_factory(_CLASSES)


def register() -> None:
    """Register the property groups and attach them to scenes."""
    _register_classes()
    Scene.puppet_master = PointerProperty(type=PuppetSettings)


def unregister() -> None:
    """Detach and unregister; what is stored in open scenes stays in their files."""
    del Scene.puppet_master
    _unregister_classes()

# SPDX-License-Identifier: GPL-3.0-or-later
"""What a preview of a scene is made from, as Blender properties stored in the .blend: `Scene.puppet_master`."""

import bpy
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

from ..backend import registry
from ..backend.protocol import MAX_FRAMES, MAX_STEPS
from . import motion_options, still_status
from .handles import PuppetDrag, PuppetDragPoint

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
DEFAULT_FRAMES = 14  # of the embedded model, and of those it was modelled on
# Blender's integer properties end here; the protocol's seeds go further.
MAX_BLENDER_SEED = 2**31 - 1


def _source_changed(settings: PropertyGroup, context: Context) -> None:
    """Another still: what is known about the last one no longer holds."""
    still_status.refresh(settings.id_data)


def model_names(settings: PropertyGroup, context: Context, text: str) -> list[str]:
    """The models on this computer, to choose from; all of them, whatever stands in the field."""
    return [folder.name for folder in registry.model_folders()]


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

    motion_source: motion_options.source("OBJECTS")
    motion_bone_part: motion_options.bone_part()
    motion_start: motion_options.start()
    motion_end: motion_options.end()
    motion_tolerance: motion_options.tolerance()

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
        search=model_names,
        search_options={"SUGGESTION"},  # a folder may be given too
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


def preview_frames(settings: PuppetSettings) -> int:
    """How many frames a preview is expected to have, the still included."""
    return DEFAULT_FRAMES if settings.use_model_defaults else settings.frames


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

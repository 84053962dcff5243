# SPDX-License-Identifier: GPL-3.0-or-later
"""How previews of a scene are made and shown, beside what `handles` keeps; stored with the scene.

`Scene.puppet_master_preview` holds these.
"""

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)
from bpy.types import Context, PropertyGroup, Scene

from . import models, playback, translations
from .compat import RELATIVE_PATH
from .drawing import redraw_views

QUALITY_ITEMS = (
    (models.DRAFT, "Draft", "Fewer sampling steps, the last of them unguided: quick, to judge the motion"),
    (models.NORMAL, "Normal", "The sampling steps that the model declares"),
    (models.FINAL, "Final", "Twice the sampling steps that the model declares: slow, to judge the picture"),
    (models.CUSTOM, "Custom", "A number of sampling steps of your own"),
)
SHOWN_ITEMS = (
    (playback.PREVIEW, "Preview", "Show the preview over the camera's view"),
    (playback.STILL, "Still", "Show the still that the preview started from, to compare"),
    (playback.NOTHING, "Scene", "Show the scene itself"),
)
MAX_VARIATIONS = 16


def _show(settings: PropertyGroup, context: Context) -> None:
    playback.choose_shown(settings.id_data, settings.shown)


def _redraw(settings: PropertyGroup, context: Context) -> None:
    redraw_views(context)


class PuppetHistoryEntry(PropertyGroup):
    """One preview made of this scene; `name` is the collection's own."""

    name: StringProperty(name="Name", description="What the preview is called in the list")
    folder: StringProperty(
        name="Folder",
        description="Where its frames, video and settings are",
        subtype="DIR_PATH",
        options=RELATIVE_PATH,
    )
    frame: IntProperty(name="Frame", description="Scene frame at which its still was rendered", default=1)
    camera: StringProperty(name="Camera", description="Camera that saw its still")
    about: StringProperty(name="Settings", description="Model, seed and settings it was made with")
    size: FloatProperty(name="Size", description="Megabytes on disk", min=0.0)
    keep: BoolProperty(name="Keep", description="Never remove this preview when the history is pruned")
    missing: BoolProperty(name="Missing", description="Whether its folder is gone")


class PuppetPreviewSettings(PropertyGroup):
    """How previews of this scene are made and shown."""

    quality: EnumProperty(
        name="Quality",
        description="How many sampling steps are taken",
        items=QUALITY_ITEMS,
        default=models.NORMAL,
        translation_context=translations.OWN,
    )
    seed_locked: BoolProperty(
        name="Lock Seed",
        description="Keep the seed, so that only what you change makes a difference; "
        "otherwise each preview takes the next one",
        default=True,
    )
    variations: IntProperty(
        name="Variations",
        description="How many previews to make, each with the next seed",
        default=1,
        min=1,
        max=MAX_VARIATIONS,
    )
    shown: EnumProperty(
        name="Shown", description="What lies over the camera's view", items=SHOWN_ITEMS, update=_show
    )
    show_outcome: BoolProperty(
        name="Drag Errors",
        description="Draw where the preview's dragged points went, from green (as asked) to red (far off)",
        update=_redraw,
    )
    history: CollectionProperty(type=PuppetHistoryEntry, name="History")
    active_entry: IntProperty(name="Active Preview", description="The preview chosen in the history", min=0)


_CLASSES = (PuppetHistoryEntry, PuppetPreviewSettings)
_register_classes, _unregister_classes = bpy.utils.register_classes_factory(_CLASSES)


def register() -> None:
    """Register the property groups and attach them to scenes."""
    _register_classes()
    Scene.puppet_master_preview = PointerProperty(type=PuppetPreviewSettings)


def unregister() -> None:
    """Detach and unregister; what is stored in open scenes stays in their files."""
    del Scene.puppet_master_preview
    _unregister_classes()

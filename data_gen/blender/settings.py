# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panel lets one choose, stored in the .blend with its scene as `Scene.puppet_master_clips`.

The properties are made from the options' own declarations, so that names, limits and words are those of the
command line. `arguments_of` turns them back into a command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty
from bpy.types import PropertyGroup, Scene

from ..kinds import WEIGHTS
from ..options import PRESETS, Option, RenderOrder, options_of

SCENE, FILES, PROCEDURAL = "SCENE", "FILES", "PROCEDURAL"
SOURCES = (
    (SCENE, "This Scene", "The shot as it plays, unsaved changes included; first from its own camera"),
    (FILES, "Files", "Animated assets: each of their animations by itself"),
    (PROCEDURAL, "Procedural", "Cabinets, lamps and other rigs, made up anew"),
)
# The options of `data render` that the panel shows, in this order; the others keep their defaults.
SHOWN = ("views", "size", "frames", "engine", "device", "samples", "passes", "filter", "seed", "workers")
ALL_KINDS = "all"
MAX_BLENDER_INT = 2**31 - 1

# From 4.5 on Blender wants to be told which paths may begin with "//"; before, it does not know the word.
_RELATIVE = {"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (4, 5, 0) else set()
_DEFAULTS = {**PRESETS["draft"], "views": 4, "workers": 1}  # a core stays with the one at the window


def shown_options() -> list[Option]:
    """The declarations of `SHOWN`."""
    known = {option.name: option for option in options_of(RenderOrder)}
    return [known[name] for name in SHOWN]


def property_of(option: Option, default: Any) -> Any:
    """A Blender property for an option."""
    words: dict[str, Any] = {"name": option.name.replace("_", " ").title(), "description": option.help.rstrip(".")}
    if option.choices:
        items = [(choice, _label(choice), f"{words['description']}: {choice}") for choice in option.choices]
        if option.many:
            return EnumProperty(items=items, options={"ENUM_FLAG"}, default=set(default), **words)
        return EnumProperty(items=items, default=default, **words)
    if option.kind is bool:
        return BoolProperty(default=default, **words)
    if option.kind in (int, float):
        limits = {"min": option.low, "max": option.high}
        limits = {name: option.kind(value) for name, value in limits.items() if value is not None}
        if option.kind is int:
            limits["max"] = min(limits.get("max", MAX_BLENDER_INT), MAX_BLENDER_INT)
            return IntProperty(default=default, **limits, **words)
        return FloatProperty(default=default, **limits, **words)
    known = [word for word in option.metavar.split("|") if word.islower()]
    if not known:
        return StringProperty(default=str(default or ""), **words)

    def suggest(settings: PropertyGroup, context: bpy.types.Context, text: str) -> list[str]:
        return known

    return StringProperty(default=default, search=suggest, search_options={"SUGGESTION"}, **words)


def _label(choice: str) -> str:
    return choice.upper() if len(choice) == 3 else choice.title()  # CPU, GPU


class ClipSettings(PropertyGroup):
    """What training clips of this scene are made of and how; further properties come from the options."""

    source: EnumProperty(name="Source", description="What moves in the clips", items=SOURCES)
    assets: StringProperty(
        name="Files",
        description="A file with animations, or a folder of such files",
        subtype="FILE_PATH",
        options={"ANIMATABLE", *_RELATIVE},
    )
    kind: EnumProperty(
        name="Kind",
        description="Kind of rig",
        items=[(kind, kind.replace("_", " ").title(), f"Rigs: {kind}") for kind in (ALL_KINDS, *WEIGHTS)],
    )
    count: IntProperty(name="Count", description="How many rigs", default=20, min=1, max=1_000_000)
    out: StringProperty(
        name="Output Folder",
        description="Datasets are made in folders of their own below this one; empty: a folder of this extension",
        subtype="DIR_PATH",
        options={"ANIMATABLE", *_RELATIVE},
    )


for _option in shown_options():
    ClipSettings.__annotations__[_option.name] = property_of(_option, _DEFAULTS.get(_option.name, _option.default))


def arguments_of(settings: ClipSettings | Mapping[str, Any]) -> list[str]:
    """The command line's words for what the panel shows, source and output folder left out."""
    words: list[str] = []
    for option in shown_options():
        value = getattr(settings, option.name)
        if option.many:
            value = ",".join(choice for choice in option.choices if choice in value)
        if option.kind is bool:
            words += [option.flag] if value else []
        elif value != "":
            words += [option.flag, f"{value:g}" if isinstance(value, float) else str(value)]
    return words


def source_arguments(settings: ClipSettings, snapshot: Path | None) -> list[str]:
    """The command line's words for the source; `snapshot` is the scene's copy where that is the source."""
    if settings.source == FILES:
        return [bpy.path.abspath(settings.assets)]
    if settings.source == PROCEDURAL:
        return ["--procedural", f"{settings.kind}:{settings.count}"]
    assert snapshot is not None
    return ["--scene", snapshot.name]


def register() -> None:
    """Register the settings and attach them to scenes."""
    bpy.utils.register_class(ClipSettings)
    Scene.puppet_master_clips = PointerProperty(type=ClipSettings)


def unregister() -> None:
    """Detach and unregister; what is stored in open scenes stays in their files."""
    del Scene.puppet_master_clips
    bpy.utils.unregister_class(ClipSettings)

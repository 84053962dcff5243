# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on room: drags, stills, previews and playback inside Blender.

It runs on bpy, the stdlib and Blender's own numpy, and speaks to the backend process through the
protocol part of `backend`. Importing this package does not import bpy, so that programs in this room
can explain a missing Blender module before anything needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

_registered = False


def register() -> None:
    """Register every class, property and handler of the add-on; does nothing when already registered."""
    global _registered
    if _registered:
        return
    for module in _modules():
        module.register()
    _registered = True


def unregister() -> None:
    """Undo `register`: cancel a running preview, stop the backend process, remove classes and properties."""
    global _registered
    if not _registered:
        return
    for module in reversed(_modules()):
        module.unregister()
    _registered = False


def commands() -> dict[str, Callable[[list[str], str], int]]:
    """What the add-on adds to `blender --command puppet_master`: each takes its words and its name for messages."""
    from . import preview_command

    return {"preview": preview_command.main}


def _modules() -> list[ModuleType]:
    """The modules that register something, each after those it builds on."""
    from . import (
        anchors,
        backend_link,
        backend_operators,
        backend_state,
        background,
        drag_operators,
        from_animation_operators,
        handle_tool,
        history,
        install,
        job_panels,
        jobs,
        model_pull,
        overlay,
        panels,
        playback_operators,
        point_operators,
        preferences,
        preview_operators,
        preview_settings,
        saving,
        scene_settings,
        still_operators,
        thumbnails,
        translations,
    )

    stored = [translations, preferences, scene_settings, preview_settings, history]
    editing = [anchors, drag_operators, point_operators, still_operators, from_animation_operators]
    handling = [*editing, handle_tool, overlay]
    # Jobs end before the backend that they wait for, programs before what they report to.
    running = [install, background, thumbnails, backend_link, jobs, backend_state]
    doing = [preview_operators, playback_operators, saving, backend_operators, model_pull]
    return [*stored, *handling, *running, *doing, panels, job_panels]

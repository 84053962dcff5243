# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on room: drags, stills, previews and playback inside Blender.

It runs on bpy, the stdlib and Blender's own numpy, and speaks to the backend process through the
protocol part of `backend`. Importing this package does not import bpy, so that programs in this room
can explain a missing Blender module before anything needs it.
"""

from __future__ import annotations

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


def _modules() -> list[ModuleType]:
    """The modules that register something, each after those it builds on."""
    from . import (
        anchors,
        backend_link,
        from_animation_operators,
        handle_operators,
        handle_panels,
        handle_tool,
        handles,
        jobs,
        operators,
        overlay,
        panels,
        preferences,
        still_operators,
    )

    handling = [handles, anchors, handle_operators, still_operators, from_animation_operators, handle_tool, overlay]
    return [preferences, *handling, backend_link, jobs, operators, handle_panels, panels]

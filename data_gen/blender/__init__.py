# SPDX-License-Identifier: GPL-3.0-or-later
"""Training clips from inside Blender: the panel "Training Clips" and `blender --command puppet_master data`.

It stands here and not in the add-on's room so that the two rooms stay independent of one another: the add-on knows
nothing of training data, this knows nothing of previews, and the extension's door registers both. Importing this
package does not import bpy.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

Commands = dict[str, Callable[[list[str], str], int]]

_registered = False


def register(commands: Commands | None = None) -> None:
    """Register the command, the settings, the operators and the panel; does nothing when already registered.

    Args:
        commands: what other rooms add to `blender --command puppet_master`, by name.
    """
    global _registered
    if _registered:
        return
    for module in _modules():
        module.register()
    from . import command

    command.COMMANDS.update(commands or {})
    _registered = True


def unregister() -> None:
    """Undo `register`: stop a running process, remove classes, properties and the command."""
    global _registered
    if not _registered:
        return
    for module in reversed(_modules()):
        module.unregister()
    _registered = False


def _modules() -> list[ModuleType]:
    """The modules that register something, each after those it builds on."""
    from . import command, operators, panel, runs, settings

    return [settings, runs, operators, panel, command]

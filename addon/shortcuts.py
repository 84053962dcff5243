# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of the add-on's own in Blender's keymaps, taken away again with what they call."""

from __future__ import annotations

import bpy
from bpy.types import KeyMap, KeyMapItem


class Shortcuts:
    """Some keys; `add` them when registering, `remove` them when unregistering."""

    def __init__(self) -> None:
        self._added: list[tuple[KeyMap, KeyMapItem]] = []

    def add(self, keymap: str, space: str, operator: str, key: str, **modifiers: bool) -> None:
        """Let a key, e.g. "P" with `ctrl=True`, call an operator; does nothing where there is no window."""
        keys = bpy.context.window_manager.keyconfigs.addon
        if keys is not None:
            found = keys.keymaps.new(name=keymap, space_type=space)
            self._added.append((found, found.keymap_items.new(operator, key, "PRESS", **modifiers)))

    def remove(self) -> None:
        """Take them all away."""
        while self._added:
            keymap, item = self._added.pop()
            keymap.keymap_items.remove(item)

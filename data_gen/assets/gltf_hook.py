# SPDX-License-Identifier: GPL-3.0-or-later
"""A part of Blender's glTF importer while it runs: no animation is made active.

The importer lets the first animation play when it is done, and with it Blender overwrites what the file says of the
nodes that this animation moves. Other animations need these values for what they themselves do not move. The importer
asks enabled add-ons for a class of this name and, before it makes animations, for its say.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy


class glTF2ImportUserExtension:
    """What the importer asks."""

    def gather_import_animations(self, animations: Any, options: Any, importer: Any) -> None:
        """Called before animations are made."""
        options.restore_first_anim = False


@contextmanager
def no_animation_active() -> Iterator[None]:
    """While in it, glTF files are imported with none of their animations active."""
    addons = bpy.context.preferences.addons
    entry = addons.new()
    entry.module = __name__
    try:
        yield
    finally:
        addons.remove(entry)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Puppet Master: drag handles on a rendered still become a video of the parts moving.

This file is the Blender extension's door and, at the same time, the root of the Python package
`puppet_master`. `register` imports what it registers lazily, so that plain Python can import the
package with no Blender present. The add-on and the making of training clips know nothing of each
other: they meet here alone.
"""

__version__ = "0.1.0"


def register() -> None:
    """Called by Blender when the extension is enabled."""
    from . import addon
    from .data_gen import blender

    addon.register()
    blender.register(addon.commands())


def unregister() -> None:
    """Called by Blender when the extension is disabled."""
    from . import addon
    from .data_gen import blender

    blender.unregister()
    addon.unregister()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Puppet Master: drag handles on a rendered still become a video of the parts moving.

This file is the Blender extension's door and, at the same time, the root of the Python package
`puppet_master`. `register` imports the add-on lazily, so that plain Python can import the package
with no Blender present.
"""

__version__ = "0.1.0"


def register() -> None:
    """Called by Blender when the extension is enabled."""
    from . import addon

    addon.register()


def unregister() -> None:
    """Called by Blender when the extension is disabled."""
    from . import addon

    addon.unregister()

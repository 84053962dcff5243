# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's Python interface under a name that is easy to find; see `addon/api.py` for what it does.

    from bl_ext.user_default.puppet_master import api
"""

from .addon.api import Preview, add_drag, clear_drags, make_still, preview

__all__ = ["Preview", "add_drag", "clear_drags", "make_still", "preview"]

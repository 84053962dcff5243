# SPDX-License-Identifier: GPL-3.0-or-later
"""What all panels draw alike: texts that wrap, columns with labels at the left, buttons that mend."""

from __future__ import annotations

import re
import textwrap

from bpy.types import Context, UILayout

from .translations import translated

LETTER_PIXELS = 7.0  # width of an average letter at interface scale 1


def draw_text(
    layout: UILayout, context: Context, text: str, icon: str = "NONE", width: float | None = None
) -> None:
    """A text, translated if it can be, in lines as wide as the panel: labels do not wrap by themselves.

    `width` is that of a dialog, in pixels at interface scale 1: its region is still the one it was called from.
    """
    text = translated(text)
    if width is None:
        width = context.region.width / context.preferences.system.ui_scale
    letters = int(width / LETTER_PIXELS) - (6 if icon != "NONE" else 4)
    column = layout.column(align=True)
    column.scale_y = 0.85
    for number, line in enumerate(textwrap.wrap(text, max(letters, 16))):
        if icon == "NONE":
            column.label(text=line, translate=False)
        else:
            column.label(text=line, icon=icon if number == 0 else "BLANK1", translate=False)


def without_log(text: str) -> str:
    """A message without the path of the log, for which there is a button."""
    return re.sub(r"; its log: [^;]+", "", text)


def split_column(layout: UILayout) -> UILayout:
    """A column whose properties have their names at the left."""
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    return column


def redraw_views(context: Context) -> None:
    """Ask for all windows' viewports and Image Editors to be drawn again."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in ("VIEW_3D", "IMAGE_EDITOR"):
                area.tag_redraw()

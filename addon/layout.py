# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panels share: the tab they stand in, and texts that wrap."""

import textwrap

from bpy.types import Context, UILayout

LETTER_PIXELS = 7.0  # width of an average letter at interface scale 1


class PuppetTab:
    """Places a panel in the viewport's "Puppet" tab."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Puppet"


class ImagePuppetTab:
    """Places a panel in the Image Editor's "Puppet" tab."""

    bl_space_type = "IMAGE_EDITOR"
    bl_region_type = "UI"
    bl_category = "Puppet"


def draw_text(layout: UILayout, context: Context, text: str, icon: str) -> None:
    """A text broken into lines as wide as the panel: labels do not wrap by themselves."""
    letters = int(context.region.width / (LETTER_PIXELS * context.preferences.system.ui_scale)) - 6
    column = layout.column(align=True)
    for number, line in enumerate(textwrap.wrap(text, max(letters, 16))):
        column.label(text=line, icon=icon if number == 0 else "BLANK1", translate=False)


def split_column(layout: UILayout) -> UILayout:
    """A column with labels on the left and values on the right."""
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    return column

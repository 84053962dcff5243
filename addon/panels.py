# SPDX-License-Identifier: GPL-3.0-or-later
"""Stills and drags in the "Puppet" tab of the 3D viewport. Panels draw state and change none."""

import bpy
from bpy.types import AnyType, Context, Panel, UILayout, UIList

from ..backend.errors import InputError
from . import handles
from .drawing import draw_text, split_column
from .operators import AddDrag, MakeStill, RemoveDrag


class PuppetTab:
    """Places a panel in the viewport's "Puppet" tab."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Puppet"


class DragList(UIList):
    """The scene's drags: whether they count, and their names."""

    bl_idname = "PUPPETMASTER_UL_drags"

    def draw_item(
        self,
        context: Context,
        layout: UILayout,
        data: AnyType,
        item: handles.PuppetDrag,
        icon: int,
        active_data: AnyType,
        active_property: str,
    ) -> None:
        """Draw one drag; one that is not valid carries a warning sign."""
        row = layout.row(align=True)
        row.prop(item, "enabled", text="")
        row.prop(item, "name", text="", emboss=False)
        if _fault(item):
            row.label(text="", icon="ERROR")


class StillPanel(PuppetTab, Panel):
    """The still that previews start from."""

    bl_idname = "PUPPETMASTER_PT_still"
    bl_label = "Still"

    def draw(self, context: Context) -> None:
        """Draw the still's settings and its button."""
        settings = context.scene.puppet_master
        column = split_column(self.layout)
        column.prop(settings, "still_size")
        if context.scene.render.engine == "CYCLES":
            column.prop(settings, "still_samples")
        if context.scene.camera is None:
            column.label(text="The scene has no camera", icon="ERROR")
        column.operator(MakeStill.bl_idname, icon="RENDER_STILL")
        if settings.still_path:
            column.prop(settings, "still_path")


class DragsPanel(PuppetTab, Panel):
    """The drags and the points of the active one."""

    bl_idname = "PUPPETMASTER_PT_drags"
    bl_label = "Drags"

    def draw(self, context: Context) -> None:
        """Draw the list and the active drag."""
        settings = context.scene.puppet_master
        row = self.layout.row()
        row.template_list(DragList.bl_idname, "", settings, "drags", settings, "active_drag", rows=3)
        buttons = row.column(align=True)
        buttons.operator(AddDrag.bl_idname, text="", icon="ADD")
        buttons.operator(RemoveDrag.bl_idname, text="", icon="REMOVE").index = -1
        if 0 <= settings.active_drag < len(settings.drags):
            _draw_drag(self.layout, context, settings.drags[settings.active_drag])


def _draw_drag(layout: UILayout, context: Context, drag: handles.PuppetDrag) -> None:
    split_column(layout).prop(drag, "ease")
    points = layout.column(align=True)
    heads = points.row(align=True)
    for name in ("t", "x", "y"):
        heads.label(text=handles.PuppetDragPoint.bl_rna.properties[name].name)
    for point in drag.points:
        row = points.row(align=True)
        for name in ("t", "x", "y"):
            row.prop(point, name, text="")
    if fault := _fault(drag):
        draw_text(layout, context, fault, "ERROR")


def _fault(drag: handles.PuppetDrag) -> str:
    """What is wrong with a stored drag; empty if nothing is."""
    try:
        handles.to_drag(drag)
    except InputError as error:
        return str(error)
    return ""


_CLASSES = (DragList, StillPanel, DragsPanel)


def register() -> None:
    """Register the list and the panels."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Unregister the panels and the list."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)

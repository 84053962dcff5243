# SPDX-License-Identifier: GPL-3.0-or-later
"""The "Puppet" tab in the 3D viewport. Panels draw state and change none."""

import textwrap

import bpy
from bpy.types import AnyType, Context, Panel, UILayout, UIList

from ..backend.errors import InputError
from . import handles, jobs
from .operators import AddDrag, CancelPreview, LoadResult, MakeStill, Preview, RemoveDrag

POINT_PIXELS = 7.0  # width of an average letter at interface scale 1


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
        column = _split_column(self.layout)
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


class PreviewPanel(PuppetTab, Panel):
    """The preview: its settings, its button and how far it is."""

    bl_idname = "PUPPETMASTER_PT_preview"
    bl_label = "Preview"

    def draw(self, context: Context) -> None:
        """Draw the settings, and the button or the progress."""
        settings = context.scene.puppet_master
        column = _split_column(self.layout)
        column.prop(settings, "model")
        column.prop(settings, "seed")
        column.prop(settings, "use_model_defaults")
        own = column.column()
        own.active = not settings.use_model_defaults
        own.prop(settings, "frames")
        own.prop(settings, "steps")
        guidance = own.column(align=True)
        guidance.prop(settings, "guidance_first")
        guidance.prop(settings, "guidance_last")
        _draw_job(self.layout, context)
        if settings.result_folder:
            _split_column(self.layout).prop(settings, "result_folder")
            self.layout.operator(LoadResult.bl_idname, icon="FILE_REFRESH")


def _draw_drag(layout: UILayout, context: Context, drag: handles.PuppetDrag) -> None:
    _split_column(layout).prop(drag, "ease")
    points = layout.column(align=True)
    heads = points.row(align=True)
    for name in ("t", "x", "y"):
        heads.label(text=handles.PuppetDragPoint.bl_rna.properties[name].name)
    for point in drag.points:
        row = points.row(align=True)
        for name in ("t", "x", "y"):
            row.prop(point, name, text="")
    if fault := _fault(drag):
        _draw_text(layout, context, fault, "ERROR")


def _draw_job(layout: UILayout, context: Context) -> None:
    # The button stays in its place while a preview runs: nothing jumps away under the mouse.
    button = layout.row()
    button.scale_y = 1.4
    button.operator(Preview.bl_idname, icon="PLAY")
    job = jobs.current()
    if job is None:
        return
    if job.state.final:
        _draw_text(layout, context, job.text(), "ERROR" if job.error else "INFO")
        return
    row = layout.row(align=True)
    row.progress(factor=job.progress, text=job.text())
    row.operator(CancelPreview.bl_idname, text="", icon="X")


def _draw_text(layout: UILayout, context: Context, text: str, icon: str) -> None:
    """A text broken into lines as wide as the panel: labels do not wrap by themselves."""
    letters = int(context.region.width / (POINT_PIXELS * context.preferences.system.ui_scale)) - 6
    column = layout.column(align=True)
    for number, line in enumerate(textwrap.wrap(text, max(letters, 16))):
        column.label(text=line, icon=icon if number == 0 else "BLANK1")


def _fault(drag: handles.PuppetDrag) -> str:
    """What is wrong with a stored drag; empty if nothing is."""
    try:
        handles.to_drag(drag)
    except InputError as error:
        return str(error)
    return ""


def _split_column(layout: UILayout) -> UILayout:
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    return column


_CLASSES = (DragList, StillPanel, DragsPanel, PreviewPanel)


def register() -> None:
    """Register the list and the panels."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Unregister the panels and the list."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)

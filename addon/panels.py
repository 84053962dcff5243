# SPDX-License-Identifier: GPL-3.0-or-later
"""The still and the drags in the "Puppet" tab, in the 3D viewport and in the Image Editor.

Panels draw state and change none.
"""

import bpy
from bpy.types import AnyType, Context, Menu, Panel, UILayout, UIList

from ..backend.errors import InputError
from . import framing, handles, still_status
from .drag_operators import AddDrag, DuplicateDrags, EnableDrags, MirrorDrags, RemoveDrag, SetEase, StickStart
from .drawing import draw_text, split_column
from .from_animation_operators import DragsFromAnimation
from .handle_tool import UseHandleTool
from .point_operators import AddPoint, DeletePoints, SelectPoints
from .scene_settings import PuppetSettings, PuppetStill
from .still_operators import MakeStill, MatchModelSize, OpenStill, UseImage

ANCHOR_ICONS = {"NONE": "BLANK1", "STUCK": "SNAP_ON", "GONE": "UNLINKED", "CHANGED": "UNLINKED", "UNSEEN": "HIDE_ON"}


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


class DragList(UIList):
    """The scene's drags: whether they count, their colours and names, and what is amiss with them."""

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
        swatch = row.row()
        swatch.ui_units_x = 0.8
        swatch.prop(item, "color", text="")
        row.prop(item, "name", text="", emboss=False)
        if item.hidden:
            row.label(text="", icon="GHOST_ENABLED")
        if _fault(item):
            row.label(text="", icon="ERROR")
        elif item.anchor_state != "NONE":
            row.label(text="", icon=ANCHOR_ICONS[item.anchor_state])


class DragsMenu(Menu):
    """What else can be done with drags."""

    bl_idname = "PUPPETMASTER_MT_drags"
    bl_label = "Drag Specials"

    def draw(self, context: Context) -> None:
        """List the edits of the selected drags."""
        layout = self.layout
        layout.operator(SelectPoints.bl_idname, text="Select All").mode = "ALL"
        layout.operator(SelectPoints.bl_idname, text="Select None").mode = "NONE"
        layout.separator()
        layout.operator(AddPoint.bl_idname, icon="ADD").use_path = True
        layout.operator(DuplicateDrags.bl_idname, icon="DUPLICATE")
        layout.operator(MirrorDrags.bl_idname, icon="MOD_MIRROR")
        layout.separator()
        layout.operator(EnableDrags.bl_idname, text="Enable or Disable")
        layout.operator(SetEase.bl_idname, text="Linear or Smooth")
        layout.separator()
        layout.operator(StickStart.bl_idname, icon="SNAP_ON").release = False
        layout.operator(StickStart.bl_idname, text="Release Start").release = True
        layout.separator()
        layout.operator(DeletePoints.bl_idname, icon="X")


class StillDrawing:
    """The still that previews start from."""

    bl_label = "Still"

    def draw(self, context: Context) -> None:
        """Draw the still's source, its settings and its button."""
        settings = context.scene.puppet_master
        column = split_column(self.layout)
        column.prop(settings, "still_source")
        _draw_source(column, context, settings)
        column.prop(settings, "background")
        if settings.still_source == still_status.CAMERA and context.scene.camera is None:
            column.label(text="The scene has no camera", icon="ERROR")
        column.operator(MakeStill.bl_idname, icon="RENDER_STILL")
        record = settings.still
        if record.width:
            row = self.layout.row()
            row.active = False
            row.label(text=_summary(record), translate=False)
        if note := still_status.note(context.scene):
            again = settings.still_source == still_status.CAMERA
            draw_text(self.layout, context, note, "INFO" if again else "ERROR")
        if context.area.type == "IMAGE_EDITOR":
            column.operator(UseImage.bl_idname, icon="IMAGE_DATA")
            column.operator(OpenStill.bl_idname, icon="HIDE_OFF")


class DragsDrawing:
    """The drags and the points of the active one."""

    bl_label = "Drags"

    def draw(self, context: Context) -> None:
        """Draw the list and the active drag."""
        settings = context.scene.puppet_master
        self.layout.operator(UseHandleTool.bl_idname, icon="CURSOR")
        row = self.layout.row()
        row.template_list(DragList.bl_idname, "", settings, "drags", settings, "active_drag", rows=4)
        buttons = row.column(align=True)
        buttons.operator(AddDrag.bl_idname, text="", icon="ADD")
        buttons.operator(RemoveDrag.bl_idname, text="", icon="REMOVE").index = -1
        buttons.separator()
        buttons.menu(DragsMenu.bl_idname, text="", icon="DOWNARROW_HLT")
        buttons.separator()
        buttons.prop(settings, "show_handles", text="", icon="OVERLAY")
        if 0 <= settings.active_drag < len(settings.drags):
            _draw_drag(self.layout, context, settings.drags[settings.active_drag])


class FromAnimationPanel(PuppetTab, Panel):
    """Drags made from the scene's animation."""

    bl_idname = "PUPPETMASTER_PT_from_animation"
    bl_label = "From Animation"
    bl_parent_id = "PUPPETMASTER_PT_drags"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Context) -> None:
        """Draw what is followed, over which frames, and the button."""
        settings = context.scene.puppet_master
        column = split_column(self.layout)
        column.prop(settings, "motion_source")
        if settings.motion_source == "BONES":
            column.prop(settings, "motion_bone_part")
        frames = column.column(align=True)
        frames.prop(settings, "motion_start", text="Frame Start")
        frames.prop(settings, "motion_end")
        column.prop(settings, "motion_tolerance")
        column.operator(DragsFromAnimation.bl_idname, icon="CURVE_PATH")


class StillPanel(StillDrawing, PuppetTab, Panel):
    """The still that previews start from, in the viewport."""

    bl_idname = "PUPPETMASTER_PT_still"


class DragsPanel(DragsDrawing, PuppetTab, Panel):
    """The drags, in the viewport."""

    bl_idname = "PUPPETMASTER_PT_drags"


class ImageStillPanel(StillDrawing, ImagePuppetTab, Panel):
    """The still that previews start from, in the Image Editor."""

    bl_idname = "PUPPETMASTER_PT_image_still"


class ImageDragsPanel(DragsDrawing, ImagePuppetTab, Panel):
    """The drags, in the Image Editor."""

    bl_idname = "PUPPETMASTER_PT_image_drags"

    def draw(self, context: Context) -> None:
        """Draw the drags; say so where the image shown is not the still."""
        image = context.space_data.image
        if image is not None and not framing.shows_still(context.scene, image):
            draw_text(self.layout, context, "This image is not the still", "INFO")
        super().draw(context)


def _draw_source(column: UILayout, context: Context, settings: PuppetSettings) -> None:
    if settings.still_source == still_status.IMAGE:
        column.template_ID(settings, "still_image", open="image.open")
    elif settings.still_source == still_status.CAMERA:
        column.prop(settings, "still_engine")
        row = column.row(align=True)
        row.prop(settings, "still_size")
        row.operator(MatchModelSize.bl_idname, text="", icon="FULLSCREEN_EXIT")
        engine = context.scene.render.engine
        if settings.still_engine == "CYCLES" or (settings.still_engine == "SCENE" and engine == "CYCLES"):
            column.prop(settings, "still_samples")


def _summary(record: PuppetStill) -> str:
    seen = record.image_name or f"{record.camera_name}, {record.frame}"
    return f"{record.width} x {record.height} px ({seen})"


def _draw_drag(layout: UILayout, context: Context, drag: handles.PuppetDrag) -> None:
    column = split_column(layout)
    column.prop(drag, "ease")
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
    if drag.anchor_state == "STUCK":
        layout.label(text=drag.anchor_name, icon="SNAP_ON", translate=False)
    elif drag.anchor_state != "NONE":
        what = handles.PuppetDrag.bl_rna.properties["anchor_state"].enum_items[drag.anchor_state].description
        draw_text(layout, context, f"{drag.anchor_name}: {what}", "UNLINKED")
    if drag.hidden:
        draw_text(layout, context, "Something lay before this point in the still", "GHOST_ENABLED")


def _fault(drag: handles.PuppetDrag) -> str:
    """What is wrong with a stored drag; empty if nothing is."""
    try:
        handles.to_drag(drag)
    except InputError as error:
        return str(error)
    return ""


_CLASSES = (DragList, DragsMenu, StillPanel, DragsPanel, FromAnimationPanel, ImageStillPanel, ImageDragsPanel)
register, unregister = bpy.utils.register_classes_factory(_CLASSES)

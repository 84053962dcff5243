# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of whole drags as operators: what the tool, the panels and scripts call. None needs a window.

Positions are in parts of the still's width and height, from its top left corner. Each is one undo step.
"""

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatVectorProperty, IntProperty, StringProperty
from bpy.types import Context, Operator

from ..backend.errors import InputError
from ..backend.protocol import Drag, DragPoint
from . import anchors, handle_edits, handles
from .handle_edit_operator import DragsEdit, HandleEdit, OneDragEdit, position_property

NEW_NAME = "Drag"


class AddDrag(HandleEdit, Operator):
    """Ask a point of the still to move"""

    bl_idname = "puppet_master.add_drag"
    bl_label = "Add Drag"
    needs_drags = False

    name: StringProperty(name="Name", description="What this drag moves", default=NEW_NAME)
    start: position_property("Start", "The point to move", (0.5, 0.5))
    end: position_property(
        "End", "Where the point is at the end of the preview; the same place as Start pins it", (0.6, 0.5)
    )
    ease: EnumProperty(name="Ease", description="How the drag moves between its points", items=handles.EASE_ITEMS)
    stick: BoolProperty(
        name="Stick to Surface", description="The start follows the surface that is seen there", default=False
    )

    def edit(self, context: Context) -> None:
        """Add the drag; it alone is selected, by its end."""
        drag = Drag(self.name, (DragPoint(0.0, *self.start), DragPoint(1.0, *self.end)), self.ease)
        item = handles.add_drag(context.scene, drag)
        settings = context.scene.puppet_master
        if self.stick:
            anchors.stick(context.scene, item)
            if self.name == NEW_NAME and item.anchor is not None:
                item.name = handles.free_name(item.anchor.name, {other.name for other in settings.drags})
        points = [(settings.active_drag, 1)]
        handle_edits.select(settings, handle_edits.with_pins(settings, points))


class AddPin(HandleEdit, Operator):
    """Ask a point of the still to stay where it is"""

    bl_idname = "puppet_master.add_pin"
    bl_label = "Add Pin"
    needs_drags = False

    name: StringProperty(name="Name", description="What this pin holds", default="Pin")
    position: position_property("Position", "The point to hold", (0.5, 0.5))
    stick: BoolProperty(
        name="Stick to Surface", description="The pin follows the surface that is seen there", default=False
    )

    def edit(self, context: Context) -> None:
        """Add the pin; it alone is selected."""
        place = tuple(self.position)
        item = handles.add_drag(context.scene, Drag(self.name, (DragPoint(0.0, *place), DragPoint(1.0, *place))))
        if self.stick:
            anchors.stick(context.scene, item)
        settings = context.scene.puppet_master
        handle_edits.select(settings, handle_edits.all_points(settings, [settings.active_drag]))


class RemoveDrag(HandleEdit, Operator):
    """Remove a drag from the scene"""

    bl_idname = "puppet_master.remove_drag"
    bl_label = "Remove Drag"

    index: IntProperty(
        name="Index", description="Place of the drag in the list; -1 is the active one", default=-1, min=-1
    )

    def edit(self, context: Context) -> None:
        """Remove it."""
        index = context.scene.puppet_master.active_drag if self.index < 0 else self.index
        handles.remove_drag(context.scene, index)


class DuplicateDrags(DragsEdit, Operator):
    """Copy drags; the copies are selected"""

    bl_idname = "puppet_master.duplicate_drags"
    bl_label = "Duplicate Drags"

    offset: FloatVectorProperty(
        name="Offset", description="How far the copies are moved, in parts of the still", size=2, step=1, precision=4,
        default=(0.03, 0.03),
    )  # fmt: skip

    def edit(self, context: Context) -> None:
        """Copy them."""
        handle_edits.duplicate(context.scene, self.indices(context), *self.offset)


class MirrorDrags(DragsEdit, Operator):
    """Mirror drags in the image, as copies or in place"""

    bl_idname = "puppet_master.mirror_drags"
    bl_label = "Mirror Drags"

    axis: EnumProperty(
        name="Axis",
        description="Which way to mirror",
        items=(("X", "Left and Right", "Swap left and right"), ("Y", "Up and Down", "Swap up and down")),
    )
    about: EnumProperty(
        name="About",
        description="What stays in place",
        items=(
            ("STILL", "Still", "The middle of the still"),
            ("OBJECT", "Object", "The middle of the object that the drag's start sticks to"),
        ),
    )
    copy: BoolProperty(name="Copy", description="Keep the drags that are mirrored", default=True)

    def edit(self, context: Context) -> None:
        """Mirror them."""
        handle_edits.mirror(context.scene, self.indices(context), self.axis, self.about, self.copy)


class EnableDrags(DragsEdit, Operator):
    """Say whether previews follow drags"""

    bl_idname = "puppet_master.enable_drags"
    bl_label = "Enable Drags"

    action: EnumProperty(
        name="Action",
        description="What happens to the drags",
        items=(
            ("TOGGLE", "Toggle", "Disable the enabled ones, enable the others"),
            ("ENABLE", "Enable", "Previews follow them"),
            ("DISABLE", "Disable", "Previews ignore them"),
        ),
    )

    def edit(self, context: Context) -> None:
        """Enable or disable them."""
        for index in self.indices(context):
            item = context.scene.puppet_master.drags[index]
            item.enabled = not item.enabled if self.action == "TOGGLE" else self.action == "ENABLE"


class SetEase(DragsEdit, Operator):
    """Say how drags move between their points"""

    bl_idname = "puppet_master.set_ease"
    bl_label = "Set Ease"

    ease: EnumProperty(
        name="Ease",
        description="How the drags move between their points",
        items=(*handles.EASE_ITEMS, ("toggle", "Toggle", "The other of the two, for each")),
        default="toggle",
    )

    def edit(self, context: Context) -> None:
        """Set it."""
        for index in self.indices(context):
            item = context.scene.puppet_master.drags[index]
            other = "smooth" if item.ease == "linear" else "linear"
            item.ease = other if self.ease == "toggle" else self.ease


class RenameDrag(OneDragEdit, Operator):
    """Give a drag another name; a name that is taken gets a number"""

    bl_idname = "puppet_master.rename_drag"
    bl_label = "Rename Drag"

    name: StringProperty(name="Name", description="What the drag moves", default="Drag")

    def edit(self, context: Context) -> None:
        """Rename it."""
        settings = context.scene.puppet_master
        index = self.index(context)
        if not self.name.strip():
            raise InputError("a drag's name must not be empty")
        taken = {item.name for place, item in enumerate(settings.drags) if place != index}
        settings.drags[index].name = handles.free_name(self.name, taken)


class StickStart(DragsEdit, Operator):
    """Stick the start of drags to the surface that is seen there, or let it lie on the image"""

    bl_idname = "puppet_master.stick_start"
    bl_label = "Stick Start to Surface"

    release: BoolProperty(name="Release", description="Let the start lie on the image where it is")

    def edit(self, context: Context) -> None:
        """Stick or release it."""
        settings = context.scene.puppet_master
        missed = []
        for index in self.indices(context):
            if self.release:
                anchors.release(settings.drags[index])
            elif not anchors.stick(context.scene, settings.drags[index]):
                missed.append(settings.drags[index].name)
        if missed:
            self.report({"WARNING"}, f"No surface of this scene is seen at the start of {', '.join(missed)}")


_CLASSES = (
    AddDrag, AddPin, RemoveDrag, DuplicateDrags, MirrorDrags, EnableDrags, SetEase, RenameDrag, StickStart,
)  # fmt: skip
register, unregister = bpy.utils.register_classes_factory(_CLASSES)

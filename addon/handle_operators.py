# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of the drags as operators: what the tool, the panels and scripts call. None needs a window.

Positions are in parts of the still's width and height, from its top left corner. Each is one undo step.
"""

import itertools

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, FloatVectorProperty, IntProperty, StringProperty
from bpy.types import Context, Operator

from ..backend.errors import InputError, PuppetMasterError
from ..backend.protocol import Drag, DragPoint
from . import anchors, handle_edits, handles
from .drawing import redraw_views

POINTS_HELP = 'Points to change, as "drag:point drag:point" counted from 0; empty: the selected ones'
NEW_NAME = "Drag"
ACTIVE_HELP = "Place of the drag in the list, from 0; -1: the active one"
DRAG_HELP = "Place of the drag in the list, from 0; -1: those with a selected point, or the active one"


def _position(name: str, description: str, default: tuple[float, float]) -> object:
    return FloatVectorProperty(
        name=name, description=description, size=2, default=default, soft_min=0.0, soft_max=1.0, step=1, precision=4
    )


class HandleEdit:
    """One undo step on the scene's drags; errors are reports, which scripts get as RuntimeError."""

    bl_options = {"REGISTER", "UNDO"}
    needs_drags = True

    @classmethod
    def poll(cls, context: Context) -> bool:
        """Only in a scene of this file, and where there is something to edit."""
        scene = context.scene
        if scene.library is not None:
            cls.poll_message_set(f'Scene "{scene.name}" is linked from another file: make it local to edit its drags')
            return False
        if cls.needs_drags and not len(scene.puppet_master.drags):
            cls.poll_message_set("The scene has no drags yet")
            return False
        return True

    def execute(self, context: Context) -> set[str]:
        """Do the edit."""
        try:
            self.edit(context)
        except PuppetMasterError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        redraw_views(context)
        return {"FINISHED"}


class AddDrag(HandleEdit, Operator):
    """Ask a point of the still to move"""

    bl_idname = "puppet_master.add_drag"
    bl_label = "Add Drag"
    needs_drags = False

    name: StringProperty(name="Name", description="What this drag moves", default=NEW_NAME)
    start: _position("Start", "The point to move", (0.5, 0.5))
    end: _position(
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
    position: _position("Position", "The point to hold", (0.5, 0.5))
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


class AddPoint(HandleEdit, Operator):
    """Give a drag's path a point to pass between start and end"""

    bl_idname = "puppet_master.add_point"
    bl_label = "Add Point"

    drag: IntProperty(name="Drag", description=ACTIVE_HELP, default=-1, min=-1)
    position: _position("Position", "The place to pass", (0.5, 0.5))
    use_path: BoolProperty(
        name="On the Path", description="Place the point on the path as it is, at Time, and ignore Position"
    )
    time: FloatProperty(
        name="Time",
        description="When to pass it: 0 is the still, 1 the last frame; below 0: when the path is nearest",
        default=-1.0,
        min=-1.0,
        max=1.0,
    )

    def edit(self, context: Context) -> None:
        """Add the point; it alone is selected."""
        settings = context.scene.puppet_master
        index = settings.active_drag if self.drag < 0 else self.drag
        handle_edits.check_targets(settings, [(index, 0)])
        place, time = tuple(self.position), None if self.time < 0 else self.time
        if self.use_path:
            time = _widest_gap(settings.drags[index]) if time is None else time
            place = handles.to_drag(settings.drags[index]).resample(1001)[round(time * 1000)].tolist()
        number = handle_edits.add_point(context.scene, index, *place, time)
        handle_edits.select(settings, [(index, number)])


class MovePoints(HandleEdit, Operator):
    """Move points of drags together; starts stick to what they come to lie on"""

    bl_idname = "puppet_master.move_points"
    bl_label = "Move Points"

    offset: FloatVectorProperty(
        name="Offset", description="How far, in parts of the still; y grows downwards", size=2, step=1, precision=4
    )
    points: StringProperty(name="Points", description=POINTS_HELP)
    select: BoolProperty(name="Select", description="Select the points that were moved, and no others")

    def edit(self, context: Context) -> None:
        """Move them."""
        settings = context.scene.puppet_master
        targets = handle_edits.parse_targets(settings, self.points)
        if not self.points.strip():  # points that are named are meant as they are: a pin's end can be pulled out
            targets = handle_edits.with_pins(settings, targets)
        handle_edits.move(context.scene, targets, *self.offset)
        if self.select:
            handle_edits.select(settings, targets)


class PlacePoint(HandleEdit, Operator):
    """Put one point of a drag somewhere"""

    bl_idname = "puppet_master.place_point"
    bl_label = "Place Point"

    drag: IntProperty(name="Drag", description=ACTIVE_HELP, default=-1, min=-1)
    point: IntProperty(name="Point", description="Number of the point: 0: the start; -1: the end", default=-1, min=-1)
    position: _position("Position", "Where to put it", (0.5, 0.5))

    def edit(self, context: Context) -> None:
        """Put it there."""
        settings = context.scene.puppet_master
        index = settings.active_drag if self.drag < 0 else self.drag
        handle_edits.check_targets(settings, [(index, 0)])
        number = len(settings.drags[index].points) - 1 if self.point < 0 else self.point
        handle_edits.place(context.scene, (index, number), *self.position)


class SelectPoints(HandleEdit, Operator):
    """Change which points of the drags are selected"""

    bl_idname = "puppet_master.select_points"
    bl_label = "Select Points"

    mode: EnumProperty(
        name="Mode",
        description="What happens to the points named, or to all of them",
        items=(
            ("SET", "Set", "Select these points and no others"),
            ("ADD", "Add", "Select these points too"),
            ("REMOVE", "Remove", "Deselect these points"),
            ("TOGGLE", "Toggle", "Select these points where they are not selected, deselect them where they are"),
            ("ALL", "All", "Select every point"),
            ("NONE", "None", "Select no point"),
        ),
    )
    points: StringProperty(name="Points", description='Points, as "drag:point drag:point" counted from 0')

    def edit(self, context: Context) -> None:
        """Change the selection."""
        settings = context.scene.puppet_master
        if self.mode in ("ALL", "NONE"):
            everything = handle_edits.all_points(settings, range(len(settings.drags)))
            handle_edits.select(settings, everything if self.mode == "ALL" else [])
            return
        handle_edits.select(settings, handle_edits.parse_targets(settings, self.points), self.mode)


class DeletePoints(HandleEdit, Operator):
    """Delete the selected points: a point between alone, with a start or an end the whole drag"""

    bl_idname = "puppet_master.delete_points"
    bl_label = "Delete Handles"

    points: StringProperty(name="Points", description=POINTS_HELP)

    def edit(self, context: Context) -> None:
        """Delete them."""
        settings = context.scene.puppet_master
        handle_edits.delete(context.scene, handle_edits.parse_targets(settings, self.points))


class DuplicateDrags(HandleEdit, Operator):
    """Copy drags; the copies are selected"""

    bl_idname = "puppet_master.duplicate_drags"
    bl_label = "Duplicate Drags"

    drag: IntProperty(name="Drag", description=DRAG_HELP, default=-1, min=-1)
    offset: FloatVectorProperty(
        name="Offset", description="How far the copies are moved, in parts of the still", size=2, step=1, precision=4,
        default=(0.03, 0.03),
    )  # fmt: skip

    def edit(self, context: Context) -> None:
        """Copy them."""
        handle_edits.duplicate(context.scene, _drags(context, self.drag), *self.offset)


class MirrorDrags(HandleEdit, Operator):
    """Mirror drags in the image, as copies or in place"""

    bl_idname = "puppet_master.mirror_drags"
    bl_label = "Mirror Drags"

    drag: IntProperty(name="Drag", description=DRAG_HELP, default=-1, min=-1)
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
        handle_edits.mirror(context.scene, _drags(context, self.drag), self.axis, self.about, self.copy)


class EnableDrags(HandleEdit, Operator):
    """Say whether previews follow drags"""

    bl_idname = "puppet_master.enable_drags"
    bl_label = "Enable Drags"

    drag: IntProperty(name="Drag", description=DRAG_HELP, default=-1, min=-1)
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
        for index in _drags(context, self.drag):
            item = context.scene.puppet_master.drags[index]
            item.enabled = not item.enabled if self.action == "TOGGLE" else self.action == "ENABLE"


class SetEase(HandleEdit, Operator):
    """Say how drags move between their points"""

    bl_idname = "puppet_master.set_ease"
    bl_label = "Set Ease"

    drag: IntProperty(name="Drag", description=DRAG_HELP, default=-1, min=-1)
    ease: EnumProperty(
        name="Ease",
        description="How the drags move between their points",
        items=(*handles.EASE_ITEMS, ("toggle", "Toggle", "The other of the two, for each")),
        default="toggle",
    )

    def edit(self, context: Context) -> None:
        """Set it."""
        for index in _drags(context, self.drag):
            item = context.scene.puppet_master.drags[index]
            other = "smooth" if item.ease == "linear" else "linear"
            item.ease = other if self.ease == "toggle" else self.ease


class RenameDrag(HandleEdit, Operator):
    """Give a drag another name; a name that is taken gets a number"""

    bl_idname = "puppet_master.rename_drag"
    bl_label = "Rename Drag"

    drag: IntProperty(name="Drag", description=ACTIVE_HELP, default=-1, min=-1)
    name: StringProperty(name="Name", description="What the drag moves", default="Drag")

    def edit(self, context: Context) -> None:
        """Rename it."""
        settings = context.scene.puppet_master
        index = settings.active_drag if self.drag < 0 else self.drag
        handle_edits.check_targets(settings, [(index, 0)])
        if not self.name.strip():
            raise InputError("a drag's name must not be empty")
        taken = {item.name for place, item in enumerate(settings.drags) if place != index}
        settings.drags[index].name = handles.free_name(self.name, taken)


class StickStart(HandleEdit, Operator):
    """Stick the start of drags to the surface that is seen there, or let it lie on the image"""

    bl_idname = "puppet_master.stick_start"
    bl_label = "Stick Start to Surface"

    drag: IntProperty(name="Drag", description=DRAG_HELP, default=-1, min=-1)
    release: BoolProperty(name="Release", description="Let the start lie on the image where it is")

    def edit(self, context: Context) -> None:
        """Stick or release it."""
        settings = context.scene.puppet_master
        missed = []
        for index in _drags(context, self.drag):
            if self.release:
                anchors.release(settings.drags[index])
            elif not anchors.stick(context.scene, settings.drags[index]):
                missed.append(settings.drags[index].name)
        if missed:
            self.report({"WARNING"}, f"No surface of this scene is seen at the start of {', '.join(missed)}")


def _drags(context: Context, index: int) -> list[int]:
    settings = context.scene.puppet_master
    drags = handle_edits.chosen_drags(settings) if index < 0 else [index]
    handle_edits.check_targets(settings, [(drag, 0) for drag in drags])
    return drags


def _widest_gap(drag: bpy.types.PropertyGroup) -> float:
    """The middle of the longest time without a point."""
    times = [point.t for point in drag.points]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    longest = gaps.index(max(gaps)) if gaps else 0
    return times[longest] + gaps[longest] / 2 if gaps else 0.5


_CLASSES = (
    AddDrag, AddPin, RemoveDrag, AddPoint, MovePoints, PlacePoint, SelectPoints, DeletePoints, DuplicateDrags,
    MirrorDrags, EnableDrags, SetEase, RenameDrag, StickStart,
)  # fmt: skip
register, unregister = bpy.utils.register_classes_factory(_CLASSES)

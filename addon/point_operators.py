# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of drags' points as operators: what the tool, the panels and scripts call. None needs a window.

Positions are in parts of the still's width and height, from its top left corner. Each is one undo step.
"""

import itertools

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, FloatVectorProperty, IntProperty, StringProperty
from bpy.types import Context, Operator

from . import handle_edits, handles
from .handle_edit_operator import HandleEdit, OneDragEdit, position_property

POINTS_HELP = 'Points to change, as "drag:point drag:point" counted from 0; empty: the selected ones'


class AddPoint(OneDragEdit, Operator):
    """Give a drag's path a point to pass between start and end"""

    bl_idname = "puppet_master.add_point"
    bl_label = "Add Point"

    position: position_property("Position", "The place to pass", (0.5, 0.5))
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
        index = self.index(context)
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


class PlacePoint(OneDragEdit, Operator):
    """Put one point of a drag somewhere"""

    bl_idname = "puppet_master.place_point"
    bl_label = "Place Point"

    point: IntProperty(name="Point", description="Number of the point: 0: the start; -1: the end", default=-1, min=-1)
    position: position_property("Position", "Where to put it", (0.5, 0.5))

    def edit(self, context: Context) -> None:
        """Put it there."""
        settings = context.scene.puppet_master
        index = self.index(context)
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


def _widest_gap(drag: bpy.types.PropertyGroup) -> float:
    """The middle of the longest time without a point."""
    times = [point.t for point in drag.points]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    longest = gaps.index(max(gaps)) if gaps else 0
    return times[longest] + gaps[longest] / 2 if gaps else 0.5


_CLASSES = (AddPoint, MovePoints, PlacePoint, SelectPoints, DeletePoints)
register, unregister = bpy.utils.register_classes_factory(_CLASSES)

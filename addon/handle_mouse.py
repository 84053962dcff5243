# SPDX-License-Identifier: GPL-3.0-or-later
"""What the mouse does to handles: modal edits from a press to a release.

While the mouse is down nothing is stored: `feedback` shows the edit, and its end calls one of the operators in
the other operators, which is the undo step. So a cancelled edit leaves nothing behind.
"""

import bpy
from bpy.types import Context, Event, Operator

from . import feedback, framing, handle_edits, pace, picking
from .drawing import redraw_views
from .feedback import Place
from .framing import Framing
from .handle_edits import Target
from .translations import translated

PASSED = {"WHEELUPMOUSE", "WHEELDOWNMOUSE", "MIDDLEMOUSE", "TRACKPADPAN", "TRACKPADZOOM", "TIMER"}


class MouseEdit:
    """A modal edit of the handles from a press to a release."""

    bl_options = {"INTERNAL"}
    status = ""

    def begin(self, context: Context, event: Event) -> set[str]:
        """Take the mouse."""
        self.press = (event.mouse_region_x, event.mouse_region_y)
        self.shape = shape_of(context)
        context.workspace.status_text_set(translated(self.status))
        context.window_manager.modal_handler_add(self)
        redraw_views(context)
        return {"RUNNING_MODAL"}

    def modal(self, context: Context, event: Event) -> set[str]:
        """Follow the mouse until it is released, or the edit is cancelled."""
        with pace.measured("moving handles"):
            return self._take(context, event)

    def _take(self, context: Context, event: Event) -> set[str]:
        frame = framing.of_context(context) if context.area is not None else None
        # A script may have changed the drags meanwhile: what was pressed on may be gone.
        if frame is None or shape_of(context) != self.shape or event.type in ("ESC", "RIGHTMOUSE"):
            self.finish(context)
            return {"CANCELLED"}
        if event.type in PASSED:
            return {"PASS_THROUGH"}
        mouse = (event.mouse_region_x, event.mouse_region_y)
        if event.type == "MOUSEMOVE":
            self.follow(context, frame, mouse)
            redraw_views(context)
        elif self.is_release(event):
            self.follow(context, frame, mouse)
            self.finish(context)
            return self.store(context, frame, mouse)
        return {"RUNNING_MODAL"}

    def is_release(self, event: Event) -> bool:
        """Whether this event ends the edit."""
        return event.type == "LEFTMOUSE" and event.value == "RELEASE"

    def cancel(self, context: Context) -> None:
        """Blender ends the edit, e.g. to open another file."""
        self.finish(context)

    def finish(self, context: Context) -> None:
        """Give the status bar back and show what is stored."""
        feedback.current.clear()
        context.workspace.status_text_set(None)
        redraw_views(context)

    def run(self, operator: object, **options: object) -> set[str]:
        """Call the operator that stores the edit, as an undo step."""
        try:
            return operator("EXEC_DEFAULT", True, **options)
        except RuntimeError as error:
            self.report({"WARNING"}, " ".join(str(error).removeprefix("Error: ").split()))
            return {"CANCELLED"}

    def moved_far(self, context: Context, mouse: Place) -> bool:
        """Whether the mouse left the place it was pressed at."""
        reach = picking.DRAG_PIXELS * context.preferences.system.ui_scale
        return max(abs(mouse[0] - self.press[0]), abs(mouse[1] - self.press[1])) > reach

    def offset(self, frame: Framing, mouse: Place) -> Place:
        """How far the mouse went, in parts of the still."""
        return (mouse[0] - self.press[0]) / frame.width, (self.press[1] - mouse[1]) / frame.height

    def show_moved(self, context: Context, frame: Framing, mouse: Place, targets: list[Target]) -> None:
        """Let the overlay show targets moved with the mouse."""
        settings = context.scene.puppet_master
        dx, dy = handle_edits.clipped_offset(settings, targets, *self.offset(frame, mouse))
        for index, number in targets:
            point = settings.drags[index].points[number]
            feedback.current.moved[index, number] = (point.x + dx, point.y + dy)


class HandleMouse(MouseEdit, Operator):
    """Pull a part to make a drag, or move handles. Shift: pin, or select more. Ctrl on a path: a point between"""

    bl_idname = "puppet_master.handle_mouse"
    bl_label = "Place or Move Handles"
    status = "Release: place    Esc, Right Mouse: cancel"

    def invoke(self, context: Context, event: Event) -> set[str]:
        """Find out what was pressed."""
        frame = framing.of_context(context)
        if frame is None:
            self.report({"WARNING"}, framing.missing(context))
            return {"CANCELLED"}
        settings = context.scene.puppet_master
        if context.scene.library is not None:
            self.report({"WARNING"}, f'Scene "{context.scene.name}" is linked: make it local to edit its drags')
            return {"CANCELLED"}
        scale = context.preferences.system.ui_scale
        mouse = event.mouse_region_x, event.mouse_region_y
        self.handle, self.path = picking.under_mouse(settings, frame, *mouse, scale)
        self.targets, self.time = [], 0.0
        if self.handle is not None:
            return self._on_handle(context, event, settings)
        if self.path is not None:
            return self._on_path(context, event, settings, frame)
        place = frame.to_still(*mouse)
        if event.shift:
            return self.run(bpy.ops.puppet_master.add_pin, position=place, stick=settings.stick)
        self.kind = "ADD" if 0.0 <= place[0] <= 1.0 and 0.0 <= place[1] <= 1.0 else "BOX"
        return self.begin(context, event)

    def _on_handle(self, context: Context, event: Event, settings: object) -> set[str]:
        index, number = self.handle
        if event.shift:
            targets = handle_edits.with_pins(settings, [self.handle])
            text = handle_edits.format_targets(targets)
            return self.run(bpy.ops.puppet_master.select_points, mode="TOGGLE", points=text)
        self.kind = "MOVE"
        if event.ctrl:  # out of a pin, its end alone
            self.targets = [(index, len(settings.drags[index].points) - 1)]
        elif settings.drags[index].points[number].select:
            self.targets = handle_edits.with_pins(settings, handle_edits.selected(settings))
        else:
            self.targets = handle_edits.with_pins(settings, [self.handle])
        return self.begin(context, event)

    def _on_path(self, context: Context, event: Event, settings: object, frame: Framing) -> set[str]:
        drag = settings.drags[self.path]
        place = frame.to_still(event.mouse_region_x, event.mouse_region_y)
        if event.ctrl:
            self.kind, self.time = "INSERT", handle_edits.nearest_time(drag, *place)
        else:
            self.kind = "MOVE"
            self.targets = handle_edits.all_points(settings, [self.path])
        return self.begin(context, event)

    def follow(self, context: Context, frame: Framing, mouse: Place) -> None:
        """Show the edit as it would be stored now."""
        place = frame.to_still(*mouse)
        if self.kind == "INSERT":
            feedback.current.inserted = (self.path, self.time, place)
        elif not self.moved_far(context, mouse):
            feedback.current.clear()
        elif self.kind == "ADD":
            feedback.current.added = (frame.to_still(*self.press), place)
        elif self.kind == "MOVE":
            self.show_moved(context, frame, mouse, self.targets)
        else:
            feedback.current.box = (*self.press, *mouse)

    def store(self, context: Context, frame: Framing, mouse: Place) -> set[str]:
        """Store the edit; a click that moved nothing selects."""
        settings, ops = context.scene.puppet_master, bpy.ops.puppet_master
        if self.kind == "INSERT":
            place = frame.to_still(*mouse)
            return self.run(ops.add_point, drag=self.path, position=place, time=self.time)
        if not self.moved_far(context, mouse):
            return self._store_click(settings)
        if self.kind == "ADD":
            start, end = frame.to_still(*self.press), frame.to_still(*mouse)
            return self.run(ops.add_drag, start=start, end=end, stick=settings.stick)
        if self.kind == "MOVE":
            text = handle_edits.format_targets(self.targets)
            return self.run(ops.move_points, offset=self.offset(frame, mouse), points=text, select=True)
        return select_box(self, context, frame, (*self.press, *mouse), "SET")

    def _store_click(self, settings: object) -> set[str]:
        """Select what was clicked, or nothing; no undo step where nothing changes."""
        targets = []
        if self.handle is not None:
            targets = handle_edits.with_pins(settings, [self.handle])
        elif self.path is not None:
            targets = self.targets
        if sorted(targets) == handle_edits.selected(settings):
            return {"CANCELLED"}
        if not targets:
            return self.run(bpy.ops.puppet_master.select_points, mode="NONE")
        return self.run(bpy.ops.puppet_master.select_points, mode="SET", points=handle_edits.format_targets(targets))


class GrabHandles(MouseEdit, Operator):
    """Move the selected handles with the mouse, without a button held"""

    bl_idname = "puppet_master.grab_handles"
    bl_label = "Grab Handles"
    status = "Left Mouse, Enter: place    Esc, Right Mouse: cancel"

    def invoke(self, context: Context, event: Event) -> set[str]:
        """Take what is selected."""
        if framing.of_context(context) is None:
            return {"PASS_THROUGH"}
        settings = context.scene.puppet_master
        self.targets = handle_edits.with_pins(settings, handle_edits.selected(settings))
        if not self.targets:
            self.report({"WARNING"}, "No handle is selected")
            return {"CANCELLED"}
        return self.begin(context, event)

    def is_release(self, event: Event) -> bool:
        """A press ends it too: no button is held meanwhile."""
        return event.type in ("LEFTMOUSE", "RET", "NUMPAD_ENTER") and event.value == "PRESS"

    def follow(self, context: Context, frame: Framing, mouse: Place) -> None:
        """Show the handles moved."""
        self.show_moved(context, frame, mouse, self.targets)

    def store(self, context: Context, frame: Framing, mouse: Place) -> set[str]:
        """Store them."""
        text = handle_edits.format_targets(self.targets)
        return self.run(bpy.ops.puppet_master.move_points, offset=self.offset(frame, mouse), points=text)


class BoxSelect(MouseEdit, Operator):
    """Select the handles in a box. Shift: these too; Ctrl: all but these"""

    bl_idname = "puppet_master.box_select"
    bl_label = "Box Select Handles"
    status = "Left Mouse: pull a box    Shift: add    Ctrl: take away    Esc, Right Mouse: cancel"

    def invoke(self, context: Context, event: Event) -> set[str]:
        """Wait for the press; elsewhere than where the still is seen the key keeps its usual meaning."""
        if framing.of_context(context) is None:
            return {"PASS_THROUGH"}
        self.pulling = False
        return self.begin(context, event)

    def _take(self, context: Context, event: Event) -> set[str]:
        if event.type == "LEFTMOUSE" and event.value == "PRESS":
            self.pulling, self.press = True, (event.mouse_region_x, event.mouse_region_y)
        self.mode = "ADD" if event.shift else "REMOVE" if event.ctrl else "SET"
        return super()._take(context, event)

    def is_release(self, event: Event) -> bool:
        """Only after a press: a key began it."""
        return self.pulling and super().is_release(event)

    def follow(self, context: Context, frame: Framing, mouse: Place) -> None:
        """Show the box."""
        if self.pulling:
            feedback.current.box = (*self.press, *mouse)

    def store(self, context: Context, frame: Framing, mouse: Place) -> set[str]:
        """Select what lies in it."""
        return select_box(self, context, frame, (*self.press, *mouse), self.mode)


def select_box(
    edit: MouseEdit, context: Context, frame: Framing, box: tuple[float, float, float, float], mode: str
) -> set[str]:
    """Select the handles between two corners (x, y, x, y) of a region; SET, ADD or REMOVE."""
    settings = context.scene.puppet_master
    found = handle_edits.with_pins(settings, picking.handles_in(settings, frame, *box))
    select = bpy.ops.puppet_master.select_points
    if not found:
        return edit.run(select, mode="NONE") if mode == "SET" and handle_edits.selected(settings) else {"CANCELLED"}
    return edit.run(select, mode=mode, points=handle_edits.format_targets(found))


def shape_of(context: Context) -> tuple[int, ...]:
    """How many points each drag has."""
    return tuple(len(drag.points) for drag in context.scene.puppet_master.drags)

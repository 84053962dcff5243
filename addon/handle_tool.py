# SPDX-License-Identifier: GPL-3.0-or-later
"""The toolbar tool that places and moves handles with the mouse, and what its mouse and keys do.

While the mouse is down nothing is stored: `feedback` shows the edit, and its end calls one of the operators in
`handle_operators`, which is the undo step. So a cancelled edit leaves nothing behind.
"""

import bpy
from bpy.props import EnumProperty
from bpy.types import Context, Event, Operator, UILayout, WorkSpaceTool

from . import feedback, framing, handle_edits, pace, picking
from .drawing import redraw_views
from .feedback import Place
from .framing import Framing
from .handle_edits import Target

TOOL = "puppet_master.handles"
PASSED = {"WHEELUPMOUSE", "WHEELDOWNMOUSE", "MIDDLEMOUSE", "TRACKPADPAN", "TRACKPADZOOM", "TIMER"}


class MouseEdit:
    """A modal edit of the handles from a press to a release."""

    bl_options = {"INTERNAL"}
    status = ""

    def begin(self, context: Context, event: Event) -> set[str]:
        """Take the mouse."""
        self.press = (event.mouse_region_x, event.mouse_region_y)
        self.shape = shape_of(context)
        context.workspace.status_text_set(bpy.app.translations.pgettext_iface(self.status))
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
        self.handle = picking.handle_at(settings, frame, *mouse, scale)
        self.path = picking.path_at(settings, frame, *mouse, scale) if self.handle is None else None
        self.targets, self.time = [], 0.0
        if self.handle is not None:
            return self._on_handle(context, event, settings)
        if self.path is not None:
            return self._on_path(context, event, settings, frame)
        place = frame.to_still(*mouse)
        if event.shift:
            return self.run(bpy.ops.puppet_master.add_pin, position=place, stick=settings.stick)
        self.kind = "ADD" if 0.0 <= place[0] <= 1.0 and 0.0 <= place[1] <= 1.0 else "NONE"
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
        return {"CANCELLED"}

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


class HandleKey(Operator):
    """Edit the selected handles with the tool's keys, where the still is seen"""

    bl_idname = "puppet_master.handle_key"
    bl_label = "Edit Handles"
    bl_options = {"INTERNAL"}

    action: EnumProperty(
        name="Action",
        description="What the key does",
        items=(
            ("DELETE", "Delete", "Delete the selected handles"),
            ("ALL", "Select All", "Select every handle"),
            ("NONE", "Select None", "Select no handle"),
            ("DUPLICATE", "Duplicate", "Copy the selected drags"),
            ("MIRROR", "Mirror", "Copy the selected drags to the other side of the still"),
            ("EASE", "Ease", "Change between linear and smooth"),
            ("ENABLE", "Enable", "Enable or disable the selected drags"),
        ),
    )

    def invoke(self, context: Context, event: Event) -> set[str]:
        """Do it where the still is seen; elsewhere the key keeps its usual meaning."""
        if framing.of_context(context) is None:
            return {"PASS_THROUGH"}
        ops = bpy.ops.puppet_master
        operator, options = {
            "DELETE": (ops.delete_points, {}),
            "ALL": (ops.select_points, {"mode": "ALL"}),
            "NONE": (ops.select_points, {"mode": "NONE"}),
            "DUPLICATE": (ops.duplicate_drags, {}),
            "MIRROR": (ops.mirror_drags, {}),
            "EASE": (ops.set_ease, {}),
            "ENABLE": (ops.enable_drags, {}),
        }[self.action]
        if not operator.poll():
            return {"CANCELLED"}
        return MouseEdit.run(self, operator, **options)


class HandleHover(Operator):
    """Show which handle the mouse would take"""

    bl_idname = "puppet_master.handle_hover"
    bl_label = "Find Handle"
    bl_options = {"INTERNAL"}

    def invoke(self, context: Context, event: Event) -> set[str]:
        """Look under the mouse, and draw again if that is another one."""
        frame = framing.of_context(context)
        if frame is None:
            return {"PASS_THROUGH"}
        settings, mouse = context.scene.puppet_master, (event.mouse_region_x, event.mouse_region_y)
        scale = context.preferences.system.ui_scale
        handle = picking.handle_at(settings, frame, *mouse, scale)
        path = picking.path_at(settings, frame, *mouse, scale) if handle is None else None
        now = feedback.current
        if (handle, path) != (now.hovered, now.hovered_path):
            now.hovered, now.hovered_path = handle, path
            context.area.tag_redraw()
        return {"PASS_THROUGH"}


class UseHandleTool(Operator):
    """Look through the scene's camera, with the tool that places handles"""

    bl_idname = "puppet_master.use_handle_tool"
    bl_label = "Place Handles"

    @classmethod
    def poll(cls, context: Context) -> bool:
        """Only where the tool is."""
        area = context.area
        if area is None or area.type not in ("VIEW_3D", "IMAGE_EDITOR"):
            cls.poll_message_set("Handles are placed in a 3D viewport or an Image Editor")
            return False
        if area.type == "VIEW_3D" and context.scene.camera is None:
            cls.poll_message_set("The scene has no camera: add one and make it the scene's active camera")
            return False
        if area.type == "VIEW_3D" and context.mode not in ("OBJECT", "POSE"):
            cls.poll_message_set("Handles are placed in Object Mode or Pose Mode")
            return False
        return True

    def execute(self, context: Context) -> set[str]:
        """Choose tool and view."""
        if context.area.type == "VIEW_3D":
            space = context.space_data
            space.use_local_camera = False
            space.region_3d.view_perspective = "CAMERA"
        bpy.ops.wm.tool_set_by_id(name=TOOL)
        return {"FINISHED"}


def shape_of(context: Context) -> tuple[int, ...]:
    """How many points each drag has."""
    return tuple(len(drag.points) for drag in context.scene.puppet_master.drags)


def _key(action: str, key: str, **modifiers: bool) -> tuple[str, dict[str, object], dict[str, object]]:
    return HandleKey.bl_idname, {"type": key, "value": "PRESS", **modifiers}, {"properties": [("action", action)]}


_MOUSE = {"type": "LEFTMOUSE", "value": "PRESS"}
_KEYMAP = (
    (HandleMouse.bl_idname, _MOUSE, None),
    (HandleMouse.bl_idname, {**_MOUSE, "shift": True}, None),
    (HandleMouse.bl_idname, {**_MOUSE, "ctrl": True}, None),
    (GrabHandles.bl_idname, {"type": "G", "value": "PRESS"}, None),
    _key("DELETE", "X"),
    _key("DELETE", "DEL"),
    _key("ALL", "A"),
    _key("NONE", "A", alt=True),
    _key("DUPLICATE", "D", shift=True),
    _key("MIRROR", "M", ctrl=True),
    _key("EASE", "E"),
    _key("ENABLE", "H"),
    (HandleHover.bl_idname, {"type": "MOUSEMOVE", "value": "ANY", "any": True}, None),
)
_DESCRIPTION = (
    "Put handles on parts of the still.\n"
    "Pull a part: a drag. Shift-click: a pin. Ctrl-click on a path: a point between.\n"
    "G moves, X deletes, Shift-D duplicates, Ctrl-M mirrors, E changes the ease, H disables"
)


def _draw_settings(context: Context, layout: UILayout, tool: object) -> None:
    settings = context.scene.puppet_master
    layout.prop(settings, "stick")
    layout.prop(settings, "show_handles")


def _tool(space: str, mode: str) -> type:
    """The tool for one editor and mode: Blender wants a class for each."""
    values = {
        "bl_space_type": space,
        "bl_context_mode": mode,
        "bl_idname": TOOL,
        "bl_label": "Puppet Handles",
        "bl_description": _DESCRIPTION,
        "bl_icon": "ops.pose.push",
        "bl_cursor": "DEFAULT",
        "bl_keymap": _KEYMAP,
        "draw_settings": staticmethod(_draw_settings),
        "__doc__": "The tool that places handles.",
    }
    return type(f"PuppetHandles{mode.title()}", (WorkSpaceTool,), values)


_TOOLS = (_tool("VIEW_3D", "OBJECT"), _tool("VIEW_3D", "POSE"), _tool("IMAGE_EDITOR", "VIEW"))
_CLASSES = (HandleMouse, GrabHandles, HandleKey, HandleHover, UseHandleTool)


def register() -> None:
    """Register the operators and put the tool into the toolbars."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    for tool in _TOOLS:
        bpy.utils.register_tool(tool, separator=True)


def unregister() -> None:
    """Take the tool away again."""
    for tool in reversed(_TOOLS):
        bpy.utils.unregister_tool(tool)
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)

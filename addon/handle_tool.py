# SPDX-License-Identifier: GPL-3.0-or-later
"""The toolbar tool that places and moves handles: its keymap, and what its keys do; the mouse is in `handle_mouse`."""

import bpy
from bpy.props import EnumProperty
from bpy.types import Context, Event, Operator, UILayout, WorkSpaceTool

from . import feedback, framing, picking
from .handle_mouse import BoxSelect, GrabHandles, HandleMouse, MouseEdit

TOOL = "puppet_master.handles"


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
        found, now = picking.under_mouse(settings, frame, *mouse, scale), feedback.current
        if found != (now.hovered, now.hovered_path):
            now.hovered, now.hovered_path = found
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


def _key(action: str, key: str, **modifiers: bool) -> tuple[str, dict[str, object], dict[str, object]]:
    return HandleKey.bl_idname, {"type": key, "value": "PRESS", **modifiers}, {"properties": [("action", action)]}


_MOUSE = {"type": "LEFTMOUSE", "value": "PRESS"}
_KEYMAP = (
    (HandleMouse.bl_idname, _MOUSE, None),
    (HandleMouse.bl_idname, {**_MOUSE, "shift": True}, None),
    (HandleMouse.bl_idname, {**_MOUSE, "ctrl": True}, None),
    (GrabHandles.bl_idname, {"type": "G", "value": "PRESS"}, None),
    (BoxSelect.bl_idname, {"type": "B", "value": "PRESS"}, None),
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
    "B selects in a box, G moves, X deletes, Shift-D duplicates, Ctrl-M mirrors, E changes the ease, H disables"
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
_CLASSES = (HandleMouse, GrabHandles, BoxSelect, HandleKey, HandleHover, UseHandleTool)
_register_classes, _unregister_classes = bpy.utils.register_classes_factory(_CLASSES)


def register() -> None:
    """Register the operators and put the tool into the toolbars."""
    _register_classes()
    for tool in _TOOLS:
        bpy.utils.register_tool(tool, separator=True)


def unregister() -> None:
    """Take the tool away again."""
    for tool in reversed(_TOOLS):
        bpy.utils.unregister_tool(tool)
    _unregister_classes()

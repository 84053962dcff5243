# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user can do with stills and drags; `preview_operators` makes previews of them.

Each operator does its work in `execute`, so scripts and `blender -b` reach all of it; an error becomes
a report there, which a script receives as RuntimeError.
"""

from pathlib import Path

import bpy
from bpy.props import EnumProperty, FloatVectorProperty, IntProperty, StringProperty
from bpy.types import Context, Operator, Scene

from ..backend.errors import InputError, PuppetMasterError
from ..backend.protocol import Drag, DragPoint
from . import backend_state, handles, preferences
from .still import Still, render_still


class MakeStill(Operator):
    """Render what the scene's camera sees now, on a transparent background"""

    bl_idname = "puppet_master.make_still"
    bl_label = "Make Still"

    def execute(self, context: Context) -> set[str]:
        """Render the still into the output folder."""
        try:
            still = make_still(context.scene)
        except PuppetMasterError as error:
            return _refuse(self, error)
        self.report({"INFO"}, f"Still of {still.width}x{still.height} pixels: {still.path}")
        return {"FINISHED"}


class AddDrag(Operator):
    """Ask a point of the still to move"""

    bl_idname = "puppet_master.add_drag"
    bl_label = "Add Drag"
    bl_options = {"REGISTER", "UNDO"}

    name: StringProperty(name="Name", description="What this drag moves", default="Drag")
    start: FloatVectorProperty(
        name="Start",
        description="The point to move, in parts of the still's width and height from its top left corner",
        size=2,
        default=(0.5, 0.5),
        soft_min=0.0,
        soft_max=1.0,
        step=1,
        precision=4,
    )
    end: FloatVectorProperty(
        name="End",
        description="Where the point is at the end of the preview; the same place as Start pins it",
        size=2,
        default=(0.6, 0.5),
        soft_min=0.0,
        soft_max=1.0,
        step=1,
        precision=4,
    )
    ease: EnumProperty(
        name="Ease", description="How the drag moves between its points", items=handles.EASE_ITEMS
    )

    def execute(self, context: Context) -> set[str]:
        """Add the drag to the scene."""
        try:
            drag = Drag(self.name, (DragPoint(0.0, *self.start), DragPoint(1.0, *self.end)), self.ease)
        except InputError as error:
            return _refuse(self, error)
        handles.add_drag(context.scene, drag)
        return {"FINISHED"}


class RemoveDrag(Operator):
    """Remove a drag from the scene"""

    bl_idname = "puppet_master.remove_drag"
    bl_label = "Remove Drag"
    bl_options = {"REGISTER", "UNDO"}

    index: IntProperty(
        name="Index", description="Place of the drag in the list; -1 is the active one", default=-1, min=-1
    )

    @classmethod
    def poll(cls, context: Context) -> bool:
        """Only where there is a drag."""
        return bool(context.scene.puppet_master.drags)

    def execute(self, context: Context) -> set[str]:
        """Remove it."""
        index = context.scene.puppet_master.active_drag if self.index < 0 else self.index
        try:
            handles.remove_drag(context.scene, index)
        except InputError as error:
            return _refuse(self, error)
        return {"FINISHED"}


def make_still(scene: Scene) -> Still:
    """Render the scene's still into the output folder and remember it in the scene.

    Raises:
        PuppetMasterError: see `still.render_still` and `preferences.output_folder`.
    """
    with backend_state.own_render():
        still = render_still(scene, preferences.output_folder() / f"{_title(scene)}-still.png")
    scene.puppet_master.still_path = str(still.path)
    return still


def _title(scene: Scene) -> str:
    """What files of this scene are called: the .blend's name, "untitled" before it has one."""
    name = Path(bpy.data.filepath).stem or "untitled"
    return bpy.path.clean_name(name if len(bpy.data.scenes) == 1 else f"{name}-{scene.name}")


def _refuse(operator: Operator, error: PuppetMasterError) -> set[str]:
    operator.report({"ERROR"}, str(error))
    return {"CANCELLED"}


_CLASSES = (MakeStill, AddDrag, RemoveDrag)


def register() -> None:
    """Register the operators."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Unregister the operators."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)

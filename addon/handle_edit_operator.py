# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operators that edit drags have in common: one undo step, errors as reports, and which drags are meant."""

from bpy.props import FloatVectorProperty, IntProperty
from bpy.types import Context

from ..backend.errors import PuppetMasterError
from . import handle_edits
from .drawing import redraw_views


def position_property(name: str, description: str, default: tuple[float, float]) -> object:
    """A place on the still, in parts of its width and height."""
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


class OneDragEdit(HandleEdit):
    """An edit of one drag."""

    drag: IntProperty(
        name="Drag", description="Place of the drag in the list, from 0; -1: the active one", default=-1, min=-1
    )

    def index(self, context: Context) -> int:
        """The drag that is meant. Raises `InputError` when there is none."""
        settings = context.scene.puppet_master
        index = settings.active_drag if self.drag < 0 else self.drag
        handle_edits.check_targets(settings, [(index, 0)])
        return index


class DragsEdit(HandleEdit):
    """An edit of one drag or several."""

    drag: IntProperty(
        name="Drag",
        description="Place of the drag in the list, from 0; -1: those with a selected point, or the active one",
        default=-1,
        min=-1,
    )

    def indices(self, context: Context) -> list[int]:
        """The drags that are meant. Raises `InputError` when there are none."""
        settings = context.scene.puppet_master
        drags = handle_edits.chosen_drags(settings) if self.drag < 0 else [self.drag]
        handle_edits.check_targets(settings, [(drag, 0) for drag in drags])
        return drags

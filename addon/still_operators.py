# SPDX-License-Identifier: GPL-3.0-or-later
"""The still as operators: make it, choose what it is made from, look at it."""

from pathlib import Path

import bpy
from bpy.props import StringProperty
from bpy.types import Context, Operator

from ..backend.errors import InputError, ModelError, PuppetMasterError
from . import models, still_status, stills
from .framing import STILL_NAME
from .handle_edit_operator import HandleEdit
from .stored_paths import stored


class StillEdit(HandleEdit):
    """One undo step on the scene's still."""

    bl_options = {"UNDO"}  # not REGISTER: changing an option would render once more
    needs_drags = False


class MakeStill(StillEdit, Operator):
    """Make the still that previews start from: render it, or copy the pixels of its source"""

    bl_idname = "puppet_master.make_still"
    bl_label = "Make Still"

    def edit(self, context: Context) -> None:
        """Make it in the output folder; it is shown where it was shown before."""
        still = stills.make_scenes_still(context.scene)
        if (image := bpy.data.images.get(STILL_NAME)) is not None:
            image.filepath = stored(still.path)
            image.reload()
        self.report({"INFO"}, f"Still of {still.width}x{still.height} pixels: {still.path}")


class MatchModelSize(StillEdit, Operator):
    """Give the still the size that the chosen model works at best"""

    bl_idname = "puppet_master.match_model_size"
    bl_label = "Match Model's Size"

    def edit(self, context: Context) -> None:
        """Set the longer side."""
        settings = context.scene.puppet_master
        known = models.look_up(settings.model, afresh=True)
        if known.info is None:
            raise ModelError(known.fault)
        settings.still_size = max(known.info.width, known.info.height)


class UseImage(StillEdit, Operator):
    """Let previews start from an image of this file: the one shown in the Image Editor, or the one named"""

    bl_idname = "puppet_master.use_image"
    bl_label = "Use Image as Still"

    image: StringProperty(name="Image", description="Name of the image; empty: the one shown in the Image Editor")

    def edit(self, context: Context) -> None:
        """Choose it and copy its pixels."""
        shown = getattr(context.space_data, "image", None)
        image = stills.image_by_name(self.image) if self.image else shown
        if image is None:
            raise InputError("no image is shown here; open one in the Image Editor, or name one")
        settings = context.scene.puppet_master
        before = settings.still_source, settings.still_image
        if image.type == "RENDER_RESULT":
            settings.still_source = still_status.RENDER_RESULT
        else:
            settings.still_source, settings.still_image = still_status.IMAGE, image
        try:
            stills.make_scenes_still(context.scene)
        except PuppetMasterError:
            settings.still_source, settings.still_image = before
            raise


class UseRenderResult(StillEdit, Operator):
    """Let previews start from the pixels of the last render"""

    bl_idname = "puppet_master.use_render_result"
    bl_label = "Use Render Result as Still"

    def edit(self, context: Context) -> None:
        """Copy its pixels."""
        settings = context.scene.puppet_master
        before = settings.still_source
        settings.still_source = still_status.RENDER_RESULT
        try:
            stills.make_scenes_still(context.scene)
        except PuppetMasterError:
            settings.still_source = before
            raise


class OpenStill(StillEdit, Operator):
    """Show the still in the Image Editor, where handles can be placed on it"""

    bl_idname = "puppet_master.open_still"
    bl_label = "Show Still"

    @classmethod
    def poll(cls, context: Context) -> bool:
        """Only in an Image Editor, once there is a still."""
        if getattr(context.space_data, "type", "") != "IMAGE_EDITOR":
            cls.poll_message_set("Stills are shown in an Image Editor")
            return False
        if not context.scene.puppet_master.still_path:
            cls.poll_message_set("There is no still yet: make one first")
            return False
        return super().poll(context)

    def edit(self, context: Context) -> None:
        """Load it and show it."""
        path = Path(bpy.path.abspath(context.scene.puppet_master.still_path))
        if not path.is_file():
            raise InputError(f"the still {path} is gone; make it again")
        image = bpy.data.images.get(STILL_NAME)
        if image is None:
            image = bpy.data.images.load(str(path))
            image.name = STILL_NAME
        image.filepath = stored(path)
        image.reload()
        context.space_data.image = image


_CLASSES = (MakeStill, MatchModelSize, UseImage, UseRenderResult, OpenStill)
register, unregister = bpy.utils.register_classes_factory(_CLASSES)

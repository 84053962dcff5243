# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be done with a preview that is made: show, compare, send on, use again, remove; `saving` writes files.

All of them work on the preview chosen in the history.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bpy
from bpy.props import BoolProperty, IntProperty
from bpy.types import Area, Context, Event, Operator

from ..backend.errors import InputError, PuppetMasterError
from . import history, playback, preferences, sequencer
from .shortcuts import Shortcuts
from .stills import title


def is_own(operator: type[Operator], context: Context) -> bool:
    """Whether the scene is one of this file; says so where it is not: a history that is linked cannot be changed."""
    if context.scene.library is None:
        return True
    operator.poll_message_set(f'Scene "{context.scene.name}" is linked from another file: make it local to use it here')
    return False


class OnPreview(Operator):
    """What operators on the chosen preview share; not registered itself."""

    @classmethod
    def poll(cls, context: Context) -> bool:
        """Only after a preview."""
        return is_own(cls, context) and bool(context.scene.puppet_master_preview.history)

    def carry_out(self, work: Callable[[], str | None]) -> set[str]:
        """Do the work, and say what it gives or why it cannot be done."""
        try:
            if message := work():
                self.report({"INFO"}, message)
        except PuppetMasterError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class LoadResult(Operator):
    """Show the preview over the view of the camera that saw its still"""

    bl_idname = "puppet_master.load_result"
    bl_label = "Show in Camera View"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        """Only after a preview."""
        settings, more = context.scene.puppet_master, context.scene.puppet_master_preview
        return is_own(cls, context) and bool(settings.result_folder or more.history)

    def execute(self, context: Context) -> set[str]:
        """Load the frames as an image sequence on the camera."""
        scene = context.scene
        try:
            show_entry(context)
        except InputError as error:
            if scene.puppet_master_preview.history or not scene.puppet_master.result_folder:
                self.report({"ERROR"}, str(error))
                return {"CANCELLED"}
            return self._load_last(context)
        return {"FINISHED"}

    def _load_last(self, context: Context) -> set[str]:
        """The last result, of a file whose history is empty."""
        settings = context.scene.puppet_master
        try:
            playback.load_result(
                context.scene, Path(bpy.path.abspath(settings.result_folder)), settings.result_frame
            )
        except PuppetMasterError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class PlayPreview(OnPreview):
    """Play the preview over and over in the timeline's preview range; when it plays, stop and lift the range"""

    bl_idname = "puppet_master.play"
    bl_label = "Play"

    def execute(self, context: Context) -> set[str]:
        """Start or stop."""
        return self.carry_out(lambda: self._play(context))

    def _play(self, context: Context) -> None:
        scene, screen = context.scene, context.screen
        if screen is not None and screen.is_animation_playing:
            scene.use_preview_range = False
            bpy.ops.screen.animation_cancel(restore_frame=False)
            return
        entry = history.active(scene)
        count = len(playback.frame_files(history.folder_of(entry)))
        scene.use_preview_range = True
        scene.frame_preview_start, scene.frame_preview_end = entry.frame, entry.frame + count - 1
        scene.frame_set(entry.frame)
        if screen is not None and not bpy.app.background:
            bpy.ops.screen.animation_play()


class ShowInImageEditor(OnPreview):
    """Show the preview in an Image Editor, where it plays with the scene"""

    bl_idname = "puppet_master.show_in_image_editor"
    bl_label = "Show in Image Editor"

    def execute(self, context: Context) -> set[str]:
        """Use this editor, or the first Image Editor of any window."""
        return self.carry_out(lambda: self._show(context))

    def _show(self, context: Context) -> None:
        entry = history.active(context.scene)
        image = show_entry_or_image(context)
        space = _image_editor(context).spaces.active
        space.image = image
        count = len(playback.frame_files(history.folder_of(entry)))
        playback.set_playback(space.image_user, count, entry.frame)


class CompareStill(OnPreview):
    """Change between the preview and the still that it started from"""

    bl_idname = "puppet_master.compare"
    bl_label = "A/B"

    def execute(self, context: Context) -> set[str]:
        """Show the other one."""
        settings = context.scene.puppet_master_preview
        settings.shown = playback.STILL if settings.shown == playback.PREVIEW else playback.PREVIEW
        return {"FINISHED"}


class SendToSequencer(OnPreview):
    """Add the preview to the scene's Sequencer, from the frame of its still on"""

    bl_idname = "puppet_master.send_to_sequencer"
    bl_label = "Send to Sequencer"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Context) -> set[str]:
        """Add an image strip."""

        def work() -> str:
            entry = history.active(context.scene)
            strip = sequencer.add_strip(context.scene, history.folder_of(entry), entry.name, entry.frame)
            return f"Strip {strip.name} in channel {strip.channel}"

        return self.carry_out(work)


class UseSettings(OnPreview):
    """Set model, seed, frames, steps, guidance and drags as they were for this preview"""

    bl_idname = "puppet_master.use_settings"
    bl_label = "Use These Settings"
    bl_options = {"REGISTER", "UNDO"}

    with_drags: BoolProperty(name="Drags", description="Replace the scene's drags by the preview's", default=True)

    def execute(self, context: Context) -> set[str]:
        """Set the scene up."""

        def work() -> str:
            made = history.use_settings(context.scene, history.active(context.scene), self.with_drags)
            return f"Settings of {made.model}, seed {made.seed}"

        return self.carry_out(work)


class RefreshHistory(Operator):
    """Look which previews are on disk: list those that were not listed, mark those that are gone"""

    bl_idname = "puppet_master.refresh_history"
    bl_label = "Refresh"

    @classmethod
    def poll(cls, context: Context) -> bool:
        """Only in a scene of this file."""
        return is_own(cls, context)

    def execute(self, context: Context) -> set[str]:
        """Look."""
        try:
            found = history.refresh(context.scene, preferences.output_folder(), title(context.scene))
        except PuppetMasterError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"{found} more preview(s) found")
        return {"FINISHED"}


class RemovePreview(OnPreview):
    """Remove this preview from the list and from the disk"""

    bl_idname = "puppet_master.remove_preview"
    bl_label = "Remove Preview"

    def invoke(self, context: Context, event: Event) -> set[str]:
        """Ask first: no undo brings files back."""
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context: Context) -> set[str]:
        """Remove it."""
        scene = context.scene
        return self.carry_out(lambda: history.remove(scene, scene.puppet_master_preview.active_entry))


class PruneHistory(OnPreview):
    """Remove the oldest previews from the disk until the others take no more than the limit; kept ones stay"""

    bl_idname = "puppet_master.prune_history"
    bl_label = "Prune"

    megabytes: IntProperty(
        name="Megabytes", description="What may stay; -1: the limit in the preferences", default=-1, min=-1
    )

    def invoke(self, context: Context, event: Event) -> set[str]:
        """Ask first: no undo brings files back."""
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context: Context) -> set[str]:
        """Remove them."""
        limit = self.megabytes if self.megabytes >= 0 else preferences.history_limit()
        return self.carry_out(lambda: f"{history.prune(context.scene, limit)} preview(s) removed")


class OpenFolder(OnPreview):
    """Open the folder of this preview in the computer's file browser"""

    bl_idname = "puppet_master.open_folder"
    bl_label = "Open Folder"

    def execute(self, context: Context) -> set[str]:
        """Open it."""

        def work() -> None:
            folder = history.folder_of(history.active(context.scene))
            playback.frame_files(folder)
            bpy.ops.wm.path_open(filepath=str(folder))

        return self.carry_out(work)


def show_entry(context: Context) -> bpy.types.Image:
    """Load the chosen preview onto the camera that saw its still. Raises `InputError` if it is gone."""
    entry = history.active(context.scene)
    folder = history.folder_of(entry)
    image = playback.load_result(context.scene, folder, entry.frame, context.scene.objects.get(entry.camera))
    context.scene.puppet_master.result_folder = str(folder)
    context.scene.puppet_master.result_frame = entry.frame
    return image


def show_entry_or_image(context: Context) -> bpy.types.Image:
    """As `show_entry`; the image alone where it cannot lie over a camera's view. Raises `InputError` if it is gone."""
    try:
        return show_entry(context)
    except InputError:
        return playback.load_image(history.folder_of(history.active(context.scene)))


def _image_editor(context: Context) -> Area:
    """This area if it is an Image Editor, else the first one. Raises `InputError` if there is none."""
    if context.area is not None and context.area.type == "IMAGE_EDITOR":
        return context.area
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "IMAGE_EDITOR":
                return area
    raise InputError("no Image Editor is open; turn an area into one, then show the preview there")


_CLASSES = (
    LoadResult, PlayPreview, ShowInImageEditor, CompareStill, SendToSequencer, UseSettings,
    RefreshHistory, RemovePreview, PruneHistory, OpenFolder,
)  # fmt: skip
_register_classes, _unregister_classes = bpy.utils.register_classes_factory(_CLASSES)
_shortcuts = Shortcuts()


def register() -> None:
    """Register the operators, and Ctrl Alt A for comparing."""
    _register_classes()
    _shortcuts.add("3D View", "VIEW_3D", CompareStill.bl_idname, "A", ctrl=True, alt=True)


def unregister() -> None:
    """Unregister them."""
    _shortcuts.remove()
    _unregister_classes()

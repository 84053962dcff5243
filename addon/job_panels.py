# SPDX-License-Identifier: GPL-3.0-or-later
"""Panels of the "Puppet" tab for previews: settings and jobs, playback, history. They draw state and change none."""

from __future__ import annotations

import bpy
from bpy.types import AnyType, Context, Panel, UILayout, UIList

from ..backend.errors import BackendError
from . import backend_state, jobs, models, outcome, saving, thumbnails
from .backend_operators import OpenLog
from .drawing import draw_text, split_column, without_log
from .panels import ImagePuppetTab, PuppetTab
from .playback_operators import (
    CompareStill,
    LoadResult,
    OpenFolder,
    PlayPreview,
    PruneHistory,
    RefreshHistory,
    RemovePreview,
    SendToSequencer,
    ShowInImageEditor,
    UseSettings,
)
from .preview_job import PreviewJob, State
from .preview_operators import CancelPreview, ClearJobs, Preview, RetryPreview
from .preview_settings import PuppetHistoryEntry
from .saving import DismissSaving, ExportPreview
from .translations import translated

PICTURE_SCALE = 5.0
SHORT = 8  # letters of a button that fits beside the backend's state
JOB_ICONS = {State.DONE: "CHECKMARK", State.FAILED: "ERROR", State.CANCELLED: "X"}


class PreviewDrawing:
    """The preview: its settings, its button and the jobs."""

    bl_label = "Preview"

    def draw(self, context: Context) -> None:
        """Draw the backend's state, the settings, the button and the jobs."""
        _draw_state(self.layout, context)
        _draw_settings(self.layout, context)
        # The button stays in its place while a preview runs: nothing jumps away under the mouse.
        button = self.layout.row()
        button.scale_y = 1.4
        button.operator(Preview.bl_idname, icon="PLAY")
        if not any(drag.enabled for drag in context.scene.puppet_master.drags):
            draw_text(self.layout, context, "No drag is enabled: nothing will be moved", "INFO")
        listed = jobs.listed()
        if listed:
            _draw_jobs(self.layout, context, listed)


class PlaybackDrawing:
    """What to do with the preview chosen in the history."""

    bl_label = "Playback"

    @classmethod
    def poll(cls, context: Context) -> bool:
        """Only after a preview."""
        return LoadResult.poll(context)

    def draw(self, context: Context) -> None:
        """Draw the choice of what is shown, and the buttons."""
        settings = context.scene.puppet_master_preview
        row = self.layout.row(align=True)
        row.prop(settings, "shown", expand=True)
        row.operator(CompareStill.bl_idname, text="", icon="ARROW_LEFTRIGHT")
        playing = context.screen.is_animation_playing
        row = self.layout.row(align=True)
        row.operator(
            PlayPreview.bl_idname, text="Stop" if playing else "Play", icon="PAUSE" if playing else "PLAY"
        )
        row.prop(settings, "show_outcome", icon="TRACKING", toggle=True)
        if settings.show_outcome:
            _draw_outcome(self.layout, context)
        column = self.layout.column(align=True)
        column.operator(LoadResult.bl_idname, icon="CAMERA_DATA")
        column.operator(ShowInImageEditor.bl_idname, icon="IMAGE_DATA")
        column.operator(SendToSequencer.bl_idname, icon="SEQ_SEQUENCER")
        column.operator(ExportPreview.bl_idname, icon="FILE_TICK")
        _draw_saving(self.layout, context)


class PreviewPanel(PreviewDrawing, PuppetTab, Panel):
    """Previews, in the viewport."""

    bl_idname = "PUPPETMASTER_PT_preview"


class PlaybackPanel(PlaybackDrawing, PuppetTab, Panel):
    """Playback, in the viewport."""

    bl_idname = "PUPPETMASTER_PT_playback"


class ImagePreviewPanel(PreviewDrawing, ImagePuppetTab, Panel):
    """Previews, in the Image Editor."""

    bl_idname = "PUPPETMASTER_PT_image_preview"


class ImagePlaybackPanel(PlaybackDrawing, ImagePuppetTab, Panel):
    """Playback, in the Image Editor."""

    bl_idname = "PUPPETMASTER_PT_image_playback"


class HistoryList(UIList):
    """The previews made of the scene."""

    bl_idname = "PUPPETMASTER_UL_history"

    def draw_item(
        self,
        context: Context,
        layout: UILayout,
        data: AnyType,
        item: PuppetHistoryEntry,
        icon: int,
        active_data: AnyType,
        active_property: str,
    ) -> None:
        """Draw one preview; one whose folder is gone carries a warning sign."""
        row = layout.row(align=True)
        row.label(text=item.name, icon="ERROR" if item.missing else "RENDER_RESULT")
        row.label(text=f"{item.size:.1f} MB")
        row.prop(item, "keep", text="", icon="PINNED" if item.keep else "UNPINNED", emboss=False)


class HistoryPanel(PuppetTab, Panel):
    """The previews made of the scene."""

    bl_idname = "PUPPETMASTER_PT_history"
    bl_label = "History"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Context) -> None:
        """Draw the list and what the chosen one was made with."""
        settings = context.scene.puppet_master_preview
        row = self.layout.row()
        row.template_list(HistoryList.bl_idname, "", settings, "history", settings, "active_entry", rows=4)
        buttons = row.column(align=True)
        buttons.operator(RefreshHistory.bl_idname, text="", icon="FILE_REFRESH")
        buttons.operator(RemovePreview.bl_idname, text="", icon="TRASH")
        buttons.operator(PruneHistory.bl_idname, text="", icon="BRUSH_DATA")
        if 0 <= settings.active_entry < len(settings.history):
            entry = settings.history[settings.active_entry]
            draw_text(self.layout, context, entry.about, "INFO")
            column = self.layout.column(align=True)
            column.operator(UseSettings.bl_idname, icon="LOOP_BACK")
            column.operator(OpenFolder.bl_idname, icon="FILE_FOLDER")


def _draw_outcome(layout: UILayout, context: Context) -> None:
    """How far each drag is off at the end, the worst first."""
    found = outcome.of_scene(context.scene)
    if not found:
        draw_text(layout, context, "This preview's model does not tell where points went", "INFO")
        return
    column = layout.column(align=True)
    for one in sorted(found, key=lambda one: -one.at_end):
        row = column.row()
        row.alert = one.at_end > outcome.BAD
        row.label(text=one.name, translate=False)
        row.label(text=f"{one.at_end:.1%} off")


def _draw_saving(layout: UILayout, context: Context) -> None:
    """How the last saving goes or went, until it is dismissed."""
    task = saving.last()
    if task is None:
        return
    box = layout.box()
    row = box.row()
    if task.over and task.error is None:
        row.label(text=task.title, icon="CHECKMARK", translate=False)
    else:
        row.alert = task.error is not None
        row.label(text=task.title, icon="ERROR" if task.over else "SORTTIME", translate=False)
    row.operator(DismissSaving.bl_idname, text="", icon="X", emboss=False)
    if task.error is not None:
        draw_text(box, context, str(task.error))


def _draw_state(layout: UILayout, context: Context) -> None:
    shown = backend_state.shown()
    row = layout.row()
    row.alert = shown.state is backend_state.State.FAILED
    row.label(text=f"{translated('Backend')}: {translated(shown.state.value)}", icon=backend_state.ICONS[shown.state])
    if shown.mend:
        button = row.row() if len(shown.mend_text) <= SHORT else layout.row()
        if len(shown.mend_text) <= SHORT:
            button.alignment = "RIGHT"  # as wide as its text: the state beside it needs the room
        button.operator(shown.mend, text=shown.mend_text)
    # Jobs that failed say why themselves.
    if shown.why and not (shown.state is backend_state.State.FAILED and jobs.listed()):
        draw_text(layout, context, without_log(shown.why))


def _draw_settings(layout: UILayout, context: Context) -> None:
    settings, more = context.scene.puppet_master, context.scene.puppet_master_preview
    known = models.known(settings.model)
    column = split_column(layout)
    column.prop(settings, "model")
    if known.fault:
        draw_text(layout, context, known.fault, "ERROR")
    chance = split_column(layout)
    chance.active = not known.is_one_pass
    chance.prop(more, "quality")
    if more.quality == models.CUSTOM:
        chance.prop(settings, "steps")
    seed = chance.row(align=True)
    seed.prop(settings, "seed")
    seed.prop(more, "seed_locked", text="", icon="LOCKED" if more.seed_locked else "UNLOCKED")
    chance.prop(more, "variations")
    if known.is_one_pass:
        draw_text(layout, context, "One pass: quality, seed, guidance and variations make no difference", "INFO")
    column = split_column(layout)
    column.prop(settings, "use_model_defaults")
    if not settings.use_model_defaults:
        column.prop(settings, "frames")
        guidance = column.column(align=True)
        guidance.active = not known.is_one_pass
        guidance.prop(settings, "guidance_first")
        guidance.prop(settings, "guidance_last")


def _draw_jobs(layout: UILayout, context: Context, listed: tuple[PreviewJob, ...]) -> None:
    head = layout.row()
    waiting = sum(not job.state.final for job in listed)
    head.label(text=f"{waiting} under way" if waiting else "Previews")
    if waiting:
        head.operator(CancelPreview.bl_idname, text="Cancel All", icon="X").serial = 0
    else:
        head.operator(ClearJobs.bl_idname, text="", icon="X", emboss=False)
    # What runs is on top: its estimate is what is looked at. Those that a reason above explains come last.
    under_way = [job for job in reversed(listed) if not job.state.final]
    over = sorted((job for job in listed if job.state.final), key=jobs.is_explained)
    for job in (*under_way, *over):
        # A single result lies over the camera's view: a second picture of it would only push the buttons down.
        _draw_job(layout.box(), context, job, pictured=len(listed) > 1 or not job.state.final)


def _draw_job(layout: UILayout, context: Context, job: PreviewJob, pictured: bool) -> None:
    head = layout.row(align=True)
    took = f" ({job.seconds:.1f} s)" if job.seconds is not None else ""
    head.label(text=f"{job.label}{took}", icon=JOB_ICONS.get(job.state, "SORTTIME"))
    if not job.state.final:
        head.operator(CancelPreview.bl_idname, text="", icon="X").serial = job.serial
        layout.progress(factor=job.progress, text=job.text())
    picture = thumbnails.icon(jobs.picture_key(job)) if pictured else 0
    if picture:
        layout.template_icon(picture, scale=PICTURE_SCALE)
    if job.error is not None:
        draw_text(layout, context, without_log(jobs.reason_of(job)))
    elif job.detail and job.state.final:
        draw_text(layout, context, job.detail, "INFO")
    if job.state in (State.FAILED, State.CANCELLED):
        _draw_retry(layout, job)


def _draw_retry(layout: UILayout, job: PreviewJob) -> None:
    buttons = layout.row(align=True)
    if isinstance(job.error, BackendError) and not jobs.is_explained(job):
        buttons.operator(OpenLog.bl_idname, icon="TEXT")
    again = buttons.operator(RetryPreview.bl_idname, icon="FILE_REFRESH")
    again.serial, again.cheaper = job.serial, False
    if job.lacked_memory:
        cheaper = buttons.operator(RetryPreview.bl_idname, text="Half the Frames", icon="FILE_REFRESH")
        cheaper.serial, cheaper.cheaper = job.serial, True


_CLASSES = (PreviewPanel, PlaybackPanel, ImagePreviewPanel, ImagePlaybackPanel, HistoryList, HistoryPanel)
register, unregister = bpy.utils.register_classes_factory(_CLASSES)

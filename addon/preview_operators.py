# SPDX-License-Identifier: GPL-3.0-or-later
"""Making previews: the button and its shortcut, cancelling, making again.

`execute`, for scripts and `blender -b`, returns when the work is done; `invoke`, for the user at the window,
returns at once and lets a timer go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, IntProperty
from bpy.types import Context, Event, Operator, Scene

from ..backend.errors import InputError, ModelError, PuppetMasterError
from ..backend.protocol import PreviewRequest
from . import backend_link, handles, history, jobs, models, pace, playback, preferences, scene_settings, stills
from .files import writable
from .preview_job import PreviewJob
from .shortcuts import Shortcuts

MIN_FRAMES = 2


class Preview(Operator):
    """Render a still and generate previews that follow the drags"""

    # Without a poll: Blender keeps a button under the mouse disabled when its poll succeeds again.
    bl_idname = "puppet_master.preview"
    bl_label = "Preview"

    def invoke(self, context: Context, event: Event) -> set[str]:
        """Start and return; a timer shows the progress and loads the result."""
        try:
            made = new_jobs(context.scene)
            with pace.measured("starting previews"):
                jobs.start(*made)
        except PuppetMasterError as error:
            return _refuse(self, error)
        return {"FINISHED"}

    def execute(self, context: Context) -> set[str]:
        """Make the previews and return when they are loaded."""
        try:
            for job in new_jobs(context.scene):
                jobs.run_blocking(job)
        except PuppetMasterError as error:
            return _refuse(self, error)
        self.report({"INFO"}, f"Preview: {context.scene.puppet_master.result_folder}")
        return {"FINISHED"}


class CancelPreview(Operator):
    """Stop a preview that is being made or waits its turn"""

    bl_idname = "puppet_master.cancel"
    bl_label = "Cancel"

    serial: IntProperty(name="Preview", description="Number of the preview; 0: all of them", default=0, min=0)

    @classmethod
    def poll(cls, context: Context) -> bool:
        """Only while one is under way."""
        return jobs.running()

    def execute(self, context: Context) -> set[str]:
        """Ask it to stop; it does so between two steps."""
        try:
            if self.serial:
                jobs.find(self.serial).cancel()
            else:
                jobs.cancel_all()
        except InputError as error:
            return _refuse(self, error)
        jobs.redraw_panels()
        return {"FINISHED"}


class RetryPreview(Operator):
    """Make a preview again, with the same still, drags and settings"""

    bl_idname = "puppet_master.retry"
    bl_label = "Retry"

    serial: IntProperty(name="Preview", description="Number of the preview; 0: the last one", default=0, min=0)
    cheaper: BoolProperty(
        name="Fewer Frames", description="Ask for half the frames, which take less memory", default=False
    )

    def invoke(self, context: Context, event: Event) -> set[str]:
        """Start it and return."""
        try:
            jobs.start(self._job())
        except PuppetMasterError as error:
            return _refuse(self, error)
        return {"FINISHED"}

    def execute(self, context: Context) -> set[str]:
        """Make it and return when it is loaded."""
        try:
            jobs.run_blocking(self._job())
        except PuppetMasterError as error:
            return _refuse(self, error)
        return {"FINISHED"}

    def _job(self) -> PreviewJob:
        old = jobs.find(self.serial) if self.serial else jobs.current()
        if old is None:
            raise InputError("there is no preview to make again")
        backend_link.forgive()  # the user asks for another try
        frames = old.request.frames or models.frames_of(old.request.model)
        return old.again(free_folder(old.folder), max(MIN_FRAMES, frames // 2) if self.cheaper else None)


class ClearJobs(Operator):
    """Take previews that are over from this list; their results stay in the history"""

    bl_idname = "puppet_master.clear_jobs"
    bl_label = "Clear List"

    def execute(self, context: Context) -> set[str]:
        """Take them away."""
        jobs.clear()
        return {"FINISHED"}


def request_of(scene: Scene, still_png: bytes) -> PreviewRequest:
    """The request for a preview of this scene's drags on a still.

    Raises:
        InputError: a drag or a setting is not valid.
    """
    settings, more = scene.puppet_master, scene.puppet_master_preview
    own = not settings.use_model_defaults
    custom = more.quality == models.CUSTOM
    return PreviewRequest(
        still_png=still_png,
        drags=handles.drags_of(scene),
        model=settings.model,
        frames=settings.frames if own else None,
        steps=settings.steps if custom else None,
        preset=models.preset_of(settings.model, more.quality),
        guidance=(settings.guidance_first, settings.guidance_last) if own else None,
        seed=settings.seed,
        background=tuple(handles.shortest(part) for part in settings.background),
    )


def new_jobs(scene: Scene, only_one: bool = False, **own: Any) -> list[PreviewJob]:
    """Jobs for previews of the scene as it is now, one for each variation; results are shown in the scene.

    Args:
        scene: what to preview.
        only_one: whatever number of variations is set.
        own: `model`, `seed`, `frames`, `steps`, `guidance` in place of the scene's.

    Raises:
        PuppetMasterError: a drag or the model is not valid, the backend is not installed, results cannot be
            written, or the still fails.
    """
    settings = scene.puppet_master
    with pace.measured("preparing previews"):
        drags = handles.drags_of(scene)  # before the still: a wrong drag must not cost a render
        known = models.look_up(own.get("model", settings.model), afresh=True)
        if known.info is None:
            raise ModelError(known.fault)
        known.info.check_drags(len(drags))
        backend = preferences.backend_settings()
        above = writable(preferences.output_folder())
    still = stills.make_scenes_still(scene)
    with pace.measured("making requests"):
        show = shower(scene, still.frame)
        png = still.path.read_bytes()
        stem, made = above / f"{stills.title(scene)}-{time.strftime('%Y%m%d-%H%M%S')}", []
        asked = request_of(scene, png)
        asked = replace(asked, **{name: value for name, value in own.items() if value is not None})
        seeds = [asked.seed] if only_one else _take_seeds(scene, known)
        for request in (replace(asked, seed=seed) for seed in seeds):
            folder = free_folder(stem, {job.folder for job in made})
            words, looks_on = _label(request, known), not bpy.app.background
            made.append(PreviewJob(request, folder, jobs.connector(backend), show, words, looks_on))
    return made


def shower(scene: Scene, frame: int) -> Callable[[PreviewJob], str]:
    """What shows a finished job's result in the scene, on the camera that saw its still; it says why if it cannot."""
    uid, camera = scene.session_uid, scene.camera.name if scene.camera is not None else ""

    def show(job: PreviewJob) -> str:
        note = ""
        # Undo or another file may have replaced every datablock since: look the scene up again.
        with pace.measured("showing a result"):
            for candidate in bpy.data.scenes:
                if candidate.session_uid == uid:
                    candidate.puppet_master.result_folder = str(job.folder)
                    candidate.puppet_master.result_frame = frame
                    history.add(candidate, job.folder, frame, camera)
                    note = show_result(candidate, job.folder, frame, camera)
            if not bpy.app.background:
                # A timer's doing is no undo step by itself: undoing what came before would take it along.
                bpy.ops.ed.undo_push(message="Preview")
        return note

    return show


def show_result(scene: Scene, folder: Path, frame: int, camera: str) -> str:
    """Show a result over the camera's view; where that cannot be, as an image, and the reason is given back."""
    try:
        playback.load_result(scene, folder, frame, scene.objects.get(camera))
    except InputError as error:  # no fault of the preview's
        playback.load_image(folder)
        return str(error)
    return ""


def _take_seeds(scene: Scene, known: models.Known) -> range:
    """The seeds of the previews asked for; unless the seed is locked, the next preview takes those after."""
    settings, more = scene.puppet_master, scene.puppet_master_preview
    count = 1 if known.is_one_pass else more.variations  # without chance, all would be the same
    first = settings.seed
    if not more.seed_locked and not known.is_one_pass:
        settings.seed = (first + count) % scene_settings.MAX_BLENDER_SEED
    return range(first, first + count)


def _label(request: PreviewRequest, known: models.Known) -> str:
    words = [Path(request.model).name]
    if not known.is_one_pass:
        words.append(f"seed {request.seed}")
    return ", ".join(words)


def free_folder(folder: Path, taken: set[Path] | None = None) -> Path:
    """The folder's name, or one beside it that nothing has."""
    candidate, number = folder, 1
    while candidate.exists() or candidate in (taken or ()) or candidate in {job.folder for job in jobs.under_way()}:
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate


def _refuse(operator: Operator, error: PuppetMasterError) -> set[str]:
    operator.report({"ERROR"}, str(error))
    return {"CANCELLED"}


_CLASSES = (Preview, CancelPreview, RetryPreview, ClearJobs)
_register_classes, _unregister_classes = bpy.utils.register_classes_factory(_CLASSES)
_shortcuts = Shortcuts()


def register() -> None:
    """Register the operators and the shortcut, Ctrl Alt P in the 3D viewport and the Image Editor."""
    _register_classes()
    for keymap, space in (("3D View", "VIEW_3D"), ("Image", "IMAGE_EDITOR")):
        _shortcuts.add(keymap, space, Preview.bl_idname, "P", ctrl=True, alt=True)


def unregister() -> None:
    """Unregister them."""
    _shortcuts.remove()
    _unregister_classes()

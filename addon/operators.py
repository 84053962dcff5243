# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user can do with previews: make, cancel and load one.

Each operator does its work in `execute`, so scripts and `blender -b` reach all of it; an error becomes
a report there, which a script receives as RuntimeError. Only `preview` has another way, for the user at
the window: `invoke` returns at once and lets a timer go on.
"""

import time
from pathlib import Path

import bpy
from bpy.types import Context, Event, Operator, Scene

from ..backend.errors import PuppetMasterError
from ..backend.protocol import PreviewRequest
from . import handles, jobs, playback, preferences, stills
from .still import Still


class Preview(Operator):
    """Render a still and generate a preview that follows the drags"""

    # Without a poll: Blender keeps a button under the mouse disabled when its poll succeeds again.
    bl_idname = "puppet_master.preview"
    bl_label = "Preview"

    def invoke(self, context: Context, event: Event) -> set[str]:
        """Start the preview and return; a timer shows its progress and loads the result."""
        try:
            jobs.start(new_job(context.scene))
        except PuppetMasterError as error:
            return _refuse(self, error)
        return {"FINISHED"}

    def execute(self, context: Context) -> set[str]:
        """Make the preview and return when it is loaded."""
        try:
            jobs.run_blocking(new_job(context.scene))
        except PuppetMasterError as error:
            return _refuse(self, error)
        self.report({"INFO"}, f"Preview: {context.scene.puppet_master.result_folder}")
        return {"FINISHED"}


class CancelPreview(Operator):
    """Stop the preview that is being made"""

    bl_idname = "puppet_master.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context: Context) -> bool:
        """Only while one is being made."""
        return jobs.running()

    def execute(self, context: Context) -> set[str]:
        """Ask the job to stop; it does so between two steps."""
        if (job := jobs.current()) is not None:
            job.cancel()
        return {"FINISHED"}


class LoadResult(Operator):
    """Show the last preview over the scene camera's view"""

    bl_idname = "puppet_master.load_result"
    bl_label = "Load Result"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        """Only after a preview."""
        return bool(context.scene.puppet_master.result_folder)

    def execute(self, context: Context) -> set[str]:
        """Load the frames as an image sequence on the camera."""
        settings = context.scene.puppet_master
        folder = Path(bpy.path.abspath(settings.result_folder))
        try:
            playback.load_result(context.scene, folder, settings.result_frame)
        except PuppetMasterError as error:
            return _refuse(self, error)
        return {"FINISHED"}


def make_still(scene: Scene) -> Still:
    """Make the scene's still in the output folder and remember it in the scene.

    Raises:
        PuppetMasterError: see `stills.make_still` and `preferences.output_folder`.
    """
    return stills.make_still(scene, preferences.output_folder() / f"{_title(scene)}-still.png")


def request_of(scene: Scene, still_png: bytes) -> PreviewRequest:
    """The request for a preview of this scene's drags on a still.

    Raises:
        InputError: a drag or a setting is not valid.
    """
    settings = scene.puppet_master
    own = not settings.use_model_defaults
    return PreviewRequest(
        still_png=still_png,
        drags=handles.drags_of(scene),
        model=settings.model,
        frames=settings.frames if own else None,
        steps=settings.steps if own else None,
        guidance=(settings.guidance_first, settings.guidance_last) if own else None,
        seed=settings.seed,
        background=tuple(handles.shortest(part) for part in settings.background),
    )


def new_job(scene: Scene) -> jobs.PreviewJob:
    """A job for a preview of the scene as it is now; its result is shown in the scene when it is done.

    Raises:
        PuppetMasterError: a preview is running, a drag is not valid, no Python is chosen for the backend,
            or the still fails.
    """
    jobs.check_idle()
    handles.drags_of(scene)  # before the still: a wrong drag must not cost a render
    python = preferences.backend_python()
    still = make_still(scene)
    uid, frame = scene.session_uid, still.frame

    def show(job: jobs.PreviewJob) -> None:
        # Undo or another file may have replaced every datablock since: look the scene up again.
        for candidate in bpy.data.scenes:
            if candidate.session_uid == uid:
                candidate.puppet_master.result_folder = str(job.folder)
                candidate.puppet_master.result_frame = frame
                playback.load_result(candidate, job.folder, frame)
        if not bpy.app.background:
            # A timer's doing is no undo step by itself: undoing what came before would take it along.
            bpy.ops.ed.undo_push(message="Preview")

    return jobs.PreviewJob(
        request_of(scene, still.path.read_bytes()),
        _free_folder(preferences.output_folder() / f"{_title(scene)}-{time.strftime('%Y%m%d-%H%M%S')}"),
        jobs.connector(python),
        show,
    )


def _title(scene: Scene) -> str:
    """What files of this scene are called: the .blend's name, "untitled" before it has one."""
    name = Path(bpy.data.filepath).stem or "untitled"
    return bpy.path.clean_name(name if len(bpy.data.scenes) == 1 else f"{name}-{scene.name}")


def _free_folder(folder: Path) -> Path:
    candidate, number = folder, 1
    while candidate.exists():
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate


def _refuse(operator: Operator, error: PuppetMasterError) -> set[str]:
    operator.report({"ERROR"}, str(error))
    return {"CANCELLED"}


_CLASSES = (Preview, CancelPreview, LoadResult)


def register() -> None:
    """Register the operators."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Unregister the operators."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)

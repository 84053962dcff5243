# SPDX-License-Identifier: GPL-3.0-or-later
"""Previews saved as files by the backend's Python, which has the encoders; the panel says how that goes."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import EnumProperty, FloatProperty, IntProperty, StringProperty
from bpy.types import Context, Event, Operator

from ..backend.errors import InputError
from . import background, history, jobs, playback, preferences
from .playback_operators import OnPreview
from .stills import title

FORMAT_ITEMS = (
    ("MP4", "mp4", "H.264 video, plays everywhere"),
    ("GIF", "GIF", "Moving picture of 256 colours a frame, repeats by itself"),
    ("PNG", "PNG Sequence", "A folder of numbered files, without loss"),
)
ENDINGS = {"MP4": ".mp4", "GIF": ".gif", "PNG": ""}

# The saving that the panel tells about: under way, or over and not dismissed.
_last: background.Task | None = None


def last() -> background.Task | None:
    """The last saving of this session; None before the first, and after it was dismissed."""
    return _last


def under_way() -> bool:
    """Whether a preview is being saved."""
    return _last is not None and not _last.over


class ExportPreview(OnPreview):
    """Save the preview as an mp4, a GIF or a PNG sequence"""

    bl_idname = "puppet_master.export"
    bl_label = "Save Preview"

    filepath: StringProperty(
        name="File", description="Where to save; its ending follows the format", subtype="FILE_PATH"
    )
    file_format: EnumProperty(name="Format", description="What to write", items=FORMAT_ITEMS)
    fps: FloatProperty(
        name="Frame Rate", description="Frames a second; 0: the scene's own", default=0.0, min=0.0, soft_max=60.0
    )
    loops: IntProperty(name="Repeat", description="How many times an mp4 plays the preview", default=1, min=1, max=100)

    def invoke(self, context: Context, event: Event) -> set[str]:
        """Ask where to."""
        if not self.filepath:
            place = Path(bpy.data.filepath).parent if bpy.data.filepath else Path.home()
            self.filepath = str(place / title(context.scene))
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def draw(self, context: Context) -> None:
        """Draw the options beside the file browser."""
        column = self.layout.column()
        column.use_property_split = True
        for name in ("file_format", "fps", "loops"):
            column.prop(self, name)

    def execute(self, context: Context) -> set[str]:
        """Let the backend's Python write it, without waiting; scripts get it done."""
        return self.carry_out(lambda: self._export(context))

    def _export(self, context: Context) -> str:
        if not self.filepath:
            raise InputError("say where to save the preview")
        folder = history.folder_of(history.active(context.scene))
        playback.frame_files(folder)
        global _last
        if under_way():
            raise InputError(f"{_last.title} is not over yet; wait for it or cancel it")
        task = export_task(folder, self.target(), self.rate(context), self.loops)
        if bpy.app.background:
            task.start()
            task.wait()
            return f"Saved {self.target()}"
        background.run(task)
        _last = task
        return task.title

    def target(self) -> Path:
        """The path with the ending of the format."""
        path = Path(bpy.path.abspath(self.filepath))
        ending = ENDINGS[self.file_format]
        if path.suffix.lower() in (".mp4", ".gif"):
            return path.with_suffix(ending)
        return path.with_name(path.name + ending)

    def rate(self, context: Context) -> float:
        """Frames a second."""
        render = context.scene.render
        return self.fps or render.fps / render.fps_base


class DismissSaving(Operator):
    """Cancel the saving that is under way, or take what is said about the last one away"""

    bl_idname = "puppet_master.dismiss_saving"
    bl_label = "Dismiss"

    @classmethod
    def poll(cls, context: Context) -> bool:
        """Only where there is something to dismiss."""
        return _last is not None

    def execute(self, context: Context) -> set[str]:
        """Cancel or dismiss."""
        global _last
        if under_way():
            _last.cancel()
        else:
            _last = None
        jobs.redraw_panels()
        return {"FINISHED"}


def export_task(folder: Path, target: Path, fps: float, loops: int) -> background.Task:
    """The program that saves a preview. Raises `RequirementError` if the backend is not installed."""
    words = ["--out", str(target), "--fps", f"{fps:g}", "--loops", str(loops), "--json"]
    return background.Task(f"Saving {target.name}", preferences.backend_command("export", str(folder), *words))


_CLASSES = (ExportPreview, DismissSaving)
register, _unregister_classes = bpy.utils.register_classes_factory(_CLASSES)


def unregister() -> None:
    """Unregister them; a saving under way ends with the programs that run beside Blender."""
    global _last
    _last = None
    _unregister_classes()

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user can do: render training clips, cancel that, open the report on them.

The work is done by another Blender. `execute`, for scripts and `blender -b`, returns when it is over; `invoke`, for
the user at the window, returns at once and lets a timer follow it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import bpy
from bpy.types import Context, Event, Operator, Scene

from ...backend.errors import InputError, OutputError, PuppetMasterError
from . import runs
from .settings import FILES, PROCEDURAL, arguments_of, source_arguments
from .snapshot import copy_caches, runs_scripts, save_snapshot, title, unsaved_images

# `puppet_master` under pip, `bl_ext.<repository>.puppet_master` in Blender.
ROOT_PACKAGE = __package__.rpartition(".data_gen")[0]
LEDGER = "ledger.jsonl"
REPORT = "report.html"


class RenderClips(Operator):
    """Make training clips in the background; this scene is left as it is"""

    # Without a poll: Blender keeps a button under the mouse disabled when its poll succeeds again.
    bl_idname = "puppet_master.render_clips"
    bl_label = "Render Clips"

    def invoke(self, context: Context, event: Event) -> set[str]:
        """Start and return; a timer shows the progress."""
        return _attempt(self, lambda: runs.start(new_run(context.scene)))

    def execute(self, context: Context) -> set[str]:
        """Make the clips and return when they are there."""

        def work() -> None:
            run = new_run(context.scene)
            runs.run_blocking(run)
            self.report({"INFO"}, f"{run.state.value}: {run.folder}")

        return _attempt(self, work)


class CancelClips(Operator):
    """Stop making clips; those that are finished stay, and the next run goes on from there"""

    bl_idname = "puppet_master.cancel_clips"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context: Context) -> bool:
        """Only while clips are being made."""
        return runs.running()

    def execute(self, context: Context) -> set[str]:
        """Ask the process to end."""
        if (run := runs.current()) is not None:
            run.cancel()
        return {"FINISHED"}


class OpenClipReport(Operator):
    """Show the page about the last dataset: its clips, and what was turned away and why"""

    bl_idname = "puppet_master.open_clip_report"
    bl_label = "Open Report"

    def invoke(self, context: Context, event: Event) -> set[str]:
        """Write the page in the background and open it in the browser."""
        return _attempt(self, lambda: runs.start(new_report(context.scene, show=True)))

    def execute(self, context: Context) -> set[str]:
        """Write the page and return when it is there."""

        def work() -> None:
            run = new_report(context.scene, show=False)
            runs.run_blocking(run)
            self.report({"INFO"}, f"Report: {run.folder / REPORT}")

        return _attempt(self, work)


def new_run(scene: Scene) -> runs.Run:
    """A run that makes clips as the scene's settings say. A shot is copied now: later changes do not count.

    Raises:
        PuppetMasterError: one is under way, the source is not there, or nothing can be written.
    """
    runs.check_idle()
    settings = scene.puppet_master_clips
    folder = dataset_folder(scene)
    _make_folder(folder)
    workplace = runs.new_workplace()
    arguments, notes = ["--json", "--out", str(folder), *arguments_of(settings)], []
    snapshot = prepare = None
    if settings.source not in (FILES, PROCEDURAL):
        try:
            snapshot = save_snapshot(workplace)
        except OutputError:
            shutil.rmtree(workplace, ignore_errors=True)
            raise
        original = Path(bpy.data.filepath)
        prepare = _copying_caches(original, snapshot) if bpy.data.filepath else None
        arguments += ["--scripts"] if runs_scripts() else []
        if unsaved := unsaved_images():
            notes.append(f"images not saved are missing from the clips: {', '.join(unsaved)}; save or pack them")
    words = ["render", *source_arguments(settings, snapshot), *arguments]
    return runs.Run(words, folder, workplace, settings.views, prepare, notes=notes)


def new_report(scene: Scene, show: bool) -> runs.Run:
    """A run that writes the report on the last dataset, and shows it.

    Raises:
        InputError: a run is under way, or there is no dataset yet.
    """
    runs.check_idle()
    last = runs.current()
    known = last is not None and (last.folder / LEDGER).is_file()
    folder = last.folder if known else newest_dataset(output_folder(scene))

    def open_page(run: runs.Run) -> None:
        bpy.ops.wm.url_open(url=(run.folder / REPORT).as_uri())

    return runs.Run(["report", str(folder)], folder, runs.new_workplace(), on_done=open_page if show else None)


def output_folder(scene: Scene) -> Path:
    """The folder above the datasets."""
    chosen = scene.puppet_master_clips.out
    if not chosen:
        return _user_folder("clips")
    if chosen.startswith("//") and not bpy.data.filepath:
        raise InputError(f"the output folder {chosen} lies beside the .blend, which has no place yet; save it first")
    return Path(bpy.path.abspath(chosen))


def dataset_folder(scene: Scene) -> Path:
    """Where a run's dataset goes: a new folder for each take of a shot, one that is continued for all else.

    Raises:
        InputError: the source does not exist.
    """
    settings, above = scene.puppet_master_clips, output_folder(scene)
    if settings.source == FILES:
        path = Path(bpy.path.abspath(settings.assets))
        if not settings.assets or not path.exists():
            raise InputError(f"choose Files: {str(path)!r} is no file or folder" if settings.assets else "choose Files")
        return above / bpy.path.clean_name(path.stem)
    if settings.source == PROCEDURAL:
        return above / f"{settings.kind}-{settings.count}"
    number = 1
    while (folder := above / f"{title()}-{number:03d}").exists():
        number += 1
    return folder


def newest_dataset(above: Path) -> Path:
    """The dataset written to last among those in a folder.

    Raises:
        InputError: there is none.
    """
    ledgers = sorted(above.glob(f"*/{LEDGER}"), key=lambda path: path.stat().st_mtime)
    if not ledgers:
        raise InputError(f"there is no dataset in {above}; render clips first")
    return ledgers[-1].parent


def _copying_caches(original: Path, snapshot: Path) -> Callable[[], None]:
    return lambda: copy_caches(original, snapshot)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot create the folder {folder}: {error.strerror}") from error


def _user_folder(name: str) -> Path:
    """A folder of the user's for this extension; never one inside the installed files."""
    if ROOT_PACKAGE.startswith("bl_ext."):
        return Path(bpy.utils.extension_path_user(ROOT_PACKAGE, path=name))
    return Path(bpy.utils.user_resource("DATAFILES", path=f"puppet_master/{name}"))


def _attempt(operator: Operator, work: Callable[[], None]) -> set[str]:
    try:
        work()
    except PuppetMasterError as error:
        operator.report({"ERROR"}, str(error))
        return {"CANCELLED"}
    return {"FINISHED"}


_CLASSES = (RenderClips, CancelClips, OpenClipReport)


def register() -> None:
    """Register the operators."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Unregister the operators."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)

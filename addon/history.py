# SPDX-License-Identifier: GPL-3.0-or-later
"""The previews made of a scene: a list stored with it, and the folders that hold the results.

Folders are stored relative to the .blend where that is possible, so that both can be moved together.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent
from bpy.types import Scene

from ..backend.errors import InputError, OutputError, PuppetMasterError
from ..backend.protocol import Drag, PreviewResult
from . import handles, models, scene_settings
from .preview_settings import PuppetHistoryEntry
from .stored_paths import stored

SETTINGS = "preview.json"
MEGABYTE = 1_000_000
WHEN = r"-\d{8}-\d{6}(-\d+)?"  # what follows the title in a result's name: day, time, and a number if that is taken
# While the file is saved: where each entry's folder is, by scene and place in the list.
_absolute: dict[tuple[str, int], Path] = {}


def add(scene: Scene, folder: Path, frame: int, camera: str = "") -> PuppetHistoryEntry:
    """Note a preview that was made; it becomes the active one."""
    settings = scene.puppet_master_preview
    entry = settings.history.add()
    entry.name, entry.frame, entry.camera = folder.name, frame, camera
    entry.folder = stored(folder)
    entry.about = about(folder)
    entry.size = size_of(folder) / MEGABYTE
    settings.active_entry = len(settings.history) - 1
    return entry


def folder_of(entry: PuppetHistoryEntry) -> Path:
    """Where an entry's result is."""
    return Path(os.path.normpath(bpy.path.abspath(entry.folder)))


def active(scene: Scene) -> PuppetHistoryEntry:
    """The entry chosen in the list. Raises `InputError` if there is none."""
    settings = scene.puppet_master_preview
    if not 0 <= settings.active_entry < len(settings.history):
        raise InputError(f'scene "{scene.name}" has no preview yet; make one first')
    return settings.history[settings.active_entry]


def about(folder: Path) -> str:
    """Model, seed and settings of a result in a few words."""
    try:
        made = read_settings(folder)
    except PuppetMasterError as error:
        return str(error)
    words = [made.model, f"{made.frames} frames"]
    if made.steps > 1:
        first, last = made.guidance
        words += [f"{made.steps} steps", f"guidance {first:g} to {last:g}", f"seed {made.seed}"]
    words.append(f"{len(made.drags)} drag{'' if len(made.drags) == 1 else 's'}")
    return ", ".join(words)


def read_settings(folder: Path) -> PreviewResult:
    """What made a preview. Raises `InputError` that names the file."""
    path = folder / SETTINGS
    try:
        return PreviewResult.from_json(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        raise InputError(f"{path} is missing; this preview's settings are not known") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read: {error}; this preview's settings are not known") from error


def use_settings(scene: Scene, entry: PuppetHistoryEntry, with_drags: bool = True) -> PreviewResult:
    """Set the scene up as it was for a preview: model, seed, frames, steps, guidance and, if asked, the drags.

    Raises:
        InputError: the preview's settings cannot be read; the scene is then as it was.
    """
    made = read_settings(folder_of(entry))
    settings = scene.puppet_master
    settings.model = made.model
    settings.seed = min(made.seed, scene_settings.MAX_BLENDER_SEED)
    settings.use_model_defaults = False
    settings.frames = made.frames
    if made.steps > 1:  # one step is a model of one pass, which knows neither: the next model might sample with it
        settings.steps = made.steps
        settings.guidance_first, settings.guidance_last = made.guidance
        scene.puppet_master_preview.quality = models.CUSTOM
    scene.puppet_master_preview.seed_locked = True
    if with_drags:
        _replace_drags(scene, made.drags)
    return made


def _replace_drags(scene: Scene, drags: tuple[Drag, ...]) -> None:
    while scene.puppet_master.drags:
        handles.remove_drag(scene, len(scene.puppet_master.drags) - 1)
    for drag in drags:
        handles.add_drag(scene, drag)


def refresh(scene: Scene, above: Path, title: str) -> int:
    """See which results are there: mark those that are gone, list those of this scene that were not listed.

    Args:
        scene: whose history it is.
        above: the output folder.
        title: what folders of this scene's previews begin with.

    Returns:
        How many were found anew.
    """
    history = scene.puppet_master_preview.history
    known = set()
    for entry in history:
        _look(entry)
        known.add(folder_of(entry))
    # Whole names alone: a shared folder may hold those of "shot-two" beside those of "shot", and they can be pruned.
    ours = re.compile(re.escape(title) + WHEN)
    made = (path.parent for path in sorted(above.glob(f"*/{SETTINGS}")))
    found = [folder for folder in made if folder not in known and ours.fullmatch(folder.name)]
    for folder in found:
        add(scene, folder, scene.puppet_master.result_frame)
    return len(found)


def remove(scene: Scene, index: int) -> None:
    """Remove a result from the disk and the list.

    Raises:
        InputError: there is no such entry.
        OutputError: the folder cannot be removed; the entry stays.
    """
    settings = scene.puppet_master_preview
    if not 0 <= index < len(settings.history):
        raise InputError(f"there is no preview {index}; the history has {len(settings.history)}")
    folder = folder_of(settings.history[index])
    if (folder / SETTINGS).is_file():  # never anything that is not a result of ours
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise OutputError(f"cannot remove {folder}: {error.strerror}") from error
    settings.history.remove(index)
    settings.active_entry = max(0, min(settings.active_entry, len(settings.history) - 1))


def prune(scene: Scene, megabytes: float) -> int:
    """Remove the oldest results until the others take no more than `megabytes`; gives how many were removed.

    Those marked to be kept stay and count. Entries whose folder is gone leave the list.

    Raises:
        OutputError: a folder cannot be removed.
    """
    history = scene.puppet_master_preview.history
    removed = 0
    for entry in history:  # a drive that was away when the list was refreshed may be back
        _look(entry)
    total = sum(entry.size for entry in history)
    for entry in [entry.name for entry in history]:
        index = history.find(entry)
        candidate = history[index]
        if candidate.keep or not (total > megabytes or candidate.missing):
            continue
        total -= candidate.size
        remove(scene, index)
        removed += 1
    return removed


def _look(entry: PuppetHistoryEntry) -> None:
    """See whether an entry's result is there, and how large it is."""
    folder = folder_of(entry)
    entry.missing = not (folder / SETTINGS).is_file()
    entry.size = 0.0 if entry.missing else size_of(folder) / MEGABYTE


def size_of(folder: Path) -> int:
    """Bytes of a result's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _entries() -> list[tuple[tuple[str, int], Any]]:
    return [
        ((scene.name, index), entry)
        for scene in bpy.data.scenes
        for index, entry in enumerate(scene.puppet_master_preview.history)
    ]


@persistent
def _before_save(path: str, *_: object) -> None:
    """What is stored must lead from where the file is going to be."""
    _absolute.clear()
    for key, entry in _entries():
        _absolute[key] = folder_of(entry)
        if path:
            entry.folder = stored(_absolute[key], path)


@persistent
def _after_save(*_: object) -> None:
    """A copy was saved elsewhere, or nothing at all: the session's paths lead from its own file."""
    for key, entry in _entries():
        if key in _absolute:
            entry.folder = stored(_absolute[key])
    _absolute.clear()


def register() -> None:
    """Keep stored folders right when the file is saved in another place."""
    bpy.app.handlers.save_pre.append(_before_save)
    for handlers in (bpy.app.handlers.save_post, bpy.app.handlers.save_post_fail):
        handlers.append(_after_save)


def unregister() -> None:
    """Stop doing so."""
    pairs = (
        (bpy.app.handlers.save_pre, _before_save),
        (bpy.app.handlers.save_post, _after_save),
        (bpy.app.handlers.save_post_fail, _after_save),
    )
    for handlers, handler in pairs:
        if handler in handlers:
            handlers.remove(handler)
    _absolute.clear()

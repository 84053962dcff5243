# SPDX-License-Identifier: GPL-3.0-or-later
"""The session as it stands, unsaved edits included, as a .blend for another Blender to work on.

Blender's own "save a copy" writes it, on the main thread. Nothing of the session changes: not its file, not what
the title bar says of unsaved changes, no undo step, no scene.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bpy
from bpy.app import handlers

from ...backend.errors import OutputError


def save_snapshot(folder: Path) -> Path:
    """Write the open file, with the current window's scene as its scene, into `folder`; gives the .blend.

    Paths relative to the open file are turned so that they lead to the same files.

    Raises:
        OutputError: it cannot be written.
    """
    path = folder / f"{title()}.blend"
    with _no_handlers(), _no_thumbnail():
        try:
            bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True, compress=False, relative_remap=True)
        except RuntimeError as error:
            reason = " ".join(str(error).removeprefix("Error: ").split())
            raise OutputError(f"cannot write a copy of the scene to {path}: {reason}") from error
    return path


def copy_caches(original: Path, snapshot: Path) -> None:
    """Bring simulations baked to disk, which lie in a folder named after the .blend, to the snapshot.

    Copied, not linked: the other Blender may write to them. No bpy here: they may be large, so a thread does it.

    Raises:
        OutputError: they cannot be copied.
    """
    caches = original.with_name(f"blendcache_{original.stem}")
    if not caches.is_dir():
        return
    try:
        shutil.copytree(caches, snapshot.with_name(f"blendcache_{snapshot.stem}"))
    except OSError as error:
        raise OutputError(f"cannot copy the simulations in {caches}: {error.strerror or error}") from error


def title() -> str:
    """What files of the open scene are called: the .blend's name, "untitled" before it has one."""
    name = Path(bpy.data.filepath).stem or "untitled"
    return bpy.path.clean_name(name if len(bpy.data.scenes) == 1 else f"{name}-{bpy.context.scene.name}")


def unsaved_images() -> list[str]:
    """Names of painted images that only this session holds: a copy of the file goes without their changes."""
    return [image.name for image in bpy.data.images if image.is_dirty and image.source in ("FILE", "GENERATED")]


def runs_scripts() -> bool:
    """Whether the scripts and drivers stored in the open file were allowed to run."""
    return not bpy.app.autoexec_fail


@contextmanager
def _no_handlers() -> Iterator[None]:
    """What others do at a save (publish it, count versions, tidy up) is not meant for this copy."""
    lists = (handlers.save_pre, handlers.save_post, handlers.save_post_fail)
    before = [list(functions) for functions in lists]
    try:
        for functions in lists:
            functions.clear()
        yield
    finally:
        for functions, kept in zip(lists, before, strict=True):
            functions[:] = kept


@contextmanager
def _no_thumbnail() -> Iterator[None]:
    """Without its thumbnail, for which Blender draws the window anew, the file is written 50 times faster."""
    preferences = bpy.context.preferences
    kind, unsaved = preferences.filepaths.file_preview_type, preferences.is_dirty
    try:
        preferences.filepaths.file_preview_type = "NONE"
        yield
    finally:
        preferences.filepaths.file_preview_type = kind
        preferences.is_dirty = unsaved

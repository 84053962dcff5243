# SPDX-License-Identifier: GPL-3.0-or-later
"""What a worker does for one still of a batch, inside Blender: the scene's still and drags into two files.

Run by `backend/workers/worker.py`. A file stays open from one still to the next of the same file: a shot that takes
minutes to open is opened once, not once for each camera and frame.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
from bpy.types import Object, Scene

from ..backend.errors import InputError, OutputError, PuppetMasterError
from ..backend.protocol import drags_to_json
from . import anchors, handles, scene_settings
from .files import make_folder, whole
from .render_still import open_scene
from .stills import make_windowless

if not hasattr(Scene, "puppet_master"):  # else the extension is enabled in this Blender
    scene_settings.register()


@dataclass(frozen=True)
class _Opened:
    """The file that is open, and how it was."""

    path: str
    changed_ns: int
    camera: Object | None
    frame: int


_opened: _Opened | None = None


def work(task: dict[str, Any], emit: Callable[[dict[str, Any]], None]) -> None:
    """Make one still: `FOLDER/NAME.png`, and then `FOLDER/NAME.json` with its drags, or with why there is none.

    Args:
        task: `name`, `folder`, `scene` (a .blend), `camera` (a name; the scene's own if empty), `frame` (the one that
            was saved if None), `size` (width and height in pixels; as set in the scene if None).
        emit: told of each stage as it begins.

    Raises:
        OutputError: the files cannot be written.
    """
    folder = Path(task["folder"])
    make_folder(folder)
    try:
        said = _make(task, folder / f"{task['name']}.png", emit)
    except OutputError:
        raise
    except PuppetMasterError as error:
        said = {"error": {"kind": error.kind, "message": str(error)}}
    with whole(folder / f"{task['name']}.json") as part:
        part.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def _make(task: dict[str, Any], path: Path, emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    emit({"event": "stage", "stage": "open"})
    opened = _open(task["scene"])
    scene = bpy.context.scene
    scene.frame_set(opened.frame if task.get("frame") is None else task["frame"])
    scene.camera = _camera(scene, task["camera"]) if task.get("camera") else opened.camera
    anchors.refresh(scene)
    drags = handles.drags_of(scene)  # before the still: a wrong drag must not cost a render
    emit({"event": "stage", "stage": "render"})
    still = make_windowless(scene, path, tuple(task["size"]) if task.get("size") else None)
    return {
        "drags": drags_to_json(drags), "width": still.width, "height": still.height, "frame": still.frame,
        "camera": scene.camera.name if scene.camera else "", "engine": still.engine,
    }  # fmt: skip


def _open(path: str) -> _Opened:
    global _opened
    try:
        changed = Path(path).stat().st_mtime_ns
    except OSError as error:
        raise InputError(f"cannot read the scene {path}: {error.strerror}") from error
    if _opened is None or (_opened.path, _opened.changed_ns) != (path, changed):
        _opened = None
        open_scene(Path(path))
        scene = bpy.context.scene
        _opened = _Opened(path, changed, scene.camera, scene.frame_current)
    return _opened


def _camera(scene: Scene, name: str) -> Object:
    cameras = {found.name: found for found in scene.objects if found.type == "CAMERA"}
    if name not in cameras:
        there = f"its cameras are {', '.join(sorted(cameras))}" if cameras else "it has none"
        raise InputError(f'scene "{scene.name}" has no camera "{name}"; {there}')
    return cameras[name]

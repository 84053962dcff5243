# SPDX-License-Identifier: GPL-3.0-or-later
"""A maker without Blender, for tests of the engine: an asset is a JSON file that says how it behaves.

    {"animations": 2, "views": 2, "bytes": 3000, "seconds": 0.1, "does": ""}

`does`: "" makes clips, "crash" ends the process by a signal, "crash once" only where no earlier try left its
mark, "raise" raises, "hang" stops answering, "eat" takes memory, "chatter" fills the log, "leave" leaves a
temporary folder, "damaged" is turned away, "show card" says which graphics card it was given.
Procedural units are small assets that follow from their seed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from puppet_master.data_gen.ledger import animation_line, asset_line, turned_away
from puppet_master.data_gen.packing import PartWriter, commit
from puppet_master.data_gen.reasons import Damaged

DEFAULTS = {"animations": 2, "views": 2, "bytes": 3000, "seconds": 0.02, "does": ""}


def work(task: dict[str, Any], emit) -> None:
    commit(Path(task["out"]), task["key"], make_unit(task, emit), {})


def make_unit(task: dict[str, Any], emit) -> list[dict[str, Any]]:
    toy = {**DEFAULTS, **(json.loads(Path(task["path"]).read_text()) if task["path"] else {})}
    emit({"event": "stage", "stage": "import"})
    part = PartWriter(Path(task["out"]), task["key"])
    try:
        behave(toy["does"], task)
    except Damaged as damaged:
        return [asset_line(task["key"], task["source"], "damaged", **turned_away(damaged))]
    lines = [animate(task, toy, index, part, emit) for index in range(toy["animations"])]
    known = {name: task["licence"].get(name) for name in ("licence", "author")}
    if toy["does"] == "show card":
        known["detail"] = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
    return [*lines, asset_line(task["key"], task["source"], "done", **known)]


def animate(task, toy, index, part, emit) -> dict[str, Any]:
    """The last of three or more animations is turned away, with a strip."""
    key, clips = task["key"], []
    name = f"{key}_a{index:03d}"
    if index >= 2:
        part.add_rejected(name, {"meta.json": b"{}"})
        line = {"reason": "static", "detail": "nothing moves"}
        return animation_line(key, task["source"], f"move {index}", index, "rejected", **line)
    for view in range(toy["views"]):
        emit({"event": "stage", "stage": "render", "animation": index, "view": view})
        time.sleep(toy["seconds"])
        rng = np.random.default_rng((task["seed"], index, view))
        size = toy["bytes"] * (view + 1)
        members = {"frames.png": rng.bytes(size), "meta.json": json.dumps({"key": key, "index": index}).encode()}
        part.add_clip(f"{name}_v{view:02d}", members)
        clips.append(f"{name}_v{view:02d}")
    return animation_line(key, task["source"], f"move {index}", index, "accepted", clips=clips, features={"speed": 1.0})


def behave(does: str, task: dict[str, Any]) -> None:
    mark = Path(f"{task['path']}.tried")
    if does == "crash" or (does == "crash once" and not mark.exists()):
        mark.touch()
        os.write(1, b"Blender is about to fall over\n")
        Path(tempfile.gettempdir(), "scene.crash.txt").write_text("# Backtrace\nin drw_fall")
        os.kill(os.getpid(), signal.SIGSEGV)
    elif does == "raise":
        raise ZeroDivisionError("no frames a second")
    elif does == "hang":
        Path(f"{task['path']}.pid").write_text(str(os.getpid()))
        time.sleep(600)
    elif does == "eat":
        kept = np.ones(60_000_000)
        time.sleep(600)
        print(kept.sum())
    elif does == "leave":
        Path(tempfile.mkdtemp(), "frame.exr").touch()
    elif does == "chatter":
        print("x" * 10_000, file=sys.stderr)
    elif does == "damaged":
        raise Damaged("truncated", "the file ends early")

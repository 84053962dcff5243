# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in Blender's place: a "scene" is a text file that says how its still looks and what it does."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
from PIL import Image

MAGIC = "BLENDER toy\n"


def write_scene(path: Path, **says) -> Path:
    """A toy scene: `grey` of the still, or `noise`; `does`: "", "no camera", "crash"; `drag`: its only drag."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(MAGIC + json.dumps(says))
    return path


def work(task, emit) -> None:
    says = json.loads(Path(task["scene"]).read_text().removeprefix(MAGIC))
    if says.get("does") == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    target = Path(task["folder"]) / task["name"]
    width, height = task["size"] or (24, 16)
    if says.get("does") == "no camera":
        said = {"error": {"kind": "input", "message": 'scene "Scene" has no camera'}}
    else:
        pixels = np.full((height, width, 3), says.get("grey", 90), np.uint8)
        pixels[:, : width // 3] = 200
        if says.get("noise"):
            pixels = np.random.default_rng(0).integers(0, 256, pixels.shape, np.uint8)
        Image.fromarray(pixels).save(target.with_suffix(".png"))
        points = [{"t": 0.0, "x": 0.2, "y": 0.5}, {"t": 1.0, "x": 0.6, "y": 0.5}]
        drags = {"version": 1, "drags": [{"name": says.get("drag", "part"), "points": points}]}
        said = {"drags": drags, "width": width, "height": height, "frame": task["frame"] or 1}
    target.with_suffix(".json").write_text(json.dumps(said))

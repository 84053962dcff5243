# SPDX-License-Identifier: GPL-3.0-or-later
"""What a worker does for one unit: make the clip in its Blender and write the file."""

from __future__ import annotations

import bpy

from .batch import Job, Unit
from .clips import write_clip
from .procedural import make_clip

bpy.ops.wm.read_factory_settings(use_empty=True)


def make(unit: Unit, job: Job) -> None:
    """Make and write one clip. Raises what making and writing raise."""
    write_clip(make_clip(unit.kind, unit.seed, job.frames, job.settings), unit.path)

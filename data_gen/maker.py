# SPDX-License-Identifier: GPL-3.0-or-later
"""What a worker does for one unit: make the clip in its Blender and write the file."""

from __future__ import annotations

import bpy

from .batch import Job, Unit
from .clips import write_clip
from .importer import make_asset_clip
from .procedural import make_procedural_clip

bpy.ops.wm.read_factory_settings(use_empty=True)


def make(unit: Unit, job: Job) -> None:
    """Make and write one clip. Raises what making and writing raise."""
    if unit.source is None:
        clip = make_procedural_clip(unit.kind, unit.seed, job.frames, job.settings)
    else:
        clip = make_asset_clip(unit.source, job.animation, unit.seed, job.frames, job.settings)
    write_clip(clip, unit.path)

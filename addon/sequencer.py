# SPDX-License-Identifier: GPL-3.0-or-later
"""A preview as an image strip in the scene's Sequencer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bpy.types import Scene

from .compat import strips_of
from .playback import frame_files
from .stored_paths import stored


def add_strip(scene: Scene, folder: Path, name: str, first_frame: int) -> Any:
    """Add the preview in `folder` to a channel that is free there; gives the strip.

    Raises:
        InputError: the folder holds no preview.
    """
    frames = frame_files(folder)
    strips = strips_of(scene.sequence_editor or scene.sequence_editor_create())
    channel = _free_channel(strips, first_frame, first_frame + len(frames))
    strip = strips.new_image(
        name=name, filepath=stored(frames[0]), channel=channel, frame_start=first_frame, fit_method="FIT"
    )
    for frame in frames[1:]:
        strip.elements.append(frame.name)
    strip.frame_final_duration = len(frames)  # a strip of one image is as long as the user likes
    return strip


def _free_channel(strips: Any, start: int, end: int) -> int:
    taken = {
        strip.channel for strip in strips if strip.frame_final_start < end and strip.frame_final_end > start
    }
    return min(set(range(1, len(taken) + 2)) - taken)

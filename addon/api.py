# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python interface: make a still, add drags, make a preview, wait for it, have its frames.

    from bl_ext.user_default.puppet_master import api      # or: from puppet_master import api

    api.add_drag("drawer", (0.33, 0.46), (0.25, 0.50))
    preview = api.preview(frames=14)
    preview.wait()
    print(preview.folder, preview.frames().shape)

Positions are parts of the still's width and height from its top left corner. Errors are those of
`backend.errors`, each with a message that names the thing, the value and the fix. To be called on Blender's main
thread, as all of bpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.types import Scene
from numpy.typing import NDArray

from ..backend.errors import InputError
from ..backend.protocol import Drag, DragPoint
from . import handles, jobs, playback, preview_operators, stills
from .preview_job import PreviewJob, State
from .still import Still

SETTINGS = ("model", "seed", "frames", "steps", "guidance")


class Preview:
    """A preview that is being made, or is made.

    Attributes:
        folder: where `frames/`, `preview.mp4` and `preview.json` go.
    """

    def __init__(self, job: PreviewJob) -> None:
        self._job = job
        self.folder: Path = job.folder

    @property
    def state(self) -> str:
        """Such as "Generating: step 3 of 25"; see `done`."""
        self._job.pump()
        return self._job.text()

    @property
    def done(self) -> bool:
        """Whether the frames are there."""
        self._job.pump()
        return self._job.state is State.DONE

    @property
    def progress(self) -> float:
        """0 to 1."""
        self._job.pump()
        return self._job.progress

    def wait(self, timeout: float | None = None) -> Preview:
        """Return when the frames are there, and shown in the scene.

        Args:
            timeout: seconds; None waits as long as it takes.

        Raises:
            PuppetMasterError: what made it fail; `Cancelled` if it was cancelled.
            TimeoutError: it took longer; it goes on.
        """
        jobs.run_blocking(self._job, timeout)
        return self

    def cancel(self) -> None:
        """Ask it to stop; `wait` then raises `Cancelled`."""
        self._job.cancel()

    def frames(self) -> NDArray[np.uint8]:
        """The frames, the still first: uint8 `[N, H, W, 3]`, rows from the top. Waits for them."""
        self.wait()
        return np.stack([_pixels(path) for path in playback.frame_files(self.folder)])


def make_still(scene: Scene | None = None) -> Still:
    """Render the still that a preview of the scene starts from; gives its `path`, `width`, `height`, `frame`."""
    return stills.make_scenes_still(_scene(scene))


def add_drag(
    name: str,
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    via: Sequence[tuple[float, float, float]] = (),
    ease: str = "linear",
    scene: Scene | None = None,
) -> Drag:
    """Ask a point of the still to move from `start` to `end`; equal places pin it.

    Args:
        name: what moves; an equal name gets a number.
        start: (x, y), inside the still.
        end: (x, y) at the end of the clip; may lie outside.
        via: places between, (t, x, y) with t from 0 to 1 in the order of time.
        ease: "linear" (constant speed) or "smooth" (starts and ends at rest).
        scene: the current one if not given.

    Raises:
        InputError: a value is not valid; names it.
    """
    points = (DragPoint(0.0, *start), *(DragPoint(*point) for point in via), DragPoint(1.0, *end))
    return handles.to_drag(handles.add_drag(_scene(scene), Drag(name, points, ease)))


def clear_drags(scene: Scene | None = None) -> None:
    """Remove all drags of a scene."""
    scene = _scene(scene)
    while scene.puppet_master.drags:
        handles.remove_drag(scene, len(scene.puppet_master.drags) - 1)


def preview(scene: Scene | None = None, **settings: Any) -> Preview:
    """Render the still and begin a preview of the scene's drags; returns at once.

    Args:
        scene: the current one if not given.
        settings: `model`, `seed`, `frames`, `steps`, `guidance` (a pair) for this preview alone; the scene's
            own settings otherwise.

    Raises:
        PuppetMasterError: what can be told to be wrong beforehand: see `preview_operators.new_jobs`.
    """
    if unknown := sorted(set(settings) - set(SETTINGS)):
        raise InputError(f"there is no setting {unknown[0]!r}; settings are {', '.join(SETTINGS)}")
    scene = _scene(scene)
    job = preview_operators.new_jobs(scene, only_one=True, **settings)[0]
    jobs.start(job)
    return Preview(job)


def _scene(scene: Scene | None) -> Scene:
    return scene or bpy.context.scene


def _pixels(path: Path) -> NDArray[np.uint8]:
    """An image file's pixels, uint8 `[H, W, 3]`, as they are in the file."""
    image = bpy.data.images.load(str(path))
    try:
        image.colorspace_settings.name = "Non-Color"
        width, height = image.size
        pixels = np.empty(width * height * 4, np.float32)
        image.pixels.foreach_get(pixels)
    finally:
        bpy.data.images.remove(image)
    return (pixels.reshape(height, width, 4)[::-1, :, :3] * 255).round().astype(np.uint8)

# SPDX-License-Identifier: GPL-3.0-or-later
"""A small film strip of an animation that was turned away, so that people can see whether rightly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .cameras import Lens, Viewpoint, place_camera
from .drags import choose_drags
from .geometry import Geometry
from .look import Look
from .playback import Playback
from .points import sample_points
from .reasons import Rejection
from .recording import record
from .render import render_frames, set_up
from .scene import clear_shot, set_time
from .settings import RenderSettings
from .tracks import follow

FRAMES = 7  # over the whole length of the animation
SIZE = 96
SAMPLES = 4
POINTS = 256
PLAIN = Look("studio.sl", 0.0, 0.0, (0.3, 0.6, 0.7), 0.0, False, 0.9)
VIEWPOINT = Viewpoint(azimuth=25.0, elevation=20.0, angle=30.0, fill=0.85)


@dataclass(frozen=True)
class Strip:
    """A film strip.

    Attributes:
        frames: uint8 `[N, size, size, 4]`.
        meta: `drags` `[K][N][2]`, which may be empty, and the frame numbers `times`.
    """

    frames: NDArray[np.uint8]
    meta: dict[str, Any]


def film_strip(playback: Playback, settings: RenderSettings) -> Strip | None:
    """Film an animation plainly, over its whole length; None where there is nothing to be seen.

    Args:
        playback: the animation.
        settings: the engine is taken over; size and samples are small ones.
    """
    scene = playback.scene
    small = replace(settings, size=SIZE, samples=SAMPLES)
    times = np.linspace(playback.first, playback.last, FRAMES).tolist()
    clear_shot(scene)
    corners = reach(playback, times)
    if corners is None:
        return None
    place_camera(scene, corners, VIEWPOINT)
    set_up(scene, small, PLAIN, float(np.ptp(corners, axis=0).max()))
    bpy.context.view_layer.update()
    drags = _drags(playback, times)
    return Strip(render_frames(scene, times, small), {"drags": drags, "times": times})


def reach(playback: Playback, times: Sequence[float]) -> NDArray[np.float64] | None:
    """The corners of the box that holds what is in focus at some moments, `[8, 3]`; None if it is no proper box."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for time in times:
        set_time(playback.scene, time)
        geometry = Geometry.of(playback.objects, bpy.context.evaluated_depsgraph_get())
        wanted = np.array([playback.focus is None or name in playback.focus for name in geometry.names], bool)
        points = geometry.vertices[wanted[geometry.vertex_owner]]
        points = points[np.isfinite(points).all(1)]
        if len(points):
            low, high = np.minimum(low, points.min(0)), np.maximum(high, points.max(0))
    if not (high - low).max() > 0:
        return None
    return np.array([(x, y, z) for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])


def _drags(playback: Playback, times: list[float]) -> list[Any]:
    """What would be dragged; nothing where points cannot be followed."""
    rng = np.random.default_rng(0)
    lens = Lens.of(playback.scene, bpy.context.evaluated_depsgraph_get())
    try:
        recording = record(playback, times)
        points = sample_points(recording, POINTS, rng)
        tracks = follow(points, recording, [lens] * len(times), np.zeros(len(points), np.int16))
    except Rejection:  # the very reason it was turned away, perhaps
        return []
    return choose_drags(tracks, rng).smooth.round(4).tolist()

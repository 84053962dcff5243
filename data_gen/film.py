# SPDX-License-Identifier: GPL-3.0-or-later
"""From something that moves in the scene to a clip: camera, light, tracks, drags, frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..backend.errors import InputError
from .cameras import place_camera, random_viewpoint
from .clips import Clip
from .drags import choose_drags, displacement
from .render import random_look, render_frames, set_up
from .rigs.rig import View
from .scene import bounds_over_time, set_time
from .settings import RenderSettings
from .tracks import Tracks, follow, sample_surface

ATTEMPTS = 12
CANDIDATES = 448  # points sampled; those never seen are dropped
MAX_TRACKS = 256
MIN_MOTION = 0.05  # of the image's side: how far a point must get to count as a mover
MIN_MOVERS = 4  # movers that must be visible at the start
MIN_INSIDE = 0.9  # share of the tracked points that must be inside the first frame
FILL_WHOLE_CLIP = (0.62, 0.95)
FILL_FIRST_FRAME = (0.5, 0.8)


@dataclass(frozen=True)
class Stage:
    """What is filmed.

    Attributes:
        parts: mesh objects with their part ids; 0 for what stays.
        shares: how the tracked points are shared out among `parts`, any positive scale.
        times: frame numbers of the clip's frames; may lie between whole ones.
        view: from where to look.
        groups: part ids by cause of motion; each gets a drag.
        meta: what the clip's metadata say of it.
    """

    parts: Sequence[tuple[bpy.types.Object, int]]
    shares: NDArray[np.float64]
    times: Sequence[float]
    view: View
    groups: Sequence[Sequence[int]] = ()
    meta: dict[str, Any] = field(default_factory=dict)


def make_clip(
    name: str, key: Sequence[int], build: Callable[[np.random.Generator], Stage], settings: RenderSettings
) -> Clip:
    """Build a stage in the current scene, film and track it.

    A draw whose motion cannot be seen well is thrown away and the next one of the same key tried, so
    that a key always stands for the same clip.

    Args:
        name: for messages.
        key: seeds everything random.
        build: empties the scene and sets the stage.
        settings: how frames are rendered.

    Raises:
        InputError: no draw of this key is worth rendering, or `build` refuses.
    """
    fault = ""
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng((*key, attempt))
        stage = build(rng)
        look_meta = _set_scene(stage, rng, settings)
        tracks = _track(stage, rng)
        drags = choose_drags(tracks, rng, stage.groups)
        fault = find_fault(tracks, drags)
        if not fault:
            frames = render_frames(bpy.context.scene, stage.times, settings)
            meta = {**stage.meta, **look_meta, "attempt": attempt}
            return Clip(frames, tracks.xy[drags], tracks.xy, tracks.visible, tracks.part, meta)
    raise InputError(f"{name}: none of {ATTEMPTS} draws is worth a clip, the last since {fault}; try another seed")


def _set_scene(stage: Stage, rng: np.random.Generator, settings: RenderSettings) -> dict[str, Any]:
    """Light and camera; gives what the metadata say of them."""
    scene = bpy.context.scene
    look = random_look(rng)
    set_up(scene, settings, look)
    corners = bounds_over_time(scene, [item for item, _ in stage.parts], stage.times)
    # Half of the time the whole clip is framed; else the first frame is, and what opens may leave it.
    whole = rng.random() < 0.5
    viewpoint = random_viewpoint(rng, stage.view, FILL_WHOLE_CLIP if whole else FILL_FIRST_FRAME)
    place_camera(scene, corners if whole else corners[:1], viewpoint)
    return {
        "look": look.to_json(), "viewpoint": viewpoint.to_json(), "engine": settings.engine,
        "blender": bpy.app.version_string, "version": __version__,
    }  # fmt: skip


def _track(stage: Stage, rng: np.random.Generator) -> Tracks:
    """Tracks of the sampled points that are seen at some time."""
    scene = bpy.context.scene
    set_time(scene, stage.times[0])
    depsgraph = bpy.context.evaluated_depsgraph_get()
    points = sample_surface(stage.parts, stage.shares, CANDIDATES, rng, depsgraph)
    tracks = follow(points, scene, stage.times)
    seen = np.flatnonzero(tracks.visible.any(1))
    # Points come sorted by part: keep a random choice of the seen ones, not the first parts' alone.
    seen = np.sort(rng.permutation(seen)[:MAX_TRACKS])
    return Tracks(tracks.xy[seen], tracks.visible[seen], tracks.part[seen])


def find_fault(tracks: Tracks, drags: NDArray[np.intp]) -> str:
    """Why a tracked stage is not worth rendering, or nothing."""
    movers = tracks.visible[:, 0] & (displacement(tracks.xy) >= MIN_MOTION)
    if movers.sum() < MIN_MOVERS:
        return f"only {int(movers.sum())} of the points seen at the start move"
    if not len(drags):
        return "no point can be dragged"
    inside = ((tracks.xy[:, 0] > 0) & (tracks.xy[:, 0] < 1)).all(1).mean()
    if inside < MIN_INSIDE:
        return f"only {inside:.0%} of the object are inside the first frame"
    return ""

# SPDX-License-Identifier: GPL-3.0-or-later
"""From an animation being played to clips: record once, then camera, light, tracks, drags and frames for each view."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..backend.clips import Clip
from .cameras import Lens, freeze_camera, place_camera, random_viewpoint
from .drags import Drags, choose_drags
from .filter.views import ViewFeatures, view_features
from .look import random_look
from .parts import find_parts, part_of_triangles
from .passes import render_passes
from .playback import Playback
from .points import SurfacePoints, sample_points, triangle_areas
from .reasons import Rejection
from .recording import Recording, record
from .render import render_frames, set_up
from .scene import clear_shot, set_time
from .settings import RenderSettings
from .stopwatch import Stopwatch
from .tracks import Tracks, follow

ATTEMPTS = 8  # viewpoints tried before a view is given up
CANDIDATES = 2048  # points sampled; those never seen are dropped
MAX_TRACKS = 512  # of these a clip keeps
FILL_WHOLE_CLIP = (0.62, 0.95)
FILL_FIRST_FRAME = (0.5, 0.8)


@dataclass(frozen=True)
class Take:
    """A stretch of an animation, recorded: all that views of it share.

    Attributes:
        playback: what plays.
        recording: where everything is at the clip's frames.
        subject: the same of what is framed.
        points: candidates for tracks.
        part: part id of each, int16 `[P]`.
        centre: middle of all it reaches over the clip, in the world.
        size: its largest extent over the clip, in scene units.
    """

    playback: Playback
    recording: Recording
    subject: Recording
    points: SurfacePoints
    part: NDArray[np.int16]
    centre: NDArray[np.float64]
    size: float


@dataclass(frozen=True)
class Shot:
    """A camera in place and what it sees of a take.

    Attributes:
        lens: the camera, which stays.
        tracks: of all points that may be tracked.
        meta: what the clip's metadata say of it.
    """

    lens: Lens
    tracks: Tracks
    meta: dict[str, Any] = field(default_factory=dict)


def record_take(playback: Playback, times: Sequence[float], rng: np.random.Generator, watch: Stopwatch) -> Take:
    """Record an animation at the clip's frames and sample the points that may be tracked.

    Raises:
        Rejection: topology changes, degenerate geometry.
    """
    with watch("record"):
        recording = record(playback, times)
        subject = recording.only(playback.focus)
        if not len(subject.triangles):
            raise Rejection("degenerate geometry", "what moves is not there at the clip's frames")
        low, high = subject.bounds()
        low, high = np.nanmin(low, axis=0), np.nanmax(high, axis=0)
        size = float((high - low).max())
        if not np.isfinite(size) or size <= 0:
            raise Rejection("degenerate geometry", f"an extent of {size:g}")
    with watch("tracks"):
        points = sample_points(recording, CANDIDATES, rng, _shares(recording, playback.focus))
        part = find_parts(recording, points, playback)
    return Take(playback, recording, subject, points, part, (low + high) / 2, size)


def film_view(
    take: Take, key: Sequence[int], view: int, views: int, settings: RenderSettings,
    passes: Sequence[str], decide: Callable[[ViewFeatures], Rejection | None], watch: Stopwatch,
) -> Clip:  # fmt: skip
    """Film and track a take from one camera.

    A viewpoint from which the motion cannot be seen well is thrown away and the next one of the same key
    tried, so that a key always stands for the same clip.

    Args:
        take: what is filmed.
        key: seeds everything random.
        view: which view, from 0.
        views: how many there will be.
        settings: how frames are rendered.
        passes: further ground truth, see `backend.clips.PASSES`.
        decide: why a view is turned away, None if it is not.
        watch: told how long each stage takes.

    Raises:
        Rejection: no viewpoint shows the motion, or the frames are blank.
    """
    own_camera = view == 0 and take.playback.camera is not None
    fault = Rejection("invisible", "no viewpoint was tried")
    for attempt in range(1 if own_camera else ATTEMPTS):
        rng = np.random.default_rng((*key, view, attempt))
        with watch("tracks"):
            shot = _set_up_shot(take, rng, (view, views), settings, own_camera)
            found = decide(_view_features(shot, own_camera))
            chosen = choose_seen(shot.tracks, rng)
            drags = choose_drags(shot.tracks.take(chosen), rng, take.playback.groups)
        if found is None and not len(drags.index):
            found = Rejection("invisible", "no point that moves is seen at the start")
        if found is not None:
            fault = found
            continue
        with watch("render"):
            times = take.recording.times[: 1 if settings.still_only else None]
            frames = render_frames(take.playback.scene, times.tolist(), settings)
        blank = decide(_view_features(shot, own_camera, frames))
        if blank is not None:
            raise blank
        with watch("passes"):
            part = part_of_triangles(take.recording, take.points, take.part) if "part" in passes else None
            lenses = [shot.lens] * len(take.recording)
            images = render_passes(passes, take.recording, lenses, settings.size, take.size, part)
        numbers = {"view": view, "attempt": attempt, "still_only": settings.still_only}
        return _assemble(take, shot, chosen, drags, frames, images, numbers)
    raise fault


def _set_up_shot(
    take: Take, rng: np.random.Generator, share: tuple[int, int], settings: RenderSettings, own_camera: bool
) -> Shot:
    """Light and camera, and the tracks from there."""
    clear_shot(take.playback.scene)
    scene, recording = take.playback.scene, take.recording
    azimuth = 0.0
    if own_camera:
        set_time(scene, float(recording.times[0]))
        freeze_camera(scene, take.playback.camera)
        meta: dict[str, Any] = {"viewpoint": None}
    else:
        # Half of the time the whole clip is framed; else the first frame is, and what opens may leave it.
        whole = rng.random() < 0.5
        fill = FILL_WHOLE_CLIP if whole else FILL_FIRST_FRAME
        viewpoint = random_viewpoint(rng, take.playback.view, fill, share)
        place_camera(scene, _outline(take.subject, whole), viewpoint)
        azimuth, meta = viewpoint.azimuth, {"viewpoint": viewpoint.to_json()}
    look = None if take.playback.lit else random_look(rng, azimuth)
    set_up(scene, settings, look, take.size)
    bpy.context.view_layer.update()
    lens = Lens.of(scene, bpy.context.evaluated_depsgraph_get())
    tracks = follow(take.points, recording, [lens] * len(recording), take.part)
    return Shot(lens, tracks, {**meta, "look": look and look.to_json(), "engine": settings.engine})


def _view_features(shot: Shot, own_camera: bool, frames: NDArray[np.uint8] | None = None) -> ViewFeatures:
    """What a view is judged by; how an animator frames a shot is not for us to judge."""
    features = view_features(shot.tracks.xy, shot.tracks.visible, frames)
    return replace(features, off_screen=0.0, off_screen_later=0.0) if own_camera else features


def _shares(recording: Recording, focus: frozenset[str] | None) -> NDArray[np.float64] | None:
    """How points are shared out among the items: by area, none to what is not in focus."""
    if focus is None:
        return None
    areas = triangle_areas(recording.positions[0], recording.triangles)
    items = np.bincount(recording.owner, np.nan_to_num(areas), len(recording.names))
    return np.where([name in focus for name in recording.names], items, 0.0)


def _outline(recording: Recording, whole: bool) -> NDArray[np.float64]:
    """Points that a frame must hold to hold everything: some thousand vertices, of all moments or the first."""
    positions = recording.positions if whole else recording.positions[:1]
    step = max(1, positions.shape[1] // 2000)
    corners = [positions[:, ::step].reshape(-1, 3)]
    for axis in range(3):  # the outermost whatever the step
        for find in (np.argmin, np.argmax):
            corners.append(np.stack([moment[find(moment[:, axis])] for moment in positions]))
    return np.concatenate(corners).astype(np.float64)


def choose_seen(tracks: Tracks, rng: np.random.Generator) -> NDArray[np.intp]:
    """Which points a clip keeps: a random choice of those that are seen at some time, in their order."""
    seen = np.flatnonzero(tracks.visible.any(1))
    return np.sort(rng.permutation(seen)[:MAX_TRACKS])


def _assemble(
    take: Take, shot: Shot, chosen: NDArray[np.intp], drags: Drags, frames: NDArray[np.uint8],
    passes: dict[str, NDArray[np.generic]], numbers: dict[str, int],
) -> Clip:  # fmt: skip
    playback, times, tracks = take.playback, take.recording.times, shot.tracks.take(chosen)
    step = float(times[1] - times[0])
    meta = {
        **playback.meta, **numbers, **shot.meta,
        "camera": {"intrinsics": shot.lens.intrinsics.tolist(), "pose": shot.lens.pose.tolist()},
        "times": [float(times[0]), float(times[-1])], "fps": playback.fps / step,
        "centre": take.centre.tolist(), "size": take.size,
        "blender": bpy.app.version_string, "version": __version__,
    }  # fmt: skip
    extra = {
        "drags_straight": drags.straight, "drag_tracks": drags.index.astype(np.int32),
        "points_3d": ((tracks.world - take.centre) / take.size).astype(np.float32),
    }  # fmt: skip
    return Clip(frames, drags.smooth, tracks.xy, tracks.visible, tracks.part, meta, extra, passes)


def key_of(seed: int, name: str, animation: int) -> tuple[int, int, int]:
    """What seeds an animation of an asset."""
    return seed, zlib.crc32(name.encode()), animation


# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips of procedural rigs: everything about one follows from its kind and seed."""

from __future__ import annotations

import zlib

import bpy
import numpy as np

from ..backend.errors import InputError
from .cameras import place_camera, random_viewpoint
from .clips import Clip
from .drags import choose_drags, displacement
from .motion import apply_moves, choose_moves, moved_groups
from .render import random_look, render_frames, set_up
from .rigs import Rig, build_rig
from .settings import RenderSettings
from .scene import bounds_over_time, empty_scene, set_time
from .tracks import Tracks, follow, sample_surface

ATTEMPTS = 12
CANDIDATES = 448
MAX_TRACKS = 256
MIN_MOTION = 0.05  # of the image's side, that the farthest visible point moves
MIN_MOVERS = 4  # moving points visible at the start
MIN_INSIDE = 0.9  # share of the object's corners inside the first frame


def make_clip(kind: str, seed: int, frames: int, settings: RenderSettings) -> Clip:
    """Build, animate, film and track a procedural rig.

    A draw whose motion cannot be seen well is thrown away and the next sub-seed tried.

    Raises:
        InputError: no such kind, or no draw of this seed is worth rendering.
    """
    reason = ""
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng((seed, zlib.crc32(kind.encode()), attempt))
        staged = _stage(kind, rng, frames, settings)
        tracks, drags, meta = staged
        reason = _fault(tracks, drags)
        if reason:
            continue
        times = range(1, frames + 1)
        pixels = render_frames(bpy.context.scene, times, settings)
        meta |= {"seed": seed, "attempt": attempt}
        return Clip(pixels, tracks.xy[drags], tracks.xy, tracks.visible, tracks.part, meta)
    raise InputError(f"{kind} with seed {seed}: {ATTEMPTS} draws failed, the last since {reason}; use another seed")


def _stage(kind: str, rng: np.random.Generator, frames: int, settings: RenderSettings) -> tuple:
    """Set the scene up and track it: (tracks, drag indices, metadata)."""
    scene = empty_scene()
    scene.frame_start, scene.frame_end = 1, frames
    rig = build_rig(kind, rng)
    moves = choose_moves(rig, rng)
    apply_moves(rig, moves, frames)
    look = random_look(rng)
    set_up(scene, settings, look)
    times = range(1, frames + 1)
    corners = bounds_over_time(scene, [part.object for part in rig.parts], times)
    # Half of the time the whole clip is framed; else the first frame is, and what opens may leave it.
    whole = rng.random() < 0.5
    framed = corners if whole else corners[:1]
    viewpoint = random_viewpoint(rng, rig.view, (0.62, 0.95) if whole else (0.5, 0.8))
    place_camera(scene, framed, viewpoint)
    set_time(scene, 1)
    tracks = _track(rig, rng, times)
    drags = choose_drags(tracks, rng, moved_groups(rig, moves))
    meta = {
        "kind": kind, "moves": [move.to_json() for move in moves], "viewpoint": viewpoint.to_json(),
        "look": look.to_json(), "engine": settings.engine, "blender": bpy.app.version_string,
        "parts": [part.name for part in rig.parts],
    }  # fmt: skip
    return tracks, drags, meta


def _track(rig: Rig, rng: np.random.Generator, times: range) -> Tracks:
    """Tracks of the points that are seen at some time, half of the candidates on movable parts."""
    scene = bpy.context.scene
    depsgraph = bpy.context.evaluated_depsgraph_get()
    movable = {other.id for part in rig.joints for other in rig.subtree(part)}
    parts = [(part.object, part.id) for part in rig.parts]
    fixed = len(parts) - len(movable)
    shares = np.array([1 / len(movable) if index in movable else 1 / fixed for _, index in parts])
    points = sample_surface(parts, shares, CANDIDATES, rng, depsgraph)
    tracks = follow(points, scene, times)
    seen = np.flatnonzero(tracks.visible.any(1))[:MAX_TRACKS]
    return Tracks(tracks.xy[seen], tracks.visible[seen], tracks.part[seen])


def _fault(tracks: Tracks, drags: np.ndarray) -> str:
    """Why a staged clip is not worth rendering, or nothing."""
    moved = displacement(tracks.xy)
    movers = tracks.visible[:, 0] & (moved >= MIN_MOTION)
    if movers.sum() < MIN_MOVERS:
        return f"only {int(movers.sum())} points seen at the start move"
    if not len(drags):
        return "no point can be dragged"
    inside = ((tracks.xy[:, 0] > 0) & (tracks.xy[:, 0] < 1)).all(1).mean()
    if inside < MIN_INSIDE:
        return "the object leaves the first frame"
    return ""

# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips of procedural rigs: everything about one follows from its kind and seed."""

from __future__ import annotations

import zlib

import numpy as np

from . import film
from .clips import Clip
from .film import Stage
from .motion import apply_moves, choose_moves, moved_groups
from .rigs import build_rig
from .scene import empty_scene
from .settings import RenderSettings


def make_procedural_clip(kind: str, seed: int, frames: int, settings: RenderSettings) -> Clip:
    """Build, animate, film and track a procedural rig.

    Raises:
        InputError: no such kind, or no draw of this seed is worth rendering.
    """

    def build(rng: np.random.Generator) -> Stage:
        return stage_rig(kind, seed, frames, rng)

    return film.make_clip(f"{kind} with seed {seed}", (seed, zlib.crc32(kind.encode())), build, settings)


def stage_rig(kind: str, seed: int, frames: int, rng: np.random.Generator) -> Stage:
    """A rig of a kind, one to three of its joints moving over frames 1 to `frames`."""
    scene = empty_scene()
    scene.frame_start, scene.frame_end = 1, frames
    rig = build_rig(kind, rng)
    moves = choose_moves(rig, rng)
    apply_moves(rig, moves, frames)
    movable = {part for joint in rig.joints for part in rig.subtree(joint)}
    fixed = len(rig.parts) - len(movable)
    # Half of the points on what can move, however small it is beside the body.
    shares = np.array([1 / len(movable) if part in movable else 1 / fixed for part in rig.parts])
    meta = {
        "kind": kind, "seed": seed, "parts": [part.name for part in rig.parts],
        "moves": [move.to_json() for move in moves],
    }  # fmt: skip
    parts = [(part.object, part.id) for part in rig.parts]
    return Stage(parts, shares, range(1, frames + 1), rig.view, moved_groups(rig, moves), meta)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Procedural rigs as sources: everything about one follows from its kind and seed."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from .motion import apply_moves, choose_moves, moved_groups
from .playback import Playback
from .rigs import build_rig
from .scene import empty_scene


class RigSource:
    """A rig with one to three of its joints moving: one animation, as long as a clip.

    Attributes:
        meta: kind, seed, parts and moves.
    """

    def __init__(self, kind: str, seed: int, frames: int, attempt: int = 0) -> None:
        """Build it in the emptied scene.

        Args:
            kind: a key of `rigs.BUILDERS`.
            seed: with `attempt` decides everything random.
            frames: length of the animation, from frame 1.
            attempt: another draw of the same seed.

        Raises:
            InputError: no such kind.
        """
        rng = np.random.default_rng((seed, zlib.crc32(kind.encode()), attempt))
        self._scene = empty_scene()
        self._scene.frame_start, self._scene.frame_end = 1, frames
        self._rig = build_rig(kind, rng)
        self._moves = choose_moves(self._rig, rng)
        apply_moves(self._rig, self._moves, frames)
        self.meta: dict[str, Any] = {
            "kind": kind, "seed": seed, "parts": [part.name for part in self._rig.parts],
            "moves": [move.to_json() for move in self._moves],
        }  # fmt: skip

    def animations(self) -> list[str]:
        """The names of the parts that move, as one animation."""
        return [" + ".join(move.part.name for move in self._moves)]

    def play(self, index: int) -> Playback:
        """The rig as it moves."""
        return Playback(
            scene=self._scene,
            objects=tuple(part.object for part in self._rig.parts),
            first=1.0,
            last=float(self._scene.frame_end),
            labels=tuple(part.id for part in self._rig.parts),
            groups=moved_groups(self._rig, self._moves),
            view=self._rig.view,
            meta=dict(self.meta),
        )

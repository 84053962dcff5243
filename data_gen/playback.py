# SPDX-License-Identifier: GPL-3.0-or-later
"""What moves in the scene: sources of animations, and one of them being played."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import bpy

from .rigs.rig import View

ALL_AROUND = View(azimuth=(-180.0, 180.0), elevation=(-5.0, 45.0))


@dataclass(frozen=True)
class Playback:
    """One animation, made the only active one of the current scene.

    Attributes:
        scene: the scene it plays in.
        objects: the objects that are rendered.
        first: first frame of the animation; may lie between whole frames.
        last: last frame.
        fps: frames a second.
        labels: part id of each object where the source knows them, 0 for what stays; None: find them
            by how points move.
        groups: part ids by cause of motion; each gets a drag. Empty: every part for itself.
        view: from where it is worth looking at.
        focus: names of the items (see `Geometry.names`) that it is about: cameras frame these, and motion is
            measured and points are drawn on them; the rest is seen behind and before them. None: all.
        camera: a camera of its own, which the first view is taken from; None: all views are drawn.
        lit: it brings its own light, which stays.
        meta: what a clip's metadata say of it.
    """

    scene: bpy.types.Scene
    objects: tuple[bpy.types.Object, ...]
    first: float
    last: float
    fps: float = 24.0
    labels: tuple[int, ...] | None = None
    groups: Sequence[Sequence[int]] = ()
    view: View = ALL_AROUND
    focus: frozenset[str] | None = None
    camera: bpy.types.Object | None = None
    lit: bool = False
    meta: dict[str, Any] = field(default_factory=dict)


class Source(Protocol):
    """Something with animations, opened in Blender's current file.

    Attributes:
        meta: format, licence, author, counts: JSON values.
    """

    meta: dict[str, Any]

    def animations(self) -> list[str]:
        """Names in the source's own order; two may be equal."""
        ...

    def play(self, index: int) -> Playback:
        """Make one animation the only active one.

        Raises:
            Rejection: it cannot be played: a single pose, nothing to see in it.
        """
        ...

# SPDX-License-Identifier: GPL-3.0-or-later
"""Motions made of numbers, of which every feature is known."""

from __future__ import annotations

import numpy as np
from puppet_master.data_gen.filter.motion import Motion


def make_motion(places, owner=None, present=None, fps=24.0, times=None, area=None, **more):
    """A motion of points `[F, P, 3]`; one item unless `owner` says otherwise."""
    places = np.asarray(places, np.float32)
    frames, count = places.shape[:2]
    owner = np.zeros(count, int) if owner is None else np.asarray(owner)
    items = int(owner.max()) + 1
    return Motion(
        times=np.arange(frames, dtype=float) if times is None else np.asarray(times, float),
        fps=fps,
        points=places,
        normals=np.zeros_like(places),
        owner=owner,
        area=np.bincount(owner, minlength=items).astype(float) if area is None else np.asarray(area, float),
        present=np.ones((frames, items), bool) if present is None else np.asarray(present),
        **more,
    )


def turn_about_z(degrees):
    """Rotations `[..., 3, 3]` about the upright axis."""
    angle = np.radians(degrees)
    zero, one = np.zeros_like(angle), np.ones_like(angle)
    rows = [[np.cos(angle), -np.sin(angle), zero], [np.sin(angle), np.cos(angle), zero], [zero, zero, one]]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))

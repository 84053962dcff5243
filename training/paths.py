# SPDX-License-Identifier: GPL-3.0-or-later
"""Training samples of the motion field: a still through a random view, drags, and where its pixels go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..backend.clips import Clip, decode_clip
from ..backend.errors import InputError
from .dataset import TrackedPoints, View, apply_view, draw_drags, random_view, show_points
from .settings import MotionSettings
from .stream import Arrays

PATHS = "paths"
MOVES = 0.01  # of the side: how far a pixel must get to count as moving


@dataclass(frozen=True)
class PathSamples:
    """Makes a sample of a clip rendered with `--passes paths`; N frames, K slots, S x S pixels.

    Attributes:
        settings: of the stage.
    """

    settings: MotionSettings

    def __call__(self, where: str, members: Mapping[str, bytes], rng: np.random.Generator) -> Arrays:
        """A sample of a stored clip through a random view. Raises `InputError` that names the clip."""
        clip = decode_clip(where, members)
        if PATHS not in clip.passes:
            raise InputError(f"clip {where} has no paths; render with `puppet-master data render --passes paths`")
        view = random_view(first_frame(clip), rng, self.settings.views)
        return self.sample(clip, replace(view, reverse=False), rng)  # the paths begin at the first frame

    def sample(self, clip: Clip, view: View, rng: np.random.Generator) -> Arrays:
        """A sample through a view.

        Returns:
            `still` `[3, S, S]` in [-1, 1]; `drags` `[K, N, 2]` and `mask` `[K]` bool; `frames` `[M]`, those of which
            the rest speaks; `displacement` `[M, 2, S, S]` in shares of the side and `depth` `[M, S, S]` about the
            object's mean, 0 where nothing is; `object` and `moves` (in any of these frames), `[S, S]` bool. Without
            drags nothing is said to move.
        """
        size, slots = self.settings.size, self.settings.slots
        still, _ = apply_view(first_frame(clip), view, size)
        points = show_points(clip, view, np.arange(clip.tracks.shape[1]))
        frames = self._frames(len(clip.passes[PATHS]), rng)
        displacement, depth = window_paths(clip.passes[PATHS][frames - 1], view, size)
        there = np.isfinite(displacement).all(axis=(0, 1)) & np.isfinite(depth).all(axis=0)
        drags, mask = self._drags(clip, points, slots, rng)
        displacement = np.where(there, displacement, 0.0) if mask.any() else np.zeros_like(displacement)
        middle = depth[:, there].mean() if there.any() else 0.0
        moves = np.linalg.norm(displacement, axis=1).max(axis=0) > MOVES
        return {
            "still": still[0].transpose(2, 0, 1),
            "drags": drags,
            "mask": mask,
            "frames": frames,
            "displacement": displacement.astype(np.float32),
            "depth": np.where(there, depth - middle, 0.0).astype(np.float32),
            "object": there,
            "moves": moves,
        }

    def _frames(self, last: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """The frames to learn from, in order; the last one, where motion is largest, is always among them."""
        count = min(self.settings.frames or last, last)
        others = rng.permutation(last - 1)[: count - 1] + 1
        return np.sort(np.append(others, last)).astype(np.int64)

    def _drags(
        self, clip: Clip, points: TrackedPoints, slots: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Drags `[K, N, 2]` and which slots hold one."""
        drags = np.zeros((slots, clip.tracks.shape[1], 2), np.float32)
        mask = np.zeros(slots, bool)
        if rng.random() >= self.settings.drop_drags:
            drawn = draw_drags(points, rng, slots, straighten=0.5, more=0.25, pins=0.25)[:slots]
            drags[: len(drawn)], mask[: len(drawn)] = drawn, True
        return drags, mask


def first_frame(clip: Clip) -> Clip:
    """A clip of the first frame alone."""
    return Clip(clip.frames[:1], clip.drags[:, :1], clip.tracks[:, :1], clip.visible[:, :1], clip.part, clip.meta)


def window_paths(
    paths: NDArray[np.float16], view: View, size: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Paths as a view shows them: nearest pixels, so that nothing is blended across edges.

    Args:
        paths: of M frames, `[M, H, W, 3]`, see `backend.clips.Clip.passes`.
        view: not one that plays backwards: the first frame would be another.
        size: S.

    Returns:
        displacement `[M, 2, S, S]` in shares of the view's side, depth `[M, S, S]`; NaN where nothing is, and
        outside of the clip's frame.
    """
    height, width = paths.shape[1:3]
    at = (np.arange(size) + 0.5) / size - 0.5
    columns = np.floor((view.centre[0] + at * view.zoom) * width).astype(int)
    rows = np.floor((view.centre[1] + at * view.zoom) * height).astype(int)
    if view.flip:
        columns = columns[::-1]
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    seen = paths[:, rows.clip(0, height - 1)][:, :, columns.clip(0, width - 1)].astype(np.float32)
    seen[:, ~inside] = np.nan
    moved = seen[..., :2] / (np.array([width, height], np.float32) * view.zoom)
    if view.flip:
        moved[..., 0] *= -1
    return moved.transpose(0, 3, 1, 2), seen[..., 2]

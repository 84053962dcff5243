# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a clip moves, and how far: the dragged points, the object's surface, its resting parts, the background.

All lengths are pixels of frames whose longer side has `MEASURING_SIZE`. A clip's surface is watched at the points
that came with it; where none did, on a grid over the object, of which is known what rests but not where the rest goes.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .clips import MEASURING_SIZE, PIN_PIXELS, RealClip
from .metrics import mean_distance, moving_mask, point_error
from .tracking import Points, Track, follow

GRID = 8  # between watched places, pixels
# Flow smears what moves over what lies beside it; places that should rest keep this much away from it (pixels).
CLEARANCE = 12
# Background is watched only where there is something to see: grey levels of 255 that differ within a grid cell.
TEXTURE = 3.0


@dataclass(frozen=True)
class MotionMeasures:
    """How the points of one set of frames move, against what they should do. None: nothing to measure it on.

    Attributes:
        motion_error: mean distance, over moving drags and frames 2...N, between tracked and asked places.
        pin_error: the same over drags that ask their point to stay.
        points_error: mean distance between tracked and true places of all surface points seen in the still, over
            the frames in which they are visible; needs clips with points.
        flow_error: root mean squared distance of the moving drags' points, tracked here and in the real frames.
        points_flow_error: the same over all surface points.
        part_motion: mean distance from the start of the points that truly move.
        rest_motion: the same of the object's points that truly rest.
        background_motion: the same of the background's; None where that is plain.
    """

    motion_error: float | None
    pin_error: float | None
    points_error: float | None
    flow_error: float | None
    points_flow_error: float | None
    part_motion: float | None
    rest_motion: float | None
    background_motion: float | None


@dataclass(frozen=True)
class Found:
    """Where a tracker finds a clip's watched points in some frames: `[K, N, 2]`, `[P, N, 2]`, `[B, N, 2]`."""

    drags: Points
    surface: Points
    background: Points


@dataclass(frozen=True)
class Watched:
    """The points of a clip whose motion is measured.

    Attributes:
        clip: theirs.
        asked: where the drags say, `[K, N, 2]`.
        starts: of the surface points, `[P, 2]`.
        true: where they are, `[P, N, 2]`; None: known of the resting ones alone.
        seen: in which frames they are visible, bool `[P, N]`.
        rests: which of them never move, bool `[P]`.
        background_mask: where nothing of the object ever comes near, bool `[H, W]` of the clip's size.
        background: places there where the still has some texture, `[B, 2]`: flow on a plain ground means nothing.
    """

    clip: RealClip
    asked: Points
    starts: Points
    true: Points | None
    seen: NDArray[np.bool_]
    rests: NDArray[np.bool_]
    background_mask: NDArray[np.bool_]
    background: Points

    @classmethod
    def of(cls, clip: RealClip) -> Watched:
        """Choose the points of `clip`."""
        grid = _grid(clip)
        covered = clip.object_cover
        away = ~_grown(covered.any(axis=0), clip)
        background = grid[_at(away, clip, grid) & _textured(clip, grid)]
        asked = clip.to_pixels(clip.drags)
        if clip.points is None:
            starts = grid[_at(covered[0], clip, grid)]
            rests = ~_at(_grown(moving_mask(clip.frames, margin=0), clip), clip, starts)
            seen = np.ones((len(starts), len(clip.frames)), bool)
            return cls(clip, asked, starts, None, seen, rests, away, background)
        chosen = clip.points.visible[:, 0]
        true = clip.to_pixels(clip.points.tracks[chosen])
        seen = clip.points.visible[chosen]
        way = np.linalg.norm(true - true[:, :1], axis=-1)
        rests = np.where(seen, way, 0.0).max(axis=1, initial=0.0) <= PIN_PIXELS
        return cls(clip, asked, true[:, 0], true, seen, rests, away, background)

    def find(self, frames: NDArray[np.uint8], track: Track) -> Found:
        """Track all of them in `frames`, uint8 `[N, H, W, 3]` of the clip's size, from their starts alone."""
        places = np.concatenate([self.starts, self.background])
        drags, others = follow(track, self.clip.at_measuring_size(frames), self.asked[:, 0], places)
        return Found(drags, others[: len(self.starts)], others[len(self.starts) :])

    def measure(self, found: Found, real: Found) -> MotionMeasures:
        """Compare where points were found with where they should be, and with where they are found in the real clip."""
        moves = self.clip.moving_drags
        dragged = np.ones((int(moves.sum()), self.asked.shape[1]), bool)
        if self.true is None:
            parts, parts_seen = found.drags[moves], dragged
        else:
            parts, parts_seen = found.surface[~self.rests], self.seen[~self.rests]
        rest, background = found.surface[self.rests], found.background
        return MotionMeasures(
            motion_error=point_error(found.drags[moves], self.asked[moves]),
            pin_error=point_error(found.drags[~moves], self.asked[~moves]),
            points_error=None if self.true is None else mean_distance(found.surface, self.true, self.seen),
            flow_error=mean_distance(found.drags[moves], real.drags[moves], dragged, squared=True),
            points_flow_error=mean_distance(found.surface, real.surface, self.seen, squared=True),
            part_motion=mean_distance(parts, parts[:, :1], parts_seen),
            rest_motion=mean_distance(rest, rest[:, :1], self.seen[self.rests]),
            background_motion=mean_distance(background, background[:, :1], np.ones(background.shape[:2], bool)),
        )


def _grid(clip: RealClip) -> Points:
    """Places over the whole frame, `GRID` apart, `[G, 2]`."""
    height, width = clip.frames.shape[1:3]
    scale = MEASURING_SIZE / max(height, width)
    columns, rows = (np.arange(GRID / 2, side * scale, GRID) for side in (width, height))
    return np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)


def _at(mask: NDArray[np.bool_], clip: RealClip, places: Points) -> NDArray[np.bool_]:
    """The `mask` of the clip's own size at `places` in measuring pixels."""
    height, width = mask.shape
    own = np.rint((places + 0.5) * (max(height, width) / MEASURING_SIZE) - 0.5).astype(int)
    return mask[np.clip(own[:, 1], 0, height - 1), np.clip(own[:, 0], 0, width - 1)]


def _textured(clip: RealClip, places: Points) -> NDArray[np.bool_]:
    """Where the still differs from its surroundings, bool `[G]`."""
    grey = cv2.cvtColor(clip.at_measuring_size(clip.frames[:1])[0], cv2.COLOR_RGB2GRAY).astype(np.float32)
    size = (GRID + 1, GRID + 1)
    variance = cv2.blur(grey * grey, size) - cv2.blur(grey, size) ** 2
    columns, rows = np.rint(places).astype(int).T
    return variance[rows.clip(0, grey.shape[0] - 1), columns.clip(0, grey.shape[1] - 1)] > TEXTURE**2


def _grown(mask: NDArray[np.bool_], clip: RealClip) -> NDArray[np.bool_]:
    """The `mask` of the clip's own size with `CLEARANCE` around it."""
    radius = max(1, round(CLEARANCE * max(mask.shape) / MEASURING_SIZE))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(mask.astype(np.uint8), disc).astype(bool)

# SPDX-License-Identifier: GPL-3.0-or-later
"""What one camera sees of an animation: is the motion in the frame, is it in sight, is there a picture at all."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

MOVES = 0.02  # of the frame's side: how far a point's image gets to count as moving
SOLID = 0.5  # alpha above which a pixel counts as covered
WHITE, BLACK = 0.98, 0.02  # luminance


def _meaning(text: str) -> float:
    return field(metadata={"meaning": text})


@dataclass(frozen=True)
class ViewFeatures:
    """What one camera sees. `VIEW_FEATURES` says what each value means."""

    off_screen: float = _meaning("share of the points that lie outside the first frame")
    off_screen_later: float = _meaning("share of the points that lie outside the frame, in the worst frame")
    image_motion: float = _meaning(
        "share of the frame's side that points seen at the start get away from there, 98th percentile over points"
    )
    movers_seen: float = _meaning("number of points seen at the start whose image moves")
    motion_seen: float = _meaning(
        "share of the motion in the image (sum over points of how far each gets) that is of points seen at the start"
    )
    seen_later: float = _meaning("share of the moving points seen at the start that are still seen in a frame, mean")
    coverage: float = _meaning("share of the pixels that are covered, the frame with least")
    white: float = _meaning("share of the covered pixels that are white, all frames")
    black: float = _meaning("share of the covered pixels that are black, all frames")
    contrast: float = _meaning("standard deviation of the covered pixels' luminance, 0 to 0.5")

    def to_json(self) -> dict[str, float]:
        """Values by name."""
        return asdict(self)


VIEW_FEATURES: dict[str, str] = {item.name: item.metadata["meaning"] for item in fields(ViewFeatures)}


def view_features(
    tracks: NDArray[np.float32], visible: NDArray[np.bool_], frames: NDArray[np.uint8] | None = None
) -> ViewFeatures:
    """Measure a view.

    Args:
        tracks: normalised image coordinates of points all over the surface, seen or not, `[P, N, 2]`.
        visible: inside the frame and not covered, `[P, N]`.
        frames: uint8 `[N, H, W, 4]`, straight alpha; None before rendering: what would be read from them is then
            as of a good picture (covered, mid-grey, full of contrast).
    """
    outside = ~((tracks >= 0) & (tracks <= 1)).all(2)
    reach = np.linalg.norm(tracks - tracks[:, :1], axis=2).max(1)
    at_start = visible[:, 0]
    movers = at_start & (reach >= MOVES)
    seen_motion = reach[at_start]
    pictures = _picture_features(frames) if frames is not None else (1.0, 0.0, 0.0, 0.5)
    return ViewFeatures(
        off_screen=_mean(outside[:, 0]),
        off_screen_later=float(outside.mean(0).max()) if len(outside) else 1.0,
        image_motion=float(np.quantile(seen_motion, 0.98)) if len(seen_motion) else 0.0,
        movers_seen=float(movers.sum()),
        motion_seen=float(seen_motion.sum() / reach.sum()) if reach.sum() > 0 else 0.0,
        seen_later=_mean(visible[movers]),
        coverage=pictures[0],
        white=pictures[1],
        black=pictures[2],
        contrast=pictures[3],
    )


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if values.size else 0.0


def _picture_features(frames: NDArray[np.uint8]) -> tuple[float, float, float, float]:
    """Coverage, white, black, contrast; see `ViewFeatures`."""
    covered = frames[..., 3] >= 255 * SOLID
    coverage = float(covered.mean((1, 2)).min())
    if not covered.any():
        return coverage, 0.0, 0.0, 0.0
    light = (frames[..., :3][covered] / 255.0) @ np.array((0.2126, 0.7152, 0.0722))
    return coverage, float((light >= WHITE).mean()), float((light <= BLACK).mean()), float(light.std())

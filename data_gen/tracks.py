# SPDX-License-Identifier: GPL-3.0-or-later
"""Ground-truth tracks: points on surfaces as a camera sees them through a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .points import SurfacePoints, positions_of, sample_points
from .recording import Recording
from .visibility import look

if TYPE_CHECKING:
    from .cameras import Lens

__all__ = ["SurfacePoints", "Tracks", "follow", "sample_points"]


@dataclass(frozen=True)
class Tracks:
    """Followed points.

    Attributes:
        xy: normalised image coordinates, float32 `[P, N, 2]`; may lie outside [0, 1], always finite.
        visible: in the frame and not covered, bool `[P, N]`; see `visibility` for the tolerance.
        part: part ids, int16 `[P]`.
        depth: distance along the viewing direction in scene units, float32 `[P, N]`.
        world: places in the world, float64 `[P, N, 3]`.
    """

    xy: NDArray[np.float32]
    visible: NDArray[np.bool_]
    part: NDArray[np.int16]
    depth: NDArray[np.float32] | None = None
    world: NDArray[np.float64] | None = None

    def take(self, chosen: NDArray[np.integer]) -> Tracks:
        """The tracks with the given indices."""
        return Tracks(*(None if values is None else values[chosen] for values in vars(self).values()))


def follow(
    points: SurfacePoints, recording: Recording, lenses: Sequence[Lens], part: NDArray[np.integer] | None = None
) -> Tracks:
    """See the points at every moment of a recording.

    Args:
        points: what is tracked.
        recording: the animation.
        lenses: the camera at each moment `[N]`.
        part: part ids `[P]`; None: 0 throughout.
    """
    count, length = len(points), len(recording)
    xy, depth = np.zeros((count, length, 2), np.float32), np.zeros((count, length), np.float32)
    visible = np.zeros((count, length), bool)
    world = positions_of(points, recording)
    for column, lens in enumerate(lenses):
        shown = recording.geometry(column)
        sighting = look(lens, shown.vertices, shown.triangles, world[:, column], points.corners)
        xy[:, column], depth[:, column] = sighting.xy, sighting.depth
        visible[:, column] = sighting.visible & recording.present[column, points.owner]
    ids = np.zeros(count, np.int16) if part is None else np.asarray(part, np.int16)
    return Tracks(xy, visible, ids, depth, world)

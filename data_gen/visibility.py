# SPDX-License-Identifier: GPL-3.0-or-later
"""Which points of the surfaces a camera sees.

A point is seen when it is in the frame, between the near and far depth, and nothing lies before it. What lies before
it by no more than a share `TOLERANCE` of its depth does not count, so that surfaces laid upon each other do not hide
each other. A point whose own surface faces away is held to `TOLERANCE_BEHIND`: the far side of a thin board is hidden
by the near side however thin the board is, while the back of a leaf with no thickness is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .raster import Sight, hits

if TYPE_CHECKING:
    from .cameras import Lens

TOLERANCE = 1e-4
TOLERANCE_BEHIND = 1e-7


@dataclass(frozen=True)
class Sighting:
    """How a camera sees points.

    Attributes:
        xy: normalised image coordinates, float64 `[P, 2]`; finite, also of what is behind the camera.
        depth: distance along the viewing direction, float64 `[P]`.
        visible: bool `[P]`.
    """

    xy: NDArray[np.float64]
    depth: NDArray[np.float64]
    visible: NDArray[np.bool_]


def look(
    lens: Lens,
    vertices: NDArray[np.floating],
    triangles: NDArray[np.int32],
    points: NDArray[np.float64],
    own: NDArray[np.integer],
) -> Sighting:
    """See points on surfaces.

    Args:
        lens: the camera.
        vertices: world points `[V, 3]`.
        triangles: everything that can hide something, `[T, 3]`.
        points: world points `[P, 3]`.
        own: vertices of the triangle each point lies on, `[P, 3]`.
    """
    sight = Sight.of(lens)
    seen = sight.see(points)
    places, in_range = sight.places(seen)
    asked = np.flatnonzero(in_range & (np.abs(places) <= 1).all(1))
    depth = seen[3]
    limit = depth * (1 - np.where(facing(sight, vertices, own), TOLERANCE, TOLERANCE_BEHIND))
    visible = np.zeros(len(points), bool)
    visible[asked] = True
    mine = own[asked]
    for found in hits(sight, vertices, triangles, places[asked], limit[asked]):
        nearer = found.depth < limit[asked[found.place]]
        place, triangle = found.place[nearer], found.triangle[nearer]
        other = (triangles[triangle] != mine[place]).any(1)
        visible[asked[place[other]]] = False
    xy = np.stack(((places[:, 0] + 1) / 2, (1 - places[:, 1]) / 2), 1)
    return Sighting(xy, depth, visible)


def facing(sight: Sight, vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether triangles `[n, 3]` turn their outer side to the camera, bool `[n]`."""
    corners = np.asarray(vertices[triangles], np.float64)
    x, y, w, _ = sight.see(corners.reshape(-1, 3)).reshape(4, -1, 3)
    a, b, c = np.moveaxis(np.stack((x, y, w), 2), 1, 0)
    return (np.cross(a, b) * c).sum(1) > 0

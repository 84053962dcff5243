# SPDX-License-Identifier: GPL-3.0-or-later
"""Which handle or path is under the mouse. Pixels in, pixels out; the tolerance follows the interface's scale."""

from __future__ import annotations

import numpy as np
from bpy.types import PropertyGroup
from numpy.typing import NDArray

from . import handle_edits
from .framing import Framing
from .handle_edits import Target

HANDLE_PIXELS = 11.0  # at interface scale 1, from the middle of a handle
PATH_PIXELS = 6.0
DRAG_PIXELS = 4.0  # a press that moves less is a click
PATH_SAMPLES = 33


def under_mouse(
    settings: PropertyGroup, frame: Framing, x: float, y: float, scale: float
) -> tuple[Target | None, int | None]:
    """What the mouse would take: a handle, else a path; see `handle_at` and `path_at`."""
    handle = handle_at(settings, frame, x, y, scale)
    return handle, path_at(settings, frame, x, y, scale) if handle is None else None


def handle_at(settings: PropertyGroup, frame: Framing, x: float, y: float, scale: float) -> Target | None:
    """The nearest handle within reach; of those equally near the selected, then the later one in the path.

    Args:
        settings: the scene's drags.
        frame: where the still lies in the region.
        x, y: the mouse in the region, in pixels.
        scale: the interface's scale.
    """
    best, best_key = None, (HANDLE_PIXELS * scale, 0, 0)
    for index, drag in enumerate(settings.drags):
        if not len(drag.points):
            continue
        places = frame.to_region(handle_edits.stored_points(drag)[:, 1:])
        distances = np.hypot(places[:, 0] - x, places[:, 1] - y)
        for number, distance in enumerate(distances):
            key = (round(float(distance), 1), -int(drag.points[number].select), -number)
            if distance <= HANDLE_PIXELS * scale and key < best_key:
                best, best_key = (index, number), key
    return best


def handles_in(
    settings: PropertyGroup, frame: Framing, x: float, y: float, other_x: float, other_y: float
) -> list[Target]:
    """The handles between two corners in the region, in pixels."""
    low, high = np.minimum((x, y), (other_x, other_y)), np.maximum((x, y), (other_x, other_y))
    found = []
    for index, drag in enumerate(settings.drags):
        places = frame.to_region(handle_edits.stored_points(drag)[:, 1:])
        inside = np.all((places >= low) & (places <= high), axis=1)
        found += [(index, int(number)) for number in np.flatnonzero(inside)]
    return found


def path_at(settings: PropertyGroup, frame: Framing, x: float, y: float, scale: float) -> int | None:
    """The drag whose path is nearest within reach."""
    best, best_distance = None, PATH_PIXELS * scale
    for index, drag in enumerate(settings.drags):
        if len(drag.points) < 2:
            continue
        path = handle_edits.path_of(handle_edits.stored_points(drag), drag.ease, PATH_SAMPLES)
        distance = distance_to_path(frame.to_region(path), x, y)
        if distance <= best_distance:
            best, best_distance = index, distance
    return best


def distance_to_path(path: NDArray[np.float64], x: float, y: float) -> float:
    """Distance from a place to a polyline `[N, 2]`, N at least 1; infinite where none of it is finite."""
    begin, end = path[:-1], path[1:]
    along = end - begin
    length2 = np.maximum((along**2).sum(axis=1), 1e-12)
    u = np.clip(((np.array([x, y]) - begin) * along).sum(axis=1) / length2, 0.0, 1.0)
    nearest = begin + along * u[:, None]
    distances = np.hypot(nearest[:, 0] - x, nearest[:, 1] - y)
    distances = distances[np.isfinite(distances)]
    return float(distances.min()) if len(distances) else float("inf")

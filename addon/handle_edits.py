# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of stored drags: select, move, add points, duplicate, mirror, delete. No operator, no window.

A target is a pair (index of the drag, index of its point). Every edit checks first and changes nothing if it cannot
be done.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from bpy.types import PropertyGroup, Scene
from numpy.typing import NDArray

from ..backend.errors import InputError
from . import anchors, handles, still_status

Target = tuple[int, int]
MIN_TIME_GAP = 1e-3
COPIED = ("ease", "enabled", "hidden", "anchor", "anchor_name", "anchor_triangle", "anchor_triangles",
          "anchor_weights", "anchor_is_copy", "anchor_copy", "anchor_state")  # fmt: skip


def selected(settings: PropertyGroup) -> list[Target]:
    """The selected points, in list order."""
    return [
        (index, number)
        for index, drag in enumerate(settings.drags)
        for number, point in enumerate(drag.points)
        if point.select
    ]


def chosen_drags(settings: PropertyGroup) -> list[int]:
    """Indices of the drags with a selected point; the active drag where nothing is selected."""
    found = sorted({index for index, _ in selected(settings)})
    if not found and 0 <= settings.active_drag < len(settings.drags):
        return [settings.active_drag]
    return found


def all_points(settings: PropertyGroup, drags: Iterable[int]) -> list[Target]:
    """Every point of some drags."""
    return [(index, number) for index in drags for number in range(len(settings.drags[index].points))]


def check_targets(settings: PropertyGroup, targets: Sequence[Target]) -> None:
    """Raises `InputError` unless there are targets and all of them exist."""
    if not targets:
        raise InputError("no point is selected; click a handle first, or name the points, as in 0:1")
    for index, number in targets:
        if not 0 <= index < len(settings.drags):
            raise InputError(f"there is no drag {index}; the scene has {len(settings.drags)}")
        if not 0 <= number < len(settings.drags[index].points):
            drag = settings.drags[index]
            raise InputError(f'drag "{drag.name}" has no point {number}; it has {len(drag.points)}')


def parse_targets(settings: PropertyGroup, text: str) -> list[Target]:
    """Targets written as "0:1 2:0" (drag:point); the selected points for an empty text.

    Raises:
        InputError: another form, or a target that does not exist.
    """
    try:
        targets = [(int(index), int(number)) for index, number in (part.split(":") for part in text.split())]
    except ValueError:
        raise InputError(f'points must be written as "drag:point drag:point", not "{text}"') from None
    targets = targets if text.strip() else selected(settings)
    check_targets(settings, targets)
    return targets


def format_targets(targets: Iterable[Target]) -> str:
    """What `parse_targets` reads."""
    return " ".join(f"{index}:{number}" for index, number in targets)


def select(settings: PropertyGroup, targets: Sequence[Target], mode: str = "SET") -> None:
    """Change the selection: SET it to the targets, ADD or REMOVE them, or TOGGLE each."""
    if targets:
        check_targets(settings, targets)
    wanted = set(targets)
    for index, drag in enumerate(settings.drags):
        for number, point in enumerate(drag.points):
            is_target = (index, number) in wanted
            if mode == "SET":
                point.select = is_target
            elif is_target:
                point.select = mode == "ADD" or (mode == "TOGGLE" and not point.select)
    if targets and mode != "REMOVE":
        settings.active_drag = targets[-1][0]


def with_pins(settings: PropertyGroup, targets: Iterable[Target]) -> list[Target]:
    """The targets, and all points of the pins among them: a pin moves as a whole."""
    wanted = set(targets)
    for index in {index for index, _ in wanted}:
        if handles.is_pin(settings.drags[index]):
            wanted.update(all_points(settings, [index]))
    return sorted(wanted)


def clipped_offset(settings: PropertyGroup, targets: Iterable[Target], dx: float, dy: float) -> tuple[float, float]:
    """The offset, cut so that no start among the targets leaves the still: what moves together stays together."""
    starts = [settings.drags[index].points[0] for index, number in targets if number == 0]
    # Starts outside already (stored by a script) must not hold the others back.
    starts = [start for start in starts if 0.0 <= start.x <= 1.0 and 0.0 <= start.y <= 1.0]
    for start in starts:
        dx = min(max(dx, -start.x), 1.0 - start.x)
        dy = min(max(dy, -start.y), 1.0 - start.y)
    return dx, dy


def move(scene: Scene, targets: Sequence[Target], dx: float, dy: float) -> None:
    """Move points by an offset in parts of the still. Starts stick to what they come to lie on.

    Raises:
        InputError: a target does not exist, or the offset is not a number.
    """
    settings = scene.puppet_master
    check_targets(settings, targets)
    _check_finite("offset", dx, dy)
    dx, dy = clipped_offset(settings, targets, dx, dy)
    for index, number in targets:
        point = settings.drags[index].points[number]
        point.x, point.y = point.x + dx, point.y + dy
    if dx or dy:
        _stick_again(scene, {index for index, number in targets if number == 0})


def place(scene: Scene, target: Target, x: float, y: float) -> None:
    """Put one point somewhere.

    Raises:
        InputError: it does not exist, or it is a start and the place lies outside the still.
    """
    settings = scene.puppet_master
    check_targets(settings, [target])
    _check_finite("position", x, y)
    drag = settings.drags[target[0]]
    if target[1] == 0:
        _check_inside(f'drag "{drag.name}"', x, y)
    point = drag.points[target[1]]
    point.x, point.y = x, y
    if target[1] == 0:
        _stick_again(scene, {target[0]})


def add_point(scene: Scene, index: int, x: float, y: float, t: float | None = None) -> int:
    """Give a drag a point between start and end; returns its number.

    Args:
        scene: holds the drag.
        index: the drag.
        x, y: where the point is, in parts of the still.
        t: when the drag is there, in clip time; when the path is nearest to (x, y) if absent.

    Raises:
        InputError: no such drag, or there is no time left beside the drag's other points.
    """
    settings = scene.puppet_master
    check_targets(settings, [(index, 0)])
    _check_finite("position", x, y)
    drag = settings.drags[index]
    t = nearest_time(drag, x, y) if t is None else t
    times = [point.t for point in drag.points]
    number = int(np.searchsorted(times, t))
    if not times[0] < t < times[-1]:
        raise InputError(f'drag "{drag.name}": a point between must lie after t = {times[0]:g} and before '
                         f"t = {times[-1]:g}, not at {t:g}")  # fmt: skip
    if min(t - times[number - 1], times[number] - t) < MIN_TIME_GAP:
        raise InputError(f'drag "{drag.name}" has a point at t = {t:g} already; place the new one farther along')
    drag.points.add()
    drag.points.move(len(drag.points) - 1, number)
    point = drag.points[number]
    point.t, point.x, point.y, point.select = t, x, y, False
    return number


def nearest_time(drag: PropertyGroup, x: float, y: float, samples: int = 257) -> float:
    """When the drag's path is nearest to a place, in clip time, kept off its points."""
    times = np.linspace(0.0, 1.0, samples)
    path = path_of(stored_points(drag), drag.ease, samples)
    order = np.argsort(((path - (x, y)) ** 2).sum(axis=1), kind="stable")
    taken = np.array([point.t for point in drag.points])
    for index in order:
        if taken[0] < times[index] < taken[-1] and np.abs(taken - times[index]).min() >= MIN_TIME_GAP:
            return float(times[index])
    return float(times[order[0]])


def stored_points(drag: PropertyGroup) -> NDArray[np.float64]:
    """A drag's points as rows (t, x, y)."""
    return np.array([(point.t, point.x, point.y) for point in drag.points], dtype=np.float64).reshape(-1, 3)


def path_of(points: NDArray[np.float64], ease: str, samples: int) -> NDArray[np.float64]:
    """The path through points (t, x, y) at evenly spaced times, `[samples, 2]`; the points where they are no drag."""
    try:
        drag = handles.Drag("path", tuple(handles.DragPoint(*map(float, point)) for point in points), ease)
    except InputError:
        return points[:, 1:]
    return drag.resample(samples).astype(np.float64)


def delete(scene: Scene, targets: Sequence[Target]) -> int:
    """Delete points between; with a start or end the whole drag. Returns how many drags went.

    Raises:
        InputError: a target does not exist.
    """
    settings = scene.puppet_master
    check_targets(settings, targets)
    whole = {index for index, number in targets if number in (0, len(settings.drags[index].points) - 1)}
    for index, number in sorted(targets, reverse=True):
        if index not in whole:
            settings.drags[index].points.remove(number)
    for index in sorted(whole, reverse=True):
        handles.remove_drag(scene, index)
    return len(whole)


def duplicate(scene: Scene, drags: Sequence[int], dx: float = 0.0, dy: float = 0.0) -> list[int]:
    """Copy drags, moved by an offset; returns the copies' indices, which are selected then.

    Raises:
        InputError: a drag does not exist.
    """
    settings = scene.puppet_master
    check_targets(settings, [(index, 0) for index in drags])
    copies = [_copy(settings, index) for index in drags]
    select(settings, all_points(settings, copies))
    if dx or dy:
        move(scene, all_points(settings, copies), dx, dy)
    return copies


def mirror(scene: Scene, drags: Sequence[int], axis: str, about: str, copy: bool) -> list[int]:
    """Mirror drags in the image; returns the indices of the mirrored ones, which are selected then.

    Args:
        scene: holds the drags.
        drags: indices.
        axis: "X" swaps left and right, "Y" up and down.
        about: "STILL", its middle, or "OBJECT", the middle of the object that the drag's start sticks to.
        copy: keep the originals.

    Raises:
        InputError: a drag does not exist, knows of no object, or would start outside the still.
    """
    settings = scene.puppet_master
    check_targets(settings, [(index, 0) for index in drags])
    column = 0 if axis == "X" else 1
    middles = {index: _middle(scene, settings.drags[index], about)[column] for index in drags}
    for index, middle in middles.items():
        start = settings.drags[index].points[0]
        mirrored = [start.x, start.y]
        mirrored[column] = 2.0 * middle - mirrored[column]
        _check_inside(f'drag "{settings.drags[index].name}", mirrored,', *mirrored)
    results = []
    for index, middle in middles.items():
        result = _copy(settings, index) if copy else index
        for point in settings.drags[result].points:
            if axis == "X":
                point.x = 2.0 * middle - point.x
            else:
                point.y = 2.0 * middle - point.y
        results.append(result)
    _stick_again(scene, results)
    select(settings, all_points(settings, results))
    return results


def _copy(settings: PropertyGroup, index: int) -> int:
    name = handles.free_name(settings.drags[index].name, {drag.name for drag in settings.drags})
    colour = handles.free_colour(settings)
    settings.drags.add()  # may move the others in memory: they are looked up again below
    source, copy = settings.drags[index], settings.drags[len(settings.drags) - 1]
    copy.name, copy.color = name, colour
    for key in COPIED:
        setattr(copy, key, getattr(source, key))
    for point in source.points:
        added = copy.points.add()
        added.t, added.x, added.y = point.t, point.x, point.y
    return len(settings.drags) - 1


def _middle(scene: Scene, drag: PropertyGroup, about: str) -> tuple[float, float]:
    if about == "STILL":
        return 0.5, 0.5
    if drag.anchor is None:
        raise InputError(f'drag "{drag.name}" sticks to no object; mirror it about the still')
    if drag.anchor_is_copy:
        raise InputError(f'drag "{drag.name}" sticks to a copy; mirror it about the still')
    depsgraph = still_status.depsgraph_of(scene)
    evaluated = drag.anchor.evaluated_get(depsgraph)
    matrix = np.array(evaluated.matrix_world, dtype=np.float64)
    middle = matrix[:3, :3] @ np.array(evaluated.bound_box, dtype=np.float64).mean(axis=0) + matrix[:3, 3]
    position = still_status.view_of(scene, depsgraph).project(middle)[0][0]
    if not np.all(np.isfinite(position)):
        raise InputError(f'object "{drag.anchor.name}" lies behind the camera; mirror about the still')
    return float(position[0]), float(position[1])


def _stick_again(scene: Scene, drags: Iterable[int]) -> None:
    settings = scene.puppet_master
    for index in drags:
        if settings.stick:
            anchors.stick(scene, settings.drags[index])
        else:
            anchors.release(settings.drags[index])


def _check_finite(what: str, x: float, y: float) -> None:
    if not (np.isfinite(x) and np.isfinite(y)):
        raise InputError(f"{what} ({x:g}, {y:g}) must be two finite numbers")


def _check_inside(label: str, x: float, y: float) -> None:
    if not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):
        raise InputError(f"{label} would start at ({x:.4g}, {y:.4g}), outside the still; "
                         "x and y of a start must lie in 0 to 1")  # fmt: skip

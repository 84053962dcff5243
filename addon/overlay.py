# SPDX-License-Identifier: GPL-3.0-or-later
"""The drags drawn over the still: in the scene camera's view and in the Image Editor.

A start is a ring (with a dot in it where it sticks to a surface, broken by a cross where its surface is lost), points
between are small discs, the end is a disc with an arrow; a pin is a square. Small ticks are the preview's frames.
"""

from __future__ import annotations

import bpy
import numpy as np
from bpy.types import Context, PropertyGroup, SpaceImageEditor, SpaceView3D
from numpy.typing import NDArray

from . import feedback, framing, handle_edits, outcome_overlay, pace, scene_settings
from .batches import Batches, draw_label
from .framing import Framing
from .shapes import Colour, Shapes

PATH_SAMPLES = 49
MIN_TICK_PIXELS = 5.0
OUTLINE: Colour = (0.0, 0.0, 0.0, 0.65)
SELECTED: Colour = (1.0, 1.0, 1.0, 1.0)
FAULT: Colour = (1.0, 0.25, 0.2, 1.0)
START, BETWEEN, END, TICK = 6.0, 4.5, 5.5, 1.5  # radii in pixels at interface scale 1
ARROW = 9.0  # length of the arrow head beyond the end's disc
NEW_COLOUR = (1.0, 1.0, 1.0)

_batches = Batches()
_handles: list[tuple[type, object]] = []


def draw(context: Context) -> None:
    """Draw the scene's drags into the context's region, if the still is seen there."""
    scene = context.scene
    settings = getattr(scene, "puppet_master", None)
    if settings is None or not settings.show_handles or not framing.shows_overlays(context):
        return
    if not len(settings.drags) and feedback.current.added is None:
        return
    frame = framing.of_context(context)
    if frame is None:
        return
    scale = context.preferences.system.ui_scale
    _batches.draw(_drawn_state(settings, frame, scale), lambda: _shapes(settings, frame, scale))
    if 0 <= settings.active_drag < len(settings.drags):
        _draw_name(frame, scale, settings.drags[settings.active_drag])


def _drawn_state(settings: PropertyGroup, frame: Framing, scale: float) -> tuple:
    """All that the picture depends on: an equal one need not be built again."""
    drags = tuple(
        (handle_edits.stored_points(drag).tobytes(), tuple(point.select for point in drag.points), drag.ease,
         drag.enabled, tuple(drag.color), drag.anchor_state)
        for drag in settings.drags
    )  # fmt: skip
    now = feedback.current
    edit = (tuple(now.moved.items()), now.added, now.inserted, now.hovered, now.hovered_path, now.box)
    return frame, scale, scene_settings.preview_frames(settings), drags, edit


def _shapes(settings: PropertyGroup, frame: Framing, scale: float) -> Shapes:
    shapes, frames = Shapes(), scene_settings.preview_frames(settings)
    for index, drag in enumerate(settings.drags):
        _add_drag(shapes, frame, scale, index, drag, frames)
    if feedback.current.added is not None:
        points = np.array([(t, *place) for t, place in zip((0.0, 1.0), feedback.current.added, strict=True)])
        _add_path(shapes, frame.to_region(handle_edits.path_of(points, "linear", 2)), (*NEW_COLOUR, 1.0), scale)
        _add_handles(shapes, frame.to_region(points[:, 1:]), (*NEW_COLOUR, 1.0), scale)
    if feedback.current.box is not None:
        left, low, right, high = feedback.current.box
        corners = np.array([[left, low], [right, low], [right, high], [left, high]])
        shapes.polygon(corners, (*NEW_COLOUR, 0.08))
        shapes.line(np.concatenate([corners, corners[:1]]), 1.5 * scale, (*NEW_COLOUR, 0.8))
    return shapes


def _add_drag(
    shapes: Shapes, frame: Framing, scale: float, index: int, drag: PropertyGroup, frames: int
) -> None:
    points = drawn_points(index, drag)
    if not len(points):
        return
    alpha = 1.0 if drag.enabled else 0.35
    colour = (*drag.color, alpha)
    places = frame.to_region(points[:, 1:])
    pin = bool(np.all(points[:, 1:] == points[0, 1:]))
    if not pin:
        hovered = feedback.current.hovered_path == index
        path = frame.to_region(handle_edits.path_of(points, drag.ease, PATH_SAMPLES))
        _add_path(shapes, path, colour, scale, 1.5 if hovered else 1.0)
        _add_ticks(shapes, frame.to_region(handle_edits.path_of(points, drag.ease, frames)), alpha, scale)
    _add_handles(shapes, places, colour, scale, index, drag, pin)


def drawn_points(index: int, drag: PropertyGroup) -> NDArray[np.float64]:
    """A drag's points as rows (t, x, y), with what is being edited where it is now."""
    points = handle_edits.stored_points(drag)
    for number in range(len(points)):
        if (place := feedback.current.moved.get((index, number))) is not None:
            points[number, 1:] = place
    inserted = feedback.current.inserted
    if inserted is not None and inserted[0] == index:
        row = int(np.searchsorted(points[:, 0], inserted[1]))
        points = np.insert(points, row, (inserted[1], *inserted[2]), axis=0)
    return points


def _add_path(
    shapes: Shapes, path: NDArray[np.float64], colour: Colour, scale: float, thickness: float = 1.0
) -> None:
    shapes.line(path, 4.0 * scale * thickness, (*OUTLINE[:3], OUTLINE[3] * colour[3]))
    shapes.line(path, 2.0 * scale * thickness, colour)
    _add_arrow(shapes, path, colour, scale)


def _add_arrow(shapes: Shapes, path: NDArray[np.float64], colour: Colour, scale: float) -> None:
    """An arrow head just beyond the end handle, along the path's last stretch."""
    tip = path[-1]
    away = np.hypot(*(path - tip).T)
    before = path[away > 3.0 * scale]
    if not len(before) or not np.all(np.isfinite(tip)):
        return
    along = (tip - before[-1]) / np.hypot(*(tip - before[-1]))
    across = np.array([-along[1], along[0]])
    base = tip + along * (END + 1.0) * scale
    for grow, fill in ((2.0, (*OUTLINE[:3], OUTLINE[3] * colour[3])), (0.0, colour)):
        half = across * (ARROW * 0.6 + grow) * scale
        back = base - along * grow * 0.5 * scale
        nose = base + along * (ARROW + grow * 1.5) * scale
        shapes.polygon(np.array([nose, back + half, back - half]), fill)


def _add_ticks(shapes: Shapes, places: NDArray[np.float64], alpha: float, scale: float) -> None:
    if len(places) < 3 or not np.all(np.isfinite(places)):
        return
    steps = np.hypot(*np.diff(places, axis=0).T)
    every = max(1, int(np.ceil(MIN_TICK_PIXELS * scale / max(float(np.median(steps)), 1e-3))))
    shapes.discs(places[every:-1:every], (TICK + 1.0) * scale, (*OUTLINE[:3], alpha * 0.8))
    shapes.discs(places[every:-1:every], TICK * scale, (1.0, 1.0, 1.0, alpha))


def _add_handles(
    shapes: Shapes,
    places: NDArray[np.float64],
    colour: Colour,
    scale: float,
    index: int = -1,
    drag: PropertyGroup | None = None,
    pin: bool = False,
) -> None:
    """The handles of one drag, the start last, so that it lies on top."""
    last = len(places) - 1
    for number in (0,) if pin else range(last, -1, -1):
        place = tuple(places[number])
        if not np.all(np.isfinite(place)):
            continue
        is_selected = drag is not None and number < len(drag.points) and drag.points[number].select
        rim = SELECTED if is_selected else (*OUTLINE[:3], 0.9 * colour[3])
        grow = 1.35 if feedback.current.hovered == (index, number) and index >= 0 else 1.0
        size = scale * grow
        if pin:
            _add_square(shapes, places[0], (START + 1.5) * size, rim)
            _add_square(shapes, places[0], START * size, colour)
            _add_start_mark(shapes, place, size, drag, OUTLINE)
        elif number == 0:
            shapes.ring(place, START * size, 4.5 * size, rim)
            shapes.ring(place, START * size, 2.0 * size, colour)
            _add_start_mark(shapes, place, size, drag, colour)
        else:
            radius = END if number == last else BETWEEN
            shapes.disc(place, (radius + 1.5) * size, rim)
            shapes.disc(place, radius * size, colour)


def _add_start_mark(
    shapes: Shapes, place: tuple[float, float], size: float, drag: PropertyGroup | None, colour: Colour
) -> None:
    """What a start sticks to: a dot for a surface, a red cross for a lost one, nothing for the image."""
    if drag is None or drag.anchor_state == "NONE":
        return
    if drag.anchor_state == "STUCK":
        shapes.disc(place, 2.2 * size, colour)
        return
    arm = np.array([[-4.0, -4.0], [4.0, 4.0]]) * size
    for turn in (np.array([1.0, 1.0]), np.array([1.0, -1.0])):
        shapes.line(arm * turn + place, 2.5 * size, FAULT)


def _add_square(shapes: Shapes, place: NDArray[np.float64], half: float, colour: Colour) -> None:
    corners = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]) * half + place
    shapes.polygon(corners, colour)


def _draw_name(frame: Framing, scale: float, drag: PropertyGroup) -> None:
    """The active drag's name beside its start."""
    if not len(drag.points):
        return
    x, y = frame.to_region(np.array([[drag.points[0].x, drag.points[0].y]]))[0]
    if not (np.isfinite(x) and np.isfinite(y)):
        return
    draw_label(x + 12.0 * scale, y + 9.0 * scale, drag.name, scale)


def _on_draw() -> None:
    with pace.measured("drawing handles"):
        draw(bpy.context)
    with pace.measured("drawing outcomes"):
        outcome_overlay.draw(bpy.context)


def register() -> None:
    """Draw in every 3D viewport and Image Editor from now on, in files opened later too."""
    for space in (SpaceView3D, SpaceImageEditor):
        _handles.append((space, space.draw_handler_add(_on_draw, (), "WINDOW", "POST_PIXEL")))


def unregister() -> None:
    """Stop drawing."""
    while _handles:
        space, handle = _handles.pop()
        space.draw_handler_remove(handle, "WINDOW")
    feedback.current.clear()
    _batches.clear()
    outcome_overlay.forget()

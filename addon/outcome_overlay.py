# SPDX-License-Identifier: GPL-3.0-or-later
"""The chosen preview's outcome drawn over the still: where each dragged point went, coloured by how far off that is.

The path asked for is a thin white line; the path reached runs from green (as asked) to red, a dot for each frame, a
large one for the frame shown, with a line to where it was asked to be. Beside the end stands how far off that is; a
label that found no room there has a thin line to its end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from bpy.types import Context
from numpy.typing import NDArray

from . import framing, labels, outcome, playback
from .batches import Batches, draw_label, label_size
from .framing import Framing
from .outcome import Outcome
from .shapes import Colour, Shapes

ASKED: Colour = (1.0, 1.0, 1.0, 0.85)
OUTLINE: Colour = (0.0, 0.0, 0.0, 0.7)
# Green, yellow, red: by badness 0, 0.5 and 1.
RAMP = np.array([(0.15, 0.85, 0.35), (1.0, 0.8, 0.1), (1.0, 0.2, 0.15)])
# In pixels at interface scale 1: width and radii; a label's place beside its end, how far labels keep off ends and each
# other, and from how far a line leads to one.
LINE, DOT, NOW = 2.5, 2.2, 5.0
BESIDE, KEEP_OFF, APART, FAR = (9.0, -16.0), 6.0, 3.0, 14.0

_batches = Batches()


@dataclass(frozen=True)
class Label:
    """How far off one drag's end is: a text, its lower left corner and its size, and the end, in pixels."""

    text: str
    corner: tuple[float, float]
    size: tuple[float, float]
    end: tuple[float, float]


def draw(context: Context) -> None:
    """Draw the outcome into the context's region, if it is asked for and the still is seen there."""
    settings = getattr(context.scene, "puppet_master_preview", None)
    if settings is None or not settings.show_outcome or settings.shown == playback.NOTHING:
        return
    if not framing.shows_overlays(context):
        return
    found, frame = outcome.of_scene(context.scene), framing.of_context(context)
    if not found or frame is None:
        return
    scale = context.preferences.system.ui_scale
    now = context.scene.frame_current - settings.history[settings.active_entry].frame
    region = context.region.width, context.region.height
    placed = place_labels(found, frame, scale, region)
    _batches.draw((id(found), frame, scale, now, region), lambda: shapes(found, frame, scale, now, placed))
    for label in placed:
        draw_label(*label.corner, label.text, scale)


def place_labels(
    found: tuple[Outcome, ...], frame: Framing, scale: float, region: tuple[float, float]
) -> tuple[Label, ...]:
    """The labels of the ends that lie in a region of this width and height, none over another."""
    ends = [(one, tuple(map(float, frame.to_region(one.reached[-1:])[0]))) for one in found]
    ends = [(f"{one.at_end:.1%}", (x, y)) for one, (x, y) in ends if 0.0 <= x <= region[0] and 0.0 <= y <= region[1]]
    sizes = tuple(label_size(text, scale) for text, _ in ends)
    beside = BESIDE[0] * scale, BESIDE[1] * scale
    corners = labels.place(tuple(end for _, end in ends), sizes, region, beside, KEEP_OFF * scale, APART * scale)
    return tuple(Label(text, *at, end) for (text, end), at in zip(ends, zip(corners, sizes, strict=True), strict=True))


def shapes(
    found: tuple[Outcome, ...], frame: Framing, scale: float, now: int, placed: tuple[Label, ...] = ()
) -> Shapes:
    """The picture: `frame` says where the still lies, `now` which of the preview's frames is shown."""
    drawn = Shapes()
    for one in found:
        asked, reached = frame.to_region(one.asked), frame.to_region(one.reached)
        drawn.line(asked, (LINE + 1.0) * scale, OUTLINE)
        drawn.line(asked, 1.2 * scale, ASKED)
        drawn.line(reached, (LINE + 2.0) * scale, OUTLINE)
        for index in range(1, len(reached)):
            drawn.line(reached[index - 1 : index + 1], LINE * scale, _colour(one.off[index]))
        drawn.discs(reached, (DOT + 1.0) * scale, OUTLINE)
        for place, off in zip(reached, one.off, strict=True):
            drawn.disc(place, DOT * scale, _colour(off))
        _add_now(drawn, asked, reached, one.off, int(np.clip(now, 0, len(reached) - 1)), scale)
    for label in placed:
        _add_leader(drawn, label, scale)
    return drawn


def forget() -> None:
    """Build and read everything anew."""
    _batches.clear()
    outcome.forget()


def _add_leader(drawn: Shapes, label: Label, scale: float) -> None:
    """A line from an end to its label, if that lies far off."""
    line = np.array([label.end, labels.nearest_point(label.corner, label.size, label.end)])
    if np.hypot(*(line[1] - line[0])) > FAR * scale:
        drawn.line(line, 2.6 * scale, OUTLINE)
        drawn.line(line, 1.0 * scale, ASKED)


def _add_now(
    drawn: Shapes,
    asked: NDArray[np.float64],
    reached: NDArray[np.float64],
    off: NDArray[np.float64],
    now: int,
    scale: float,
) -> None:
    drawn.line(np.stack([asked[now], reached[now]]), 1.5 * scale, _colour(off[now]))
    drawn.ring(tuple(asked[now]), NOW * scale, 3.0 * scale, OUTLINE)
    drawn.ring(tuple(asked[now]), NOW * scale, 1.2 * scale, ASKED)
    drawn.disc(tuple(reached[now]), (NOW + 1.5) * scale, OUTLINE)
    drawn.disc(tuple(reached[now]), NOW * scale, _colour(off[now]))


def _colour(off: float) -> Colour:
    bad = float(outcome.badness(np.array(off)))
    return (*(float(np.interp(bad, (0.0, 0.5, 1.0), RAMP[:, channel])) for channel in range(3)), 1.0)

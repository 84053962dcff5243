# SPDX-License-Identifier: GPL-3.0-or-later
"""The chosen preview's outcome drawn over the still: where each dragged point went, coloured by how far off that is.

The path asked for is a thin white line; the path reached runs from green (as asked) to red, a dot for each frame, a
large one for the frame shown, with a line to where it was asked to be.
"""

from __future__ import annotations

import numpy as np
from bpy.types import Context
from numpy.typing import NDArray

from . import framing, outcome, playback
from .batches import Batches, draw_label
from .framing import Framing
from .outcome import Outcome
from .shapes import Colour, Shapes

ASKED: Colour = (1.0, 1.0, 1.0, 0.85)
OUTLINE: Colour = (0.0, 0.0, 0.0, 0.7)
# Green, yellow, red: by badness 0, 0.5 and 1.
RAMP = np.array([(0.15, 0.85, 0.35), (1.0, 0.8, 0.1), (1.0, 0.2, 0.15)])
LINE, DOT, NOW = 2.5, 2.2, 5.0  # width and radii in pixels at interface scale 1

_batches = Batches()


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
    _batches.draw((id(found), frame, scale, now), lambda: shapes(found, frame, scale, now))
    for one in found:
        x, y = frame.to_region(one.reached[-1:])[0]
        draw_label(x + 9.0 * scale, y - 16.0 * scale, f"{one.at_end:.1%}", scale)


def shapes(found: tuple[Outcome, ...], frame: Framing, scale: float, now: int) -> Shapes:
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
    return drawn


def forget() -> None:
    """Build and read everything anew."""
    _batches.clear()
    outcome.forget()


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

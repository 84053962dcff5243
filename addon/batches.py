# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes on the GPU, built once for what they show, and short texts beside them."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import blf
import gpu
from gpu.types import GPUBatch, GPUShader
from gpu_extras.batch import batch_for_shader

from .shapes import Colour, Shapes

MOST_KEPT = 8
FONT = 0
TEXT_SIZE = 11.0  # at interface scale 1
WHITE: Colour = (1.0, 1.0, 1.0, 1.0)
DARK: Colour = (0.0, 0.0, 0.0, 0.8)
# Offsets of a label's dark copies, in pixels at interface scale 1: with the corners, so that white shows on white.
RIM = tuple((across, up) for across in (-1.2, 0.0, 1.2) for up in (-1.2, 0.0, 1.2) if (across, up) != (0.0, 0.0))


class Batches:
    """What was drawn lately: nothing that outlives the session, and nothing that cannot be built again."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, GPUBatch] = {}

    def draw(self, key: Hashable, build: Callable[[], Shapes]) -> None:
        """Draw what `build` gives; an equal `key` means that it would give the same as before."""
        if key not in self._kept:
            while len(self._kept) >= MOST_KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = _batch(build())
        gpu.state.blend_set("ALPHA")
        self._kept[key].draw(_shader())
        gpu.state.blend_set("NONE")

    def clear(self) -> None:
        """Build everything anew."""
        self._kept.clear()


def label_size(text: str, scale: float) -> tuple[float, float]:
    """Width and height of a label without its rim, in pixels."""
    blf.size(FONT, TEXT_SIZE * scale)
    return blf.dimensions(FONT, text)


def draw_label(x: float, y: float, text: str, scale: float, colour: Colour = WHITE) -> None:
    """A text with a dark rim, to be read on white too; its lower left corner at a region position, in pixels."""
    blf.size(FONT, TEXT_SIZE * scale)
    for across, up in (*RIM, (0.0, 0.0)):
        blf.color(FONT, *(colour if (across, up) == (0.0, 0.0) else DARK))
        blf.position(FONT, x + across * scale, y + up * scale, 0.0)
        blf.draw(FONT, text)


def _batch(shapes: Shapes) -> GPUBatch:
    positions, colours = shapes.arrays()
    return batch_for_shader(_shader(), "TRIS", {"pos": positions, "color": colours})


def _shader() -> GPUShader:
    return gpu.shader.from_builtin("SMOOTH_COLOR")

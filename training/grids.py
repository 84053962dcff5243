# SPDX-License-Identifier: GPL-3.0-or-later
"""Sample grids: film strips, one below the other, with the drags drawn on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

GAP = 4
COLOURS = ((230, 60, 40), (40, 120, 230), (30, 170, 80), (220, 160, 20), (160, 60, 200))
WHITE = (255, 255, 255)
SMALLEST = 64  # smaller frames are enlarged for the eye


@dataclass(frozen=True)
class Strip:
    """A row of a grid.

    Attributes:
        frames: uint8 `[N, H, W, 3]`.
        drags: `[K, N, 2]`, normalised; may be empty.
    """

    frames: NDArray[np.uint8]
    drags: NDArray[np.float32]


def draw_grid(strips: Sequence[Strip]) -> Image.Image:
    """All strips as one picture: in each frame the drags' paths, and where they are now."""
    rows = [_draw_strip(strip) for strip in strips]
    width, height = max(row.width for row in rows), sum(row.height + GAP for row in rows) - GAP
    grid = Image.new("RGB", (width, height), WHITE)
    top = 0
    for row in rows:
        grid.paste(row, (0, top))
        top += row.height + GAP
    return grid


def _draw_strip(strip: Strip) -> Image.Image:
    count, height, width = strip.frames.shape[:3]
    factor = max(1, -(-SMALLEST // min(height, width)))
    width, height = width * factor, height * factor
    row = Image.new("RGB", (count * (width + GAP) - GAP, height), WHITE)
    for index, frame in enumerate(strip.frames):
        image = Image.fromarray(frame).resize((width, height), Image.Resampling.NEAREST)
        _draw_drags(ImageDraw.Draw(image), strip.drags * (width, height), index)
        row.paste(image, (index * (width + GAP), 0))
    return row


def _draw_drags(draw: ImageDraw.ImageDraw, paths: NDArray[np.float64], index: int) -> None:
    for number, path in enumerate(paths):
        colour = COLOURS[number % len(COLOURS)]
        draw.line([tuple(place) for place in path], fill=colour)
        x, y = path[index]
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour, outline=WHITE)

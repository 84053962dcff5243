# SPDX-License-Identifier: GPL-3.0-or-later
"""The contact sheet: all frames of a preview side by side, numbered, the drags drawn on the first."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .protocol import Drag

CELL = 256  # longer side of a frame on the sheet, pixels
SMALL_CELL = 128  # the same on sheets of many frames
MANY_FRAMES = 49
COLUMNS = 7
MARGIN = 24
GAP = 12
CAPTION = 26
BACKGROUND = (27, 28, 31)
TEXT = (168, 171, 178)
HALO = (255, 255, 255, 235)
PALETTE = (
    (235, 87, 42), (0, 122, 204), (0, 158, 96), (178, 58, 178), (214, 158, 0), (0, 172, 186), (205, 40, 84),
    (104, 84, 214),
)  # fmt: skip
PATH_POINTS = 96
LINE, DOT, RING, HEAD, EDGE = 2.6, 4.6, 8.4, 12.0, 1.6  # pixels on a 256-pixel frame
SUPERSAMPLING = 4

Path2D = list[tuple[float, float]]


def contact_sheet(
    frames: NDArray[np.uint8], drags: Sequence[Drag], caption: str = ""
) -> NDArray[np.uint8]:
    """Draw the sheet.

    Args:
        frames: uint8 `[N, H, W, 3]`.
        drags: drawn on frame 0: a dot at the start, the path, an arrow head at its end; pins as ringed dots.
        caption: a line above the frames; the drags' names stand beside it.

    Returns:
        uint8 `[height, width, 3]`.
    """
    rows = math.ceil(len(frames) / COLUMNS)
    columns = math.ceil(len(frames) / rows)
    width, height = _cell_size(frames)
    sheet = Image.new(
        "RGB",
        (
            2 * MARGIN + columns * width + (columns - 1) * GAP,
            2 * MARGIN + CAPTION + rows * (height + CAPTION) + (rows - 1) * GAP,
        ),
        BACKGROUND,
    )
    draw = ImageDraw.Draw(sheet)
    _draw_caption(draw, sheet.width, drags, caption)
    for index, frame in enumerate(frames):
        left, top = cell_origin(index, columns, width, height)
        image = Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS)
        sheet.paste(draw_drags(image, drags) if index == 0 else image, (left, top))
        draw.text((left, top + height + 6), str(index), TEXT, _font(13))
    return np.asarray(sheet)


def cell_origin(index: int, columns: int, width: int, height: int) -> tuple[int, int]:
    """Left and top pixel of frame `index` on a sheet whose cells are `width` x `height`."""
    row, column = divmod(index, columns)
    return MARGIN + column * (width + GAP), MARGIN + CAPTION + row * (height + CAPTION + GAP)


def draw_drags(image: Image.Image, drags: Sequence[Drag]) -> Image.Image:
    """`image` (RGB) with the drags on it, anti-aliased, each in its colour with a light halo."""
    size = (image.width * SUPERSAMPLING, image.height * SUPERSAMPLING)
    overlay = Image.new("RGBA", size, (*HALO[:3], 0))
    scale = max(size) / CELL
    draw = ImageDraw.Draw(overlay)
    for index, drag in enumerate(drags):
        _draw_drag(draw, drag, size, PALETTE[index % len(PALETTE)], scale)
    overlay = overlay.reduce(SUPERSAMPLING)
    return Image.alpha_composite(image.convert("RGBA"), overlay).convert("RGB")


def _draw_drag(
    draw: ImageDraw.ImageDraw, drag: Drag, size: tuple[int, int], colour: tuple[int, int, int], scale: float
) -> None:
    path = _visible_path(drag, size)
    start = path[0]
    if drag.is_pin:
        _dot(draw, start, (RING + EDGE) * scale, HALO)
        _dot(draw, start, RING * scale, (*colour, 255))
        _dot(draw, start, (RING - LINE) * scale, HALO)
        _dot(draw, start, DOT * 0.75 * scale, (*colour, 255))
        return
    line, head = _arrow(path, HEAD * scale)
    # A short drag gets a smaller dot, so that its arrow is still seen.
    dot = min(DOT * scale, 0.4 * max(math.dist(start, place) for place in path))
    for grow, ink in ((EDGE * scale, HALO), (0.0, (*colour, 255))):
        if len(line) > 1:
            draw.line(line, ink, round(LINE * scale + 2 * grow), joint="curve")
        draw.polygon(_grown(head, grow), ink)
        _dot(draw, start, dot + grow, ink)


def _visible_path(drag: Drag, size: tuple[int, int]) -> Path2D:
    """The path in pixels of `size`, up to where it leaves the still for good."""
    places = drag.resample(PATH_POINTS)
    inside = np.flatnonzero(((places >= 0) & (places <= 1)).all(axis=1))
    return [(float(x), float(y)) for x, y in places[: inside[-1] + 1] * np.float32(size)]


def _arrow(path: Path2D, length: float) -> tuple[Path2D, Path2D]:
    """The line up to the arrow head, and the head's triangle (tip first), at most `length` long."""
    tip = path[-1]
    # A short drag gets a smaller head, so that the direction stays readable.
    length = min(length, 0.6 * max(math.dist(tip, place) for place in path) or 1.0)
    back = max(
        (i for i, place in enumerate(path) if math.dist(tip, place) >= length), default=0
    )
    x, y = path[back]
    reach = math.dist(tip, (x, y)) or 1.0
    along = ((tip[0] - x) / reach, (tip[1] - y) / reach)
    base = (tip[0] - along[0] * length, tip[1] - along[1] * length)
    half = 0.45 * length
    corners = [
        (base[0] - along[1] * half, base[1] + along[0] * half),
        (base[0] + along[1] * half, base[1] - along[0] * half),
    ]
    inner = (tip[0] - along[0] * length * 0.6, tip[1] - along[1] * length * 0.6)
    return [*path[: back + 1], inner], [tip, *corners]


def _grown(triangle: Path2D, by: float) -> Path2D:
    """The triangle's corners moved out from its centre, edges about `by` farther away."""
    centre = (sum(x for x, _ in triangle) / 3, sum(y for _, y in triangle) / 3)
    grown = []
    for x, y in triangle:
        reach = math.dist(centre, (x, y)) or 1.0
        factor = 1 + 2 * by / reach
        grown.append((centre[0] + (x - centre[0]) * factor, centre[1] + (y - centre[1]) * factor))
    return grown


def _dot(
    draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, ink: tuple[int, ...]
) -> None:
    x, y = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), ink)


def _draw_caption(draw: ImageDraw.ImageDraw, width: int, drags: Sequence[Drag], caption: str) -> None:
    font = _font(14)
    draw.text((MARGIN, MARGIN - 4), caption, TEXT, font)
    right = width - MARGIN
    left = MARGIN + draw.textlength(caption, font) + 2 * GAP
    for index, drag in reversed(list(enumerate(drags))):
        name = f"{drag.name} (pin)" if drag.is_pin and "pin" not in drag.name else drag.name
        needed = draw.textlength(name, font) + 18
        if right - needed < left:
            continue
        draw.text((right - needed + 18, MARGIN - 4), name, TEXT, font)
        _dot(draw, (right - needed + 8, MARGIN + 5), 5, PALETTE[index % len(PALETTE)])
        right -= needed + 2 * GAP


def _cell_size(frames: NDArray[np.uint8]) -> tuple[int, int]:
    height, width = frames.shape[1:3]
    scale = (SMALL_CELL if len(frames) > MANY_FRAMES else CELL) / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)

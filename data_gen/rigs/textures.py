# SPDX-License-Identifier: GPL-3.0-or-later
"""Procedural image textures in plain numpy.

Each maker takes a numpy Generator and gives sRGB pixels, float32 `[size, size, 3]` in [0, 1], row 0 at
the bottom (Blender's order). Those meant for box mapping tile without a seam.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
Color = tuple[float, float, float]

SIZE = 128


def hsv(hue: float, saturation: float, value: float) -> Color:
    """A colour from hue, saturation and value, all in [0, 1]."""
    return colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))


def wood_color(rng: np.random.Generator) -> Color:
    """Beech to walnut."""
    return hsv(rng.uniform(0.04, 0.115), rng.uniform(0.25, 0.75), rng.uniform(0.4, 0.95))


def paint_color(rng: np.random.Generator) -> Color:
    """White, greys and muted paints often, strong colours sometimes."""
    choice = rng.random()
    if choice < 0.35:
        return hsv(rng.random(), rng.uniform(0.0, 0.06), rng.uniform(0.55, 0.95))
    if choice < 0.5:
        return hsv(rng.random(), rng.uniform(0.0, 0.1), rng.uniform(0.25, 0.55))
    if choice < 0.75:
        return hsv(rng.random(), rng.uniform(0.1, 0.45), rng.uniform(0.45, 0.9))
    return hsv(rng.random(), rng.uniform(0.45, 0.95), rng.uniform(0.35, 0.9))


def value_noise(rng: np.random.Generator, cells_x: int, cells_y: int, size: int = SIZE) -> Pixels:
    """Smooth tileable noise `[size, size]` in [0, 1] with the given number of cells across and up."""
    grid = rng.random((cells_y, cells_x)).astype(np.float32)
    rows, row_mix = _lattice(cells_y, size)
    columns, column_mix = _lattice(cells_x, size)
    above, right = (rows + 1) % cells_y, (columns + 1) % cells_x
    low = grid[rows][:, columns] * (1 - column_mix) + grid[rows][:, right] * column_mix
    high = grid[above][:, columns] * (1 - column_mix) + grid[above][:, right] * column_mix
    return low * (1 - row_mix[:, None]) + high * row_mix[:, None]


def _lattice(cells: int, size: int) -> tuple[NDArray[np.intp], Pixels]:
    """For each pixel of an axis: the lattice point before it and the smoothed way to the next."""
    at = np.arange(size) * (cells / size)
    before = at.astype(np.intp)
    way = (at - before).astype(np.float32)
    return before, way * way * (3 - 2 * way)


def _shade(color: Color, factor: NDArray[np.floating]) -> Pixels:
    """The colour multiplied by a factor map `[size, size]`."""
    return np.clip(np.asarray(color, np.float32) * factor[..., None], 0.0, 1.0).astype(np.float32)


def _blend(first: Color, second: Color, mix: NDArray[np.floating]) -> Pixels:
    """From the first colour (mix 0) to the second (mix 1)."""
    a, b = np.asarray(first, np.float32), np.asarray(second, np.float32)
    return np.clip(a + (b - a) * mix[..., None], 0.0, 1.0).astype(np.float32)


def plain(rng: np.random.Generator, color: Color) -> Pixels:
    """Paint: one colour, hardly uneven."""
    unevenness = rng.uniform(0.0, 0.06)
    return _shade(color, 1 + unevenness * (value_noise(rng, 6, 6) - 0.5))


def wood(rng: np.random.Generator, color: Color) -> Pixels:
    """Grain running up, rings bent by slow noise, fine fibres."""
    x = np.linspace(0, 1, SIZE, endpoint=False, dtype=np.float32)[None, :]
    rings = int(rng.integers(3, 12))
    bend = rng.uniform(0.05, 0.45) * value_noise(rng, int(rng.integers(2, 5)), int(rng.integers(1, 4)))
    grain = 0.5 + 0.5 * np.sin(2 * np.pi * rings * (x + bend))
    fibres = value_noise(rng, 64, 4)
    contrast = rng.uniform(0.08, 0.38)
    return _shade(color, 1 + contrast * (grain - 0.5) + 0.22 * (fibres - 0.5))


def particle_board(rng: np.random.Generator, color: Color) -> Pixels:
    """Short speckles on a plain ground."""
    speckles = value_noise(rng, 48, 48) * value_noise(rng, 24, 64)
    return _shade(color, 1 + rng.uniform(0.2, 0.9) * (speckles - 0.25))


def stone(rng: np.random.Generator, color: Color) -> Pixels:
    """Clouds with veins, as on a marble top."""
    clouds = sum(value_noise(rng, 3 * 2**k, 3 * 2**k) / 2**k for k in range(4)) / 1.875
    veins = np.abs(clouds - 0.5) * 8
    return _shade(color, 0.75 + 0.35 * np.clip(veins, 0, 1))


def checks(rng: np.random.Generator, color: Color) -> Pixels:
    """A two-coloured check."""
    cells = 2 * int(rng.integers(1, 5))
    index = np.arange(SIZE) * cells // SIZE
    mix = ((index[:, None] + index[None, :]) % 2).astype(np.float32)
    return _blend(color, _companion(rng, color), mix)


def stripes(rng: np.random.Generator, color: Color) -> Pixels:
    """Upright stripes of uneven width."""
    x = np.linspace(0, 1, SIZE, endpoint=False)
    wave = np.sin(2 * np.pi * int(rng.integers(2, 9)) * x) > rng.uniform(-0.6, 0.6)
    return _blend(color, _companion(rng, color), np.tile(wave.astype(np.float32), (SIZE, 1)))


def dots(rng: np.random.Generator, color: Color) -> Pixels:
    """Round dots on a plain ground."""
    cells = int(rng.integers(3, 8))
    at = (np.arange(SIZE) * cells / SIZE) % 1.0 - 0.5
    inside = (at[:, None] ** 2 + at[None, :] ** 2 < rng.uniform(0.05, 0.14)).astype(np.float32)
    return _blend(color, _companion(rng, color), inside)


def brushed_metal(rng: np.random.Generator, color: Color) -> Pixels:
    """Long streaks across."""
    streaks = 0.6 * value_noise(rng, 3, 64) + 0.4 * value_noise(rng, 6, 128)
    return _shade(color, 1 + rng.uniform(0.1, 0.35) * (streaks - 0.5))


def planks(rng: np.random.Generator, color: Color) -> Pixels:
    """Upright boards with dark joints, each board its own tone."""
    boards = int(rng.integers(3, 8))
    at = np.arange(SIZE) * boards / SIZE
    tone = rng.uniform(0.8, 1.15, boards)[at.astype(int)]
    joint = np.where(at % 1.0 < 0.05, 0.45, 1.0)
    grain = 1 + 0.3 * (value_noise(rng, 48, 3) - 0.5)
    return _shade(color, grain * (tone * joint)[None, :])


def tiles(rng: np.random.Generator, color: Color) -> Pixels:
    """Square tiles with light joints, each tile its own tone."""
    cells = int(rng.integers(2, 6))
    at = np.arange(SIZE) * cells / SIZE
    tone = rng.uniform(0.8, 1.1, (cells, cells))[at.astype(int)][:, at.astype(int)]
    joint = (at % 1.0 < 0.07)[:, None] | (at % 1.0 < 0.07)[None, :]
    return _blend(color, (0.85, 0.85, 0.82), joint.astype(np.float32)) * tone[..., None].astype(np.float32)


def framed_panel(rng: np.random.Generator, color: Color, base: Callable[..., Pixels] | None = None) -> Pixels:
    """A door's front: frame, groove and field, fitted to the whole face."""
    pixels = (base or wood)(rng, color)
    border = rng.uniform(0.08, 0.2)
    groove = border + rng.uniform(0.02, 0.05)
    edge = _edge_distance()
    factor = np.where(edge < border, 1.0, np.where(edge < groove, 0.6, rng.uniform(0.85, 1.15)))
    return np.clip(pixels * factor[..., None], 0, 1).astype(np.float32)


def glazed_panel(rng: np.random.Generator, color: Color) -> Pixels:
    """A framed window onto shelves with things, fitted to the whole face."""
    pixels = plain(rng, color)
    edge = _edge_distance()
    border = rng.uniform(0.07, 0.18)
    view = shelf_view(rng)
    return np.where((edge > border)[..., None], view, pixels).astype(np.float32)


def shelf_view(rng: np.random.Generator) -> Pixels:
    """Shelves with bottles and packets against the dark."""
    pixels = np.full((SIZE, SIZE, 3), rng.uniform(0.03, 0.25), np.float32)
    shelves = int(rng.integers(2, 6))
    for shelf in range(shelves):
        bottom, height = int(SIZE * shelf / shelves), SIZE / shelves
        x = 0
        while x < SIZE:
            width = int(rng.integers(4, 18))
            top = bottom + int(height * rng.uniform(0.3, 0.85))
            pixels[bottom:top, x : x + width] = paint_color(rng)
            x += width + int(rng.integers(0, 8))
        pixels[bottom : bottom + 3] = 0.75
    return pixels


def label(rng: np.random.Generator, color: Color) -> Pixels:
    """A printed label: bands, blocks and lines of writing."""
    pixels = plain(rng, color)
    ink = _companion(rng, color)
    band = int(SIZE * rng.uniform(0.15, 0.7))
    pixels[band : band + int(SIZE * rng.uniform(0.08, 0.3))] = ink
    for _ in range(int(rng.integers(1, 5))):
        x, y = (rng.uniform(0.05, 0.7, 2) * SIZE).astype(int)
        w, h = (rng.uniform(0.08, 0.3, 2) * SIZE).astype(int)
        pixels[y : y + h, x : x + w] = paint_color(rng)
    left = int(SIZE * rng.uniform(0.08, 0.3))
    for line in range(int(rng.integers(0, 5))):
        y = int(SIZE * 0.1) + 7 * line
        pixels[y : y + 3, left : left + int(SIZE * rng.uniform(0.2, 0.6))] = ink
    return pixels


def keyboard(rng: np.random.Generator, color: Color) -> Pixels:
    """A laptop's deck: rows of keys and a touch pad, fitted to the whole face."""
    pixels = plain(rng, color)
    key, margin = _companion(rng, color), int(SIZE * rng.uniform(0.05, 0.1))
    rows, bottom, top = int(rng.integers(4, 7)), int(SIZE * 0.42), int(SIZE * 0.93)
    row_height = (top - bottom) / rows
    for row in range(rows):
        columns = int(rng.integers(10, 15))
        key_width = (SIZE - 2 * margin) / columns
        y0, y1 = int(bottom + row * row_height), int(bottom + (row + 0.78) * row_height)
        for column in range(columns):
            x0 = int(margin + column * key_width)
            pixels[y0:y1, x0 : x0 + max(int(key_width * 0.8), 2)] = key
    pad = np.asarray(color) * rng.uniform(0.75, 0.95)
    pixels[int(SIZE * 0.06) : int(SIZE * 0.34), int(SIZE * 0.35) : int(SIZE * 0.65)] = pad
    return pixels


def screen(rng: np.random.Generator, color: Color) -> Pixels:
    """A display: a wallpaper, windows, a task bar, inside a bezel of the given colour."""
    sky, ground = paint_color(rng), hsv(rng.random(), rng.uniform(0.3, 0.9), rng.uniform(0.2, 0.9))
    height = np.linspace(0, 1, SIZE)[:, None] + 0.5 * (value_noise(rng, 3, 2) - 0.5)
    pixels = _blend(ground, sky, np.clip(height, 0, 1))
    for _ in range(int(rng.integers(0, 4))):
        x, y = (rng.uniform(0.08, 0.6, 2) * SIZE).astype(int)
        w, h = (rng.uniform(0.15, 0.45, 2) * SIZE).astype(int)
        pixels[y : y + h, x : x + w] = 0.93
        pixels[y + h - 5 : y + h, x : x + w] = paint_color(rng)
        for line in range(y + 4, y + h - 8, 6):
            pixels[line : line + 2, x + 4 : x + max(int(w * rng.uniform(0.3, 0.9)), 6)] = 0.4
    pixels[: int(SIZE * 0.1)] = rng.uniform(0.05, 0.3)
    bezel = _edge_distance() < rng.uniform(0.03, 0.07)
    return np.where(bezel[..., None], np.asarray(color, np.float32), pixels).astype(np.float32)


def dial_panel(rng: np.random.Generator, color: Color) -> Pixels:
    """A control strip: knobs and a display, fitted to the whole face."""
    pixels = plain(rng, color)
    dark = 0.1 if sum(color) > 1.2 else 0.85
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    knobs = int(rng.integers(2, 6))
    for index in range(knobs):
        inside = ((x - (index + 0.7) / (knobs + 1.4)) / 0.05) ** 2 + ((y - 0.5) / 0.3) ** 2 < 1
        pixels[inside] = dark
    left = int(SIZE * rng.uniform(0.3, 0.6))
    pixels[int(SIZE * 0.3) : int(SIZE * 0.7), left : left + 20] = (0.1, 0.5, 0.35)
    return pixels


def water(rng: np.random.Generator, color: Color) -> Pixels:
    """Ripples of light on a liquid of the given colour."""
    ripples = np.abs(value_noise(rng, 6, 4) - value_noise(rng, 4, 6))
    return _blend(color, (0.85, 0.93, 0.96), np.clip(1 - ripples * 7, 0, 0.8))


SURFACES: dict[str, Callable[[np.random.Generator, Color], Pixels]] = {
    "plain": plain,
    "wood": wood,
    "particle_board": particle_board,
    "stone": stone,
    "checks": checks,
    "stripes": stripes,
    "dots": dots,
    "brushed_metal": brushed_metal,
    "planks": planks,
    "tiles": tiles,
    "label": label,
}


def _companion(rng: np.random.Generator, color: Color) -> Color:
    """A colour that stands out from the given one."""
    hue, saturation, value = colorsys.rgb_to_hsv(*color)
    step = rng.uniform(0.2, 0.45)
    return hsv(
        hue + rng.uniform(-0.15, 0.15),
        saturation * rng.uniform(0.5, 1.3),
        value - step if value > 0.5 else value + step,
    )


def _edge_distance() -> Pixels:
    """Distance of each pixel to the nearest edge of the face, `[SIZE, SIZE]` in [0, 0.5]."""
    at = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE
    near = np.minimum(at, 1 - at)
    return np.minimum(near[:, None], near[None, :])

# SPDX-License-Identifier: GPL-3.0-or-later
"""Discs, lines and arrows as triangles with soft edges, for one draw call. Pixels; numpy only."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

Colour = tuple[float, float, float, float]
SEGMENTS = 24
FEW_SEGMENTS = 8  # enough for the smallest discs, of which there are most
SMALL = 3.0  # pixels
SOFT = 1.0  # pixels over which an edge fades


class Shapes:
    """Collects triangles: `positions` `[N, 3]` (z = 0) and `colours` `[N, 4]`, float32, three rows a triangle."""

    def __init__(self) -> None:
        self._positions: list[NDArray[np.float64]] = []
        self._colours: list[NDArray[np.float64]] = []

    def disc(self, place: tuple[float, float], radius: float, colour: Colour) -> None:
        """A filled circle."""
        self.discs(np.asarray(place, dtype=np.float64).reshape(1, 2), radius, colour)

    def discs(self, places: NDArray[np.float64], radius: float, colour: Colour) -> None:
        """Filled circles of one kind at places `[N, 2]`."""
        template, colours = _disc(round(radius, 2), colour)
        self._positions.append((places[:, None, :] + template).reshape(-1, 2))
        self._colours.append(np.tile(colours, (len(places), 1)))

    def ring(self, place: tuple[float, float], radius: float, width: float, colour: Colour) -> None:
        """A circle line of a width, around `radius`."""
        low, high = radius - width / 2, radius + width / 2
        radii = (low - SOFT / 2, low + SOFT / 2, high - SOFT / 2, high + SOFT / 2)
        circles = [_circle(place, max(value, 0.0)) for value in radii]
        self._strip(circles[0], circles[1], _clear(colour), colour)
        self._strip(circles[1], circles[2], colour, colour)
        self._strip(circles[2], circles[3], colour, _clear(colour))

    def polygon(self, corners: NDArray[np.float64], colour: Colour) -> None:
        """A filled convex polygon `[N, 2]`."""
        middle = np.broadcast_to(corners.mean(axis=0), corners.shape)
        self._fan(middle, corners, colour)
        self.line(np.concatenate([corners, corners[:1]]), SOFT, colour)

    def line(self, points: NDArray[np.float64], width: float, colour: Colour) -> None:
        """A line through points `[N, 2]`; those that are not finite are left out."""
        points = points[np.isfinite(points).all(axis=1)]
        if len(points) < 2:
            return
        begin, end = points[:-1], points[1:]
        along = end - begin
        length = np.hypot(along[:, 0], along[:, 1])
        kept = length > 1e-6
        begin, end, along = begin[kept], end[kept], along[kept] / length[kept, None]
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        core, rim = width / 2 - SOFT / 2, width / 2 + SOFT / 2
        core = max(core, 0.05)
        sides = ((-rim, -core, True, False), (-core, core, False, False), (core, rim, False, True))
        for low, high, low_clear, high_clear in sides:
            corners = [begin + across * low, begin + across * high, end + across * high, end + across * low]
            first, second = (_clear(colour) if clear else colour for clear in (low_clear, high_clear))
            self._quads(corners, (first, second, second, first))

    def arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Everything collected: positions `[N, 3]` and colours `[N, 4]`."""
        if not self._positions:
            return np.zeros((0, 3), np.float32), np.zeros((0, 4), np.float32)
        flat = np.concatenate(self._positions)
        positions = np.zeros((len(flat), 3), np.float32)
        positions[:, :2] = flat
        return positions, np.concatenate(self._colours)

    def _fan(self, middle: NDArray[np.float64], corners: NDArray[np.float64], colour: Colour) -> None:
        triangles = np.stack([middle, corners, np.roll(corners, -1, axis=0)], axis=1).reshape(-1, 2)
        self._positions.append(triangles)
        self._colours.append(np.tile(np.array(colour, np.float32), (len(triangles), 1)))

    def _strip(self, inner: NDArray[np.float64], outer: NDArray[np.float64], first: Colour, second: Colour) -> None:
        """The band between two closed rings of corners."""
        corners = [inner, outer, np.roll(outer, -1, axis=0), np.roll(inner, -1, axis=0)]
        self._quads(corners, (first, second, second, first))

    def _quads(self, corners: list[NDArray[np.float64]], colours: tuple[Colour, ...]) -> None:
        order = (0, 1, 2, 0, 2, 3)
        self._positions.append(np.stack([corners[index] for index in order], axis=1).reshape(-1, 2))
        rows = np.array([colours[index] for index in order], np.float32)
        self._colours.append(np.tile(rows, (len(corners[0]), 1)))


_ANGLES = np.linspace(0.0, 2.0 * np.pi, SEGMENTS, endpoint=False)
_UNIT_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


@functools.lru_cache(maxsize=128)
def _disc(radius: float, colour: Colour) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Triangles and colours of a disc around the origin."""
    shapes, segments = Shapes(), FEW_SEGMENTS if radius < SMALL else SEGMENTS
    inner = _circle((0.0, 0.0), max(radius - SOFT / 2, 0.1), segments)
    outer = _circle((0.0, 0.0), radius + SOFT / 2, segments)
    shapes._fan(np.zeros((segments, 2)), inner, colour)
    shapes._strip(inner, outer, colour, _clear(colour))
    return np.concatenate(shapes._positions), np.concatenate(shapes._colours)


@functools.lru_cache(maxsize=8)
def _unit_circle(segments: int) -> NDArray[np.float64]:
    angles = np.linspace(0.0, 2.0 * np.pi, segments, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _circle(place: tuple[float, float], radius: float, segments: int = SEGMENTS) -> NDArray[np.float64]:
    return np.asarray(place, dtype=np.float64) + _unit_circle(segments) * radius


def _clear(colour: Colour) -> Colour:
    return (*colour[:3], 0.0)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing PNG images with the stdlib and numpy, for Pythons that have nothing else (Blender's own).

The same pixels always give the same bytes, which image libraries promise only within one version.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> PNG's colour type
# Rendered frames shrink by 3 % more at level 9 and take five times as long.
LEVEL = 6


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode an image without loss.

    Args:
        pixels: uint8 `[H, W]` or `[H, W, C]`, C from 1 to 4 (grey, grey + alpha, RGB, RGBA).

    Raises:
        InputError: another shape or type.
    """
    pixels = np.asarray(pixels)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in COLOUR_TYPES or 0 in pixels.shape:
        raise InputError(f"a PNG needs uint8 [H, W, 1 to 4], not {pixels.dtype} {list(pixels.shape)}")
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    body = zlib.compress(_filtered(pixels).tobytes(), LEVEL)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _filtered(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each row as its differences to its neighbours, by the filter whose differences sum up least.

    PNG specification, section 9 (filtering) and 12.8 (choice of filter). Returns `[H, 1 + W·C]`.
    """
    height, width, channels = pixels.shape
    rows = pixels.reshape(height, width * channels)
    left = np.zeros_like(rows)
    left[:, channels:] = rows[:, :-channels]
    above = np.zeros_like(rows)
    above[1:] = rows[:-1]
    corner = np.zeros_like(rows)
    corner[1:, channels:] = rows[:-1, :-channels]
    best = rows.copy()
    choice = np.zeros(height, np.uint8)
    least = _cost(rows)
    mean = ((left.astype(np.uint16) + above) // 2).astype(np.uint8)
    for kind, guess in ((1, left), (2, above), (3, mean), (4, _paeth(left, above, corner))):
        difference = rows - guess  # uint8 wraps around, as the format wants
        cost = _cost(difference)
        better = cost < least
        best[better], choice[better], least[better] = difference[better], kind, cost[better]
    return np.concatenate((choice[:, None], best), axis=1)


def _cost(difference: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.abs(difference.view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.int64)


def _paeth(left: NDArray[np.uint8], above: NDArray[np.uint8], corner: NDArray[np.uint8]) -> NDArray[np.uint8]:
    a, b, c = left.astype(np.int16), above.astype(np.int16), corner.astype(np.int16)
    to_a, to_b, to_c = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    return np.where((to_a <= to_b) & (to_a <= to_c), left, np.where(to_b <= to_c, above, corner))

# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of the command line's options as text, read in one place for every door that takes them.

stdlib only: Blender's own command reads the same words without typer.
"""

from __future__ import annotations

import re

from .errors import InputError


def parse_guidance(text: str) -> tuple[float, float]:
    """`3` or `1:3` (first and last frame). Raises `InputError`."""
    try:
        numbers = [float(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise InputError(f"guidance must be a number or FIRST:LAST such as 1:3, not {text!r}")
    return numbers[0], numbers[-1]


def parse_size(text: str) -> tuple[int, int]:
    """`640x360`. Raises `InputError`."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.lower())
    width, height = map(int, match.groups()) if match else (0, 0)
    if not (16 <= width <= 8192 and 16 <= height <= 8192):
        raise InputError(f"size must be WIDTHxHEIGHT, each 16 to 8192 pixels, such as 512x512, not {text!r}")
    return width, height


def parse_colour(text: str) -> tuple[float, float, float]:
    """`#rrggbb` as numbers in [0, 1]. Raises `InputError`."""
    digits = text.removeprefix("#")
    try:
        red, green, blue = bytes.fromhex(digits)
    except ValueError as error:
        raise InputError(f"background must be a colour #RRGGBB such as #ffffff, not {text!r}") from error
    return red / 255, green / 255, blue / 255

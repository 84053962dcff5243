# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of the command line's options as text, read in one place for every door that takes them.

stdlib only: Blender's own command reads the same words without typer.
"""

from __future__ import annotations

import re

from .errors import InputError

# Choices of the options that say how a model runs; checked where torch is at hand, in `memory` and `acceleration`.
MEMORY_CHOICES = ("auto", "resident", "offload", "chunked", "cpu")
ACCELERATION_CHOICES = ("auto", "plain", "graphs", "compile")


def parse_guidance(text: str) -> tuple[float, float]:
    """`3` or `1:3` (first and last frame). Raises `InputError`."""
    try:
        numbers = [float(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise InputError(f"guidance must be a number or FIRST:LAST such as 1:3, not {text!r}")
    return numbers[0], numbers[-1]


def parse_interval(text: str) -> tuple[float, float]:
    """`0:0.7`, parts of a whole in order. Raises `InputError`."""
    first, separator, last = text.partition(":")
    try:
        interval = (float(first), float(last)) if separator else (-1.0, -1.0)
    except ValueError:
        interval = (-1.0, -1.0)
    if not 0.0 <= interval[0] <= interval[1] <= 1.0:
        raise InputError(f"guidance interval must be FIRST:LAST within 0 and 1 such as 0:0.7, not {text!r}")
    return interval


def parse_choice(text: str, choices: tuple[str, ...], what: str) -> str:
    """One of a few words. Raises `InputError` that names them."""
    if text not in choices:
        raise InputError(f"{what} must be one of {', '.join(choices)}, not {text!r}")
    return text


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

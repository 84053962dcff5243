# SPDX-License-Identifier: GPL-3.0-or-later
"""How clips are rendered: plain values that cross process borders without Blender."""

from __future__ import annotations

from dataclasses import dataclass

ENGINES = {"workbench": "BLENDER_WORKBENCH", "cycles": "CYCLES"}


@dataclass(frozen=True)
class RenderSettings:
    """How frames are rendered.

    Attributes:
        size: width and height in pixels.
        engine: a key of `ENGINES`.
        oversample: Workbench renders at this multiple of the size and the frames are averaged down:
            cheaper and cleaner than its own antialiasing.
        samples: Cycles' samples a pixel.
    """

    size: int = 128
    engine: str = "workbench"
    oversample: int = 2
    samples: int = 8

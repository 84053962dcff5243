# SPDX-License-Identifier: GPL-3.0-or-later
"""How clips are rendered; kept apart so that the command line knows it without Blender."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ENGINES = ("workbench", "cycles", "eevee")


@dataclass(frozen=True)
class RenderSettings:
    """How frames are rendered.

    Attributes:
        size: width and height in pixels.
        engine: one of `ENGINES`.
        oversample: Workbench renders at this multiple of the size and the frames are averaged down:
            cheaper and cleaner than its own antialiasing.
        samples: samples a pixel of Cycles and EEVEE.
        gpu: whether Cycles renders on the GPU.
        still_only: whether the first frame alone is rendered.
        threads: of Cycles on the CPU.
    """

    size: int = 128
    engine: str = "workbench"
    oversample: int = 2
    samples: int = 8
    gpu: bool = False
    still_only: bool = False
    threads: int = 1

    @classmethod
    def of(cls, order: Mapping[str, Any], threads: int = 1) -> RenderSettings:
        """From an order's values by name and this process's share of the processor."""
        return cls(
            size=order["size"], engine=order["engine"], samples=order["samples"], gpu=order["device"] == "gpu",
            still_only=order["still_only"], threads=threads,
        )  # fmt: skip

    @property
    def scale(self) -> int:
        """How many rendered pixels make up the side of a pixel of the frame."""
        return self.oversample if self.engine == "workbench" else 1

# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands behind a clip: the frames are transparent, other loaders want them opaque."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...backend.errors import InputError

NAMED = {"white": (255, 255, 255), "black": (0, 0, 0)}
RANDOM, TRANSPARENT = "random", "transparent"


@dataclass(frozen=True)
class Background:
    """One colour behind all clips, a random one behind each, or none.

    Attributes:
        text: `white`, `black`, `random`, `transparent` or `#rrggbb`.
        seed: decides the random colours, together with each clip's name.
    """

    text: str = "white"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no colour.

        Raises:
            InputError: naming it.
        """
        if self.text not in (*NAMED, RANDOM, TRANSPARENT):
            self._colour("")

    @property
    def transparent(self) -> bool:
        """Whether frames keep their alpha."""
        return self.text == TRANSPARENT

    def behind(self, frames: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
        """Frames uint8 `[N, H, W, 4]` with straight alpha over the colour of the clip called `name`: `[N, H, W, 3]`."""
        alpha = frames[..., 3:].astype(np.uint16)
        colour = np.array(self._colour(name), np.uint16)
        mixed = frames[..., :3].astype(np.uint16) * alpha + colour * (255 - alpha)
        return ((mixed + 127) // 255).astype(np.uint8)

    def _colour(self, name: str) -> tuple[int, int, int]:
        if self.text in NAMED:
            return NAMED[self.text]
        if self.text == RANDOM:
            rng = np.random.default_rng((self.seed, zlib.crc32(name.encode())))
            red, green, blue = rng.integers(0, 256, 3).tolist()
            return red, green, blue
        try:
            red, green, blue = bytes.fromhex(self.text.removeprefix("#"))
        except ValueError as error:
            known = ", ".join((*NAMED, RANDOM, TRANSPARENT))
            raise InputError(f"background must be {known} or a colour #rrggbb, not {self.text!r}") from error
        return red, green, blue

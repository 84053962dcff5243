# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip and what models made of it as films that play side by side, in step, in a page that needs no server.

Each strip of frames is embedded once, as a custom property of the clip's card; the films of the card show it through
that. The frozen still is the real strip that stands still, the difference both strips blended by the browser.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..backend.drag_drawing import dots, paths
from ..backend.markup import Html, element

WIDEST = 256  # longer side of a frame as it is embedded, pixels
MOST_FRAMES = 32  # of a longer clip, so many are shown, evenly spread
QUALITY = 82  # of the embedded pictures; figures are taken from the frames themselves

Frames = NDArray[np.uint8]


class Films:
    """The films of one clip.

    Attributes:
        count: frames that are shown.
        size: bytes they take in the page, about.
    """

    def __init__(self, real: Frames, made: Mapping[str, Frames], drags: NDArray[np.float32]) -> None:
        """Compress the strips.

        Args:
            real: uint8 `[N, H, W, 3]`.
            made: frames of the same shape by the label of who made them.
            drags: normalised `[K, N, 2]`.
        """
        shown = np.unique(np.linspace(0, len(real) - 1, min(len(real), MOST_FRAMES)).round().astype(int))
        self.count = len(shown)
        self._width, self._height = _shown_size(real.shape[2], real.shape[1])
        self._drags = drags[:, shown]
        self._labels = list(made)
        strips = [real, *made.values()]
        self._pictures = [_picture(strip[shown], self._width, self._height) for strip in strips]
        self.size = sum(map(len, self._pictures)) + 100 * self.count * (len(drags) + 1)

    @property
    def style(self) -> str:
        """The card's style: the strips, by which its films show them."""
        names = ["--real", *(f"--made{i}" for i in range(len(self._labels)))]
        images = [f"{name}:{picture}" for name, picture in zip(names, self._pictures, strict=True)]
        drawn = f"--dots:{dots(self._drags, self._width, self._height)}" if len(self._drags) else "--dots:none"
        return ";".join([f"--n:{self.count}", f"--ratio:{self._width}/{self._height}", drawn, *images])

    def players(self) -> list[Html]:
        """Real frames, frozen still, and for each model its frames and their difference from the real ones."""
        films = [self._film("real", ["var(--dots)", "var(--real)"], drawn=True)]
        films.append(self._film("frozen still", ["var(--real)"], class_="film still"))
        for index, label in enumerate(self._labels):
            films.append(self._film(label, ["var(--dots)", f"var(--made{index})"], drawn=True))
        for index, label in enumerate(self._labels):
            name = "difference" if len(self._labels) == 1 else f"difference, {label}"
            films.append(self._film(name, ["var(--real)", f"var(--made{index})"], class_="film difference"))
        return films

    def _film(self, label: str, layers: list[str], class_: str = "film", drawn: bool = False) -> Html:
        drawing = paths(self._drags, self._width, self._height) if drawn and len(self._drags) else None
        style = f"background-image:{','.join(layers)}"
        film = element("div", drawing, class_=class_, style=style, role="img", aria_label=label)
        return element("figure", film, element("figcaption", label))


def _shown_size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, WIDEST / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _picture(frames: Frames, width: int, height: int) -> str:
    """Frames as one strip, a CSS image."""
    strip = Image.new("RGB", (width, height * len(frames)))
    for index, frame in enumerate(frames):
        picture = Image.fromarray(frame)
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BOX)
        strip.paste(picture, (0, index * height))
    stream = io.BytesIO()
    strip.save(stream, "WEBP", quality=QUALITY)
    return f"url(data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()})"

# SPDX-License-Identifier: GPL-3.0-or-later
"""Stills of any size and aspect, brought to the model's size without squashing, and back.

"letterbox" shows the whole still, centred, with the background beside it; "crop" fills the model's frame
with the still's middle. Drags follow; the frames come back at the still's own size. What a crop cut off is
taken from the still itself, since nothing there was seen by the model.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .errors import InputError

MAX_PIXELS = 64_000_000
SMALLEST_SIDE = 8


def decode_still(encoded: bytes, background: tuple[float, float, float]) -> NDArray[np.uint8]:
    """Decode a still and put it on the background: uint8 RGB `[H, W, 3]`.

    Raises:
        InputError: not an image, damaged, or of an absurd size.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise InputError(
                    f"the still is {width}x{height}; at most {MAX_PIXELS // 10**6} megapixels are accepted"
                )
            if min(width, height) < SMALLEST_SIDE:
                raise InputError(f"the still is {width}x{height}; it needs at least {SMALLEST_SIDE} pixels a side")
            rgba = np.asarray(image.convert("RGBA"), dtype=np.float32) / 255.0
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"the still cannot be read as an image ({error}); save it as PNG or JPEG") from error
    alpha = rgba[..., 3:]
    colour = rgba[..., :3] * alpha + np.array(background, dtype=np.float32) * (1 - alpha)
    return np.rint(colour * 255).astype(np.uint8)


@dataclass(frozen=True)
class Fit:
    """How a still lies in the model's frame: scaled by one factor, then placed.

    Attributes:
        still: width and height of the still in pixels.
        model: width and height of the model's frame in pixels.
        scale: model pixels per still pixel.
        left, top: place of the still's corner in the model's frame, in pixels; negative when cropped.
    """

    still: tuple[int, int]
    model: tuple[int, int]
    scale: float
    left: float
    top: float

    @classmethod
    def of(cls, still: tuple[int, int], model: tuple[int, int], mode: str) -> Fit:
        """Centre a still in the model's frame; `mode` is "letterbox" or "crop"."""
        ratios = (model[0] / still[0], model[1] / still[1])
        scale = min(ratios) if mode == "letterbox" else max(ratios)
        left = (model[0] - still[0] * scale) / 2
        top = (model[1] - still[1] * scale) / 2
        return cls(still, model, scale, left, top)

    @property
    def is_identity(self) -> bool:
        """Whether the still has the model's size already."""
        return self.still == self.model

    def points_to_model(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Normalised places in the still `[..., 2]` to normalised places in the model's frame."""
        pixels = points * np.array(self.still) * self.scale + (self.left, self.top)
        return (pixels / np.array(self.model)).astype(np.float32)

    def points_from_model(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """What `points_to_model` takes to `points` `[..., 2]`."""
        return (points * np.array(self.model) - (self.left, self.top)) / (np.array(self.still) * self.scale)

    def to_model(self, image: NDArray[np.uint8], background: tuple[float, float, float]) -> NDArray[np.uint8]:
        """The still `[H, W, 3]` in the model's frame `[h, w, 3]`."""
        if self.is_identity:
            return image
        fill = tuple(round(channel * 255) for channel in background)
        canvas = Image.new("RGB", self.model, fill)
        box, place = self._visible()
        size = tuple(max(1, end - start) for start, end in place)
        resized = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS, box=box)
        canvas.paste(resized, (place[0][0], place[1][0]))
        return np.asarray(canvas)

    def from_model(self, frames: NDArray[np.uint8], still: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Frames `[N, h, w, 3]` of the model back at the still's size `[N, H, W, 3]`."""
        if self.is_identity:
            return frames
        box, place = self._visible()
        left, top, right, bottom = (round(edge) for edge in box)
        result = np.repeat(still[None], len(frames), axis=0)
        for target, frame in zip(result, frames, strict=True):
            cut = Image.fromarray(frame).resize(
                (right - left, bottom - top),
                Image.Resampling.BICUBIC,
                box=(place[0][0], place[1][0], place[0][1], place[1][1]),
            )
            target[top:bottom, left:right] = np.asarray(cut)
        return result

    def _visible(self) -> tuple[tuple[float, float, float, float], tuple[tuple[int, int], tuple[int, int]]]:
        """The still's visible box in its own pixels, and where it lies in the model's frame, x and y."""
        place, low, high = [], [], []
        for axis, offset in enumerate((self.left, self.top)):
            start = max(0, round(offset))
            end = min(self.model[axis], round(offset + self.still[axis] * self.scale))
            place.append((start, max(end, start + 1)))
            low.append(max(0.0, -offset / self.scale))
            high.append(min(float(self.still[axis]), (self.model[axis] - offset) / self.scale))
        return (low[0], low[1], high[0], high[1]), (place[0], place[1])

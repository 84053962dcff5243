# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames into bytes: PNG, mp4, and the small strip that shows an estimate."""

from __future__ import annotations

import io
import itertools
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

FRAMES_PER_SECOND = 7  # what Stable Video Diffusion is trained at: 14 frames last two seconds
STRIP_HEIGHT = 96


def encode_png(frame: NDArray[np.uint8]) -> bytes:
    """A frame `[H, W, 3]` or `[H, W, 4]` as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def decode_png(data: bytes) -> NDArray[np.uint8]:
    """An encoded image as RGB, uint8 `[H, W, 3]`."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def encode_mp4(frames: NDArray[np.uint8], fps: float = FRAMES_PER_SECOND) -> bytes:
    """Frames `[N, H, W, 3]` as an H.264 mp4 that plays everywhere (4:2:0, even sides)."""
    import av

    frames = _with_even_sides(frames)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options={"crf": "15"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def encode_gif(frames: NDArray[np.uint8], fps: float = FRAMES_PER_SECOND) -> bytes:
    """Frames `[N, H, W, 3]` as a GIF that plays in a loop; its clock ticks in hundredths of a second."""
    # Each frame gets the 256 colours that serve it best: one palette for all bands smooth shading.
    pictures = [Image.fromarray(frame).quantize(256, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer, "GIF", save_all=True, append_images=pictures[1:], duration=_gif_durations(len(frames), fps), loop=0,
        optimize=False, disposal=1,
    )  # fmt: skip
    return buffer.getvalue()


def _gif_durations(count: int, fps: float) -> list[int]:
    """Milliseconds of each frame, in whole hundredths that add up to the clip's length; 20 at least."""
    edges = [round(index * 100 / fps) for index in range(count + 1)]
    return [max(2, later - sooner) * 10 for sooner, later in itertools.pairwise(edges)]


def estimate_strip(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames `[N, h, w, 3]` side by side, at most 96 pixels high: uint8 `[h', N * w', 3]`."""
    height, width = frames.shape[1:3]
    if height > STRIP_HEIGHT:
        size = (max(1, round(width * STRIP_HEIGHT / height)), STRIP_HEIGHT)
        shrunk = [Image.fromarray(frame).resize(size, Image.Resampling.BOX) for frame in frames]
        frames = np.stack([np.asarray(image) for image in shrunk])
    return np.concatenate(list(frames), axis=1)


def read_still(path: Path) -> bytes:
    """A still as PNG bytes; other formats are converted without loss, upright as their camera says.

    Raises:
        InputError: the file is missing or not an image.
    """
    from PIL import ImageOps

    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            if image.format == "PNG":
                return data
            upright = ImageOps.exif_transpose(image)
            buffer = io.BytesIO()
            upright.convert("RGBA" if upright.has_transparency_data else "RGB").save(buffer, "PNG")
            return buffer.getvalue()
    except FileNotFoundError as error:
        raise InputError(f"the still {path} does not exist; give an image or a .blend file") from error
    # Pillow reports broken files as OSError (UnidentifiedImageError among them), SyntaxError or ValueError.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot read the still {path} as an image: {error}") from error


def _with_even_sides(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """4:2:0 video needs even sides: an odd one repeats its last row or column."""
    height, width = frames.shape[1:3]
    return np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")

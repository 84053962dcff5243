# SPDX-License-Identifier: GPL-3.0-or-later
"""Small pictures for the job list and the history: stills, estimates that move while they are made, results.

Blender's preview collections hold them: they are no datablocks, so nothing of them is saved or undone.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import bpy
import bpy.utils.previews
import numpy as np
from numpy.typing import NDArray

FRAMES_PER_SECOND = 7

_pictures: bpy.utils.previews.ImagePreviewCollection | None = None
_moving: dict[str, NDArray[np.float32]] = {}


def icon(key: str) -> int:
    """The picture's number for a layout; 0 if there is none."""
    if _pictures is None or key not in _pictures:
        return 0
    return _pictures[key].icon_id


def show_file(key: str, path: Path) -> None:
    """Let a picture be that of an image file, which Blender reads when it first draws it."""
    if _pictures is None:
        return
    forget(key)
    _pictures.load(key, str(path), "IMAGE")


def show_strip(key: str, strip_png: bytes, frames: int) -> None:
    """Let a picture play the frames of a strip, a PNG with all of them side by side."""
    if _pictures is None:
        return
    _moving[key] = _frames_in(strip_png, frames)
    _draw(key, 0)


def play() -> bool:
    """Show each moving picture's frame of this moment; whether there are any."""
    at = int(time.monotonic() * FRAMES_PER_SECOND)
    for key, frames in _moving.items():
        _draw(key, at % len(frames))
    return bool(_moving)


def forget(key: str) -> None:
    """Drop a picture; does nothing if there is none."""
    _moving.pop(key, None)
    if _pictures is not None and key in _pictures:
        del _pictures[key]


def _draw(key: str, index: int) -> None:
    assert _pictures is not None
    picture = _pictures[key] if key in _pictures else _pictures.new(key)
    frame = _moving[key][index]
    height, width = frame.shape[:2]
    flat = frame.ravel()
    for name in ("image", "icon"):
        setattr(picture, f"{name}_size", (width, height))
        getattr(picture, f"{name}_pixels_float").foreach_set(flat)


def _frames_in(strip_png: bytes, frames: int) -> NDArray[np.float32]:
    """The strip's frames `[N, h, w, 4]`, rows from the bottom as Blender has them."""
    with tempfile.NamedTemporaryFile(suffix=".png", dir=bpy.app.tempdir or None, delete=False) as file:
        file.write(strip_png)
    path = Path(file.name)
    image = bpy.data.images.load(str(path))
    try:
        width, height = image.size
        pixels = np.empty(width * height * 4, np.float32)
        image.pixels.foreach_get(pixels)
    finally:
        bpy.data.images.remove(image)
        path.unlink(missing_ok=True)
    return np.ascontiguousarray(pixels.reshape(height, frames, width // frames, 4).transpose(1, 0, 2, 3))


def register() -> None:
    """Make the collection."""
    global _pictures
    _pictures = bpy.utils.previews.new()


def unregister() -> None:
    """Free the pictures."""
    global _pictures
    _moving.clear()
    if _pictures is not None:
        bpy.utils.previews.remove(_pictures)
        _pictures = None

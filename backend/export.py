# SPDX-License-Identifier: GPL-3.0-or-later
"""`puppet-master export`: a preview's frames as an mp4, a GIF or a sequence of PNG files.

It reads the frames from the preview's folder, so it works for previews of any age. What is written is there
whole or not at all.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import media
from .errors import InputError, OutputError

VIDEO, GIF = ".mp4", ".gif"


def export_preview(source: Path, out: Path, fps: float = media.FRAMES_PER_SECOND, loops: int = 1) -> dict[str, Any]:
    """Write the preview in the folder `source` to `out`.

    Args:
        source: a preview's folder, with `frames/0000.png` and on.
        out: FILE.mp4, FILE.gif, or a folder without an extension for numbered PNG files.
        fps: frames a second; PNG files have no speed.
        loops: how many times an mp4 plays the clip; a GIF repeats by itself.

    Returns:
        `out`, `frames`, `width`, `height`, `bytes` of what was written.

    Raises:
        InputError: the folder holds no preview, or the extension is not known.
        OutputError: the result cannot be written.
    """
    paths = frame_files(source)
    kind = out.suffix.lower()
    if kind not in (VIDEO, GIF, ""):
        raise InputError(f"cannot export to {out}: give a name that ends in .mp4 or .gif, or a folder for PNG files")
    try:
        if not kind:
            size = _copy_sequence(paths, out)
            first = media.decode_png(paths[0].read_bytes())
            count = len(paths)
        else:
            frames = _read(paths)
            first, count = frames[0], len(frames) * (loops if kind == VIDEO else 1)
            data = _encoded(frames, kind, fps, loops)
            write_whole(out, data)
            size = len(data)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}; choose another place") from error
    height, width = first.shape[:2]
    return {"out": str(out), "frames": count, "width": width, "height": height, "bytes": size}


def frame_files(source: Path) -> list[Path]:
    """The frames of a preview's folder, the still's own first. Raises `InputError` if there are none."""
    paths = sorted((source / "frames").glob("[0-9]*.png"))
    if not paths:
        raise InputError(f"{source} holds no preview (no frames/0000.png); give the folder of a preview")
    return paths


def _read(paths: list[Path]) -> NDArray[np.uint8]:
    """Frames `[N, H, W, 3]`. Raises `InputError` that names the file that cannot be read."""
    frames = []
    for path in paths:
        try:
            frames.append(media.decode_png(path.read_bytes()))
        except (OSError, SyntaxError, ValueError) as error:
            raise InputError(f"the frame {path} cannot be read: {error}; make the preview again") from error
    if len({frame.shape for frame in frames}) > 1:
        raise InputError(f"the frames in {paths[0].parent} differ in size; make the preview again")
    return np.stack(frames)


def _encoded(frames: NDArray[np.uint8], kind: str, fps: float, loops: int) -> bytes:
    if kind == GIF:
        return media.encode_gif(frames, fps)
    return media.encode_mp4(np.concatenate([frames] * loops), fps)


def write_whole(out: Path, data: bytes) -> None:
    """Write a file whole or not at all, and the folders above it. Raises OSError."""
    out.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)  # mkstemp's files are for the user alone
        Path(temporary).replace(out)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _copy_sequence(paths: list[Path], out: Path) -> int:
    """Copy the frames into the folder `out`, which must not hold other frames; gives their bytes."""
    if out.is_dir() and any(out.glob("[0-9]*.png")):
        raise OutputError(f"{out} holds a PNG sequence already; choose another folder or remove it")
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        for path in paths:
            shutil.copyfile(path, staging / path.name)
        out.mkdir(exist_ok=True)
        for path in paths:
            (staging / path.name).replace(out / path.name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return sum(path.stat().st_size for path in paths)

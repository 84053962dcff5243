# SPDX-License-Identifier: GPL-3.0-or-later
"""A preview's files, written so that its sidecar is there only where all the others are."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .. import media
from ..contact_sheet import contact_sheet
from ..preview_folder import caption
from ..protocol import PreviewResult
from ..workers.ledger_file import unwritable
from .layout import FRAMES, SHEET, SIDECAR, Layout, short

THUMB_WIDTH = 192  # pixels
THUMB_FRAMES = 24  # at most, evenly spread


def write_outputs(
    layout: Layout,
    name: str,
    outputs: Sequence[str],
    frames: NDArray[np.uint8],
    result: PreviewResult,
    about: Mapping[str, Any],
    fps: float,
) -> dict[str, int]:
    """Write what was ordered of a preview, and its sidecar last.

    Args:
        layout: of the batch.
        name: the preview's.
        outputs: of "mp4", "gif", "png" and "sheet".
        frames: uint8 `[N, H, W, 3]`.
        result: how they were made.
        about: what else the sidecar says.
        fps: frames a second of mp4 and GIF.

    Returns:
        bytes of each file, by its place below the batch's folder; a folder of frames as a whole.

    Raises:
        OutputError: they cannot be written.
    """
    staging = layout.staging / f"{short(name)}.{os.getpid()}"
    target = layout.out / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        made = {_ending(output): _WRITERS[output](staging, frames, result, fps) for output in outputs}
        thumb = staging / "thumb"
        thumb.write_bytes(encode_thumb(frames))
        files = {f"{name}{ending}": size for ending, size in made.items()}
        sidecar = {"version": 1, "batch": {**about, "files": files}, "preview": result.to_json()}
        (staging / SIDECAR).write_text(json.dumps(sidecar, indent=2) + "\n", encoding="utf-8")
        _beside(target, SIDECAR).unlink(missing_ok=True)  # it would speak of files that are about to change
        for ending in made:
            _replace(staging / ending, _beside(target, ending), staging)
        thumb.replace(layout.thumb(name))
        (staging / SIDECAR).replace(_beside(target, SIDECAR))
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return files


def are_there(out: Path, files: Mapping[str, int]) -> bool:
    """Whether a preview's files are there, whole as far as their sizes tell."""
    try:
        return bool(files) and all(_size(out / name) == size for name, size in files.items())
    except OSError:
        return False


def encode_thumb(frames: NDArray[np.uint8]) -> bytes:
    """Frames `[N, H, W, 3]` one below the other, small, as WebP."""
    chosen = frames[np.linspace(0, len(frames) - 1, min(len(frames), THUMB_FRAMES)).round().astype(int)]
    height, width = chosen.shape[1:3]
    scale = min(1.0, THUMB_WIDTH / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = [np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BOX)) for frame in chosen]
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(small)).save(buffer, "WEBP", quality=80, method=2)
    return buffer.getvalue()


def thumb_frames(frames: int) -> int:
    """How many frames a preview's small film has."""
    return min(frames, THUMB_FRAMES)


def _mp4(folder: Path, frames: NDArray[np.uint8], result: PreviewResult, fps: float) -> int:
    return (folder / _ending("mp4")).write_bytes(media.encode_mp4(frames, fps))


def _gif(folder: Path, frames: NDArray[np.uint8], result: PreviewResult, fps: float) -> int:
    return (folder / _ending("gif")).write_bytes(media.encode_gif(frames, fps))


def _sheet(folder: Path, frames: NDArray[np.uint8], result: PreviewResult, fps: float) -> int:
    sheet = contact_sheet(frames, result.drags, caption(result))
    return (folder / SHEET).write_bytes(media.encode_png(sheet))


def _png(folder: Path, frames: NDArray[np.uint8], result: PreviewResult, fps: float) -> int:
    (folder / FRAMES).mkdir()
    paths = (folder / FRAMES / f"{index:04d}.png" for index in range(len(frames)))
    return sum(path.write_bytes(media.encode_png(frame)) for path, frame in zip(paths, frames, strict=True))


_WRITERS: dict[str, Callable[[Path, NDArray[np.uint8], PreviewResult, float], int]] = {
    "mp4": _mp4, "gif": _gif, "png": _png, "sheet": _sheet,
}  # fmt: skip


def _ending(output: str) -> str:
    return {"png": FRAMES, "sheet": SHEET}.get(output, f".{output}")


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(target.name + ending)


def _replace(fresh: Path, target: Path, aside: Path) -> None:
    """Put a file or a folder in place of what is there."""
    if target.is_dir():
        target.rename(aside / f"old{target.suffix}")
    fresh.replace(target)


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(part.stat().st_size for part in path.iterdir())
    return path.stat().st_size

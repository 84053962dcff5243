# SPDX-License-Identifier: GPL-3.0-or-later
"""Latent cache: clips seen through random views, encoded once by the frozen VAE.

A cache is a folder of .npz parts, each with `latents` float16 `[V, N, 4, h, w]` (scaled), `stills` uint8
`[V, s, s, 3]` and, per view i, `tracks_i`, `visible_i`, `part_i`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..backend.autoencoder import Autoencoder, encode
from .dataset import TrainingClip, apply_view, clip_files, load_clip, random_view

NO_FRAMES = np.zeros((0, 0, 0, 4), dtype=np.uint8)


@dataclass(frozen=True)
class LatentClip:
    """One view of one clip.

    Attributes:
        latents: float16 `[N, 4, h, w]`, times the VAE's scaling factor.
        still: uint8 `[s, s, 3]`, frame 0 at the image encoder's size.
        points: tracks, visibility and parts in the view's coordinates (no frames).
    """

    latents: NDArray[np.float16]
    still: NDArray[np.uint8]
    points: TrainingClip


def write_cache(
    clips: Path,
    vae: Autoencoder,
    out: Path,
    views: int,
    size: int,
    still_size: int,
    seed: int,
    share: tuple[int, int] = (0, 1),
    log: Callable[[str], None] = print,
) -> None:
    """Encode `views` random views of each clip; parts that exist already are kept.

    Args:
        clips: folder of clip files.
        vae: frozen.
        out: cache folder.
        views: views of each clip.
        size: side of the frames in pixels.
        still_size: side of the stills kept for the image encoder.
        seed: with the clip's name it determines the views.
        share: (index, count): this process takes every count-th clip from index.
        log: told now and then how far it is.
    """
    out.mkdir(parents=True, exist_ok=True)
    files = clip_files(clips)[share[0] :: share[1]]
    for number, path in enumerate(files):
        part = out / path.name
        if not part.exists():
            _write_part(path, part, vae, views, size, still_size, seed)
        if number % 50 == 0:
            log(f"latents: {number}/{len(files)} clips")


@torch.no_grad()
def _write_part(
    path: Path, part: Path, vae: Autoencoder, views: int, size: int, still_size: int, seed: int
) -> None:
    rng = np.random.default_rng([seed, *path.stem.encode()])
    clip = load_clip(path)
    arrays: dict[str, list] = {"latents": [], "stills": []}
    points = {}
    for index in range(views):
        frames, seen = apply_view(clip, random_view(clip, rng), size)
        pixels = torch.from_numpy(frames).permute(0, 3, 1, 2)
        latents = encode(vae, pixels) * vae.config.scaling_factor
        arrays["latents"].append(latents.numpy().astype(np.float16))
        arrays["stills"].append(_small_still(frames[0], still_size))
        points |= {f"tracks_{index}": seen.tracks, f"visible_{index}": seen.visible, f"part_{index}": seen.part}
    temporary = part.with_suffix(".partial.npz")
    np.savez(temporary, **{name: np.stack(values) for name, values in arrays.items()}, **points)
    temporary.replace(part)


def _small_still(frame: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    image = Image.fromarray(np.rint((frame + 1) * 127.5).clip(0, 255).astype(np.uint8))
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


def read_cache(folder: Path) -> list[LatentClip]:
    """All views of all clips of a cache, in the order of their names."""
    found = []
    for path in clip_files(folder):
        if path.name.endswith(".partial.npz"):
            continue
        with np.load(path, allow_pickle=False) as part:
            latents, stills = part["latents"], part["stills"]
            for index in range(len(latents)):
                points = TrainingClip(
                    NO_FRAMES, part[f"tracks_{index}"], part[f"visible_{index}"], part[f"part_{index}"]
                )
                found.append(LatentClip(latents[index], stills[index], points))
    return found

# SPDX-License-Identifier: GPL-3.0-or-later
"""Training samples of the diffusion stages: which frames, which drags, in which slots, and what is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..backend.errors import InputError
from ..backend.pipeline import CLIP_MEAN, CLIP_STD
from .dataset import draw_drags
from .latents import LatentClip, decode_views
from .settings import MixtureSettings
from .stream import Arrays


@dataclass(frozen=True)
class Mixture:
    """Makes a sample of a cached clip; N frames, K slots.

    Attributes:
        settings: of the mixture.
        slots: K, drag slots of the model.
        target: "residual" to the still's latents, or the "latents" themselves.
        scale: brings what is diffused to unit variance.
        scaling_factor: the VAE's.
    """

    settings: MixtureSettings
    slots: int
    target: str
    scale: float
    scaling_factor: float

    def __call__(self, where: str, members: Mapping[str, bytes], rng: np.random.Generator) -> Arrays:
        """A sample of a stored clip, seen through one of its views. Raises `InputError` that names the clip."""
        views = decode_views(where, members)
        return self.sample(where, views[rng.integers(len(views))], rng)

    def sample(self, where: str, clip: LatentClip, rng: np.random.Generator) -> Arrays:
        """A sample of a view.

        Returns:
            `target` `[N, 4, h, w]`, of unit variance over clips; `image_latents` `[4, h, w]`, unscaled; `still`
            `[3, s, s]`, the image encoder's input; `drags` `[N, K, 4]`; `drag_mask` `[K]`
            bool; `keep`, 0 where the conditions are dropped; `times` `[N]`, where in the clip each frame is, 0 to 1;
            and for the loss to use `noise`, like `target`, `normal` and `uniform`, a number each.
        """
        index = self._frames(where, len(clip.latents), rng)
        latents = clip.latents[index].astype(np.float32)
        drags, mask, still_clip = self._drags(clip, index, rng)
        if still_clip:
            latents = np.repeat(latents[:1], len(latents), axis=0)
        base = latents[:1] if self.target == "residual" else 0.0
        target = (latents - base) * self.scale
        return {
            "target": target.astype(np.float32),
            "image_latents": latents[0] / np.float32(self.scaling_factor),
            "still": self._encoder_pixels(clip.still),
            "drags": drags,
            "drag_mask": mask,
            "keep": np.float32(rng.random() >= self.settings.drop_condition),
            "times": (index / (len(clip.latents) - 1)).astype(np.float32),
            "noise": rng.standard_normal(target.shape, dtype=np.float32),
            "normal": np.float32(rng.standard_normal()),
            "uniform": np.float32(rng.random()),
        }

    def _frames(self, where: str, length: int, rng: np.random.Generator) -> NDArray[np.int_]:
        """Which frames are taken, frame 0 first."""
        wanted = self.settings.frames
        if length < wanted:
            raise InputError(f"clip {where} has {length} frames, mixture.frames asks for {wanted}; lower it")
        if self.settings.pick == "stride":
            stride = int(rng.integers(1, (length - 1) // (wanted - 1) + 1))
            return np.arange(wanted) * stride
        later = rng.choice(np.arange(1, length), size=wanted - 1, replace=False)
        return np.concatenate([[0], np.sort(later)])

    def _drags(
        self, clip: LatentClip, index: NDArray[np.int_], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], bool]:
        """Drags in slots at random, which slots are used, and whether nothing is asked to move."""
        settings = self.settings
        # From one drag a part, as people give them, to all slots filled, from which following is learned sooner.
        more = rng.choice(settings.further_drags)
        paths = draw_drags(clip.points, rng, self.slots, settings.straighten, more, settings.pins)[:, index]
        nothing_moves = bool(rng.random() < settings.still_clips) or not len(paths)
        if nothing_moves:
            # Half the time said with pins.
            keep_pins = rng.random() < 0.5
            paths = np.repeat(paths[:, :1], paths.shape[1], axis=1)[: len(paths) if keep_pins else 0]
        drags = np.zeros((len(index), self.slots, 4), dtype=np.float32)
        mask = np.zeros(self.slots, dtype=bool)
        for slot, path in zip(rng.permutation(self.slots)[: len(paths)], paths, strict=True):
            drags[:, slot, :2], drags[:, slot, 2:] = path[0], path
            mask[slot] = True
        return drags, mask, nothing_moves

    def _encoder_pixels(self, still: NDArray[np.uint8]) -> NDArray[np.float32]:
        """A still `[s, s, 3]` as the image encoder sees it when previewing, `[3, s, s]`."""
        pixels = still.astype(np.float32) / np.float32(255)
        if self.target == "latents":
            pixels = (pixels - np.array(CLIP_MEAN, np.float32)) / np.array(CLIP_STD, np.float32)
        else:
            pixels = pixels * 2 - 1
        return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Previews by a motion field: the still's own pixels move, in one pass and without sampling."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from .errors import Cancelled
from .fitting import Fit, decode_still
from .model.motion_field import Motion, MotionField
from .pipeline import NO_DRAGS, Step, Timed, library_versions, load_part
from .protocol import PreviewRequest, PreviewResult, trajectories
from .registry import ModelInfo, check_complete, read_info
from .warping import fill, splat

STILL = 1e-3  # of the side: a pixel that moves less over the whole clip stays exactly
BEHIND = 4.0  # depth of plain background, in asset sizes: farther than anything
PLAIN = 6  # of 255: how far a pixel's colour may be from the background's
STEPS = 1


class MotionPipeline:
    """A loaded motion field; like `pipeline.PreviewPipeline` for whoever asks for previews."""

    def __init__(
        self, folder: Path, info: ModelInfo, model_hash: str, field: MotionField, device: str = "cpu"
    ) -> None:
        self.folder, self.info, self.model_hash = folder, info, model_hash
        self.field = field.eval()
        self.device = torch.device(device)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.info.name

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> MotionPipeline:
        """Load a model folder.

        Raises:
            ModelError: incomplete, corrupt or of another architecture; names the file.
        """
        info, model_hash = read_info(folder), check_complete(folder)
        return cls(folder, info, model_hash, load_part(MotionField, folder / "motion", device), device)

    @torch.inference_mode()
    def generate(
        self,
        request: PreviewRequest,
        on_step: Callable[[Step], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> tuple[NDArray[np.uint8], PreviewResult]:
        """Make a preview; see `PreviewPipeline.generate`.

        Steps, guidance and seed make no difference: there is one pass, and no chance in it.
        """
        self.info.check_drags(len(request.drags))
        if should_stop is not None and should_stop():
            raise Cancelled("the preview was cancelled")
        count = request.frames or self.info.frames
        timings: dict[str, float] = {}
        still = decode_still(request.still_png, request.background)
        fit = Fit.of((still.shape[1], still.shape[0]), (self.info.width, self.info.height), request.fit)
        seen = fit.to_model(still, request.background)
        with Timed(timings, "sample"):
            motion = self._predict(seen, fit.points_to_model(trajectories(request.drags, count)))
        with Timed(timings, "decode"):
            moved = self._move(seen, motion, request.background)
            if on_step is not None:
                on_step(Step(0, STEPS, lambda: moved))
            frames = fit.from_model(moved, still)
            frames[0] = still
        return frames, self._result(request, count, still, timings)

    def _predict(self, seen: NDArray[np.uint8], paths: NDArray[np.float32]) -> Motion:
        """What moves in the still `[h, w, 3]` with drags `[K, N, 2]`; at the model's size."""
        pixels = self._pixels(seen)
        size = self.field.config.size
        small = F.interpolate(pixels, size=(size, size), mode="area") if pixels.shape[-1] > size else pixels
        drags = torch.from_numpy(paths)[None].to(self.device)
        motion = self.field(small * 2 - 1, drags, torch.ones(drags.shape[:2], dtype=torch.bool, device=self.device))
        return Motion(
            _resized(motion.displacement[0], seen.shape[:2]),
            _resized(motion.depth[0][:, None], seen.shape[:2])[:, 0],
            _resized(motion.moving[:, None], seen.shape[:2])[0, 0],
        )

    def _move(
        self, seen: NDArray[np.uint8], motion: Motion, background: tuple[float, float, float]
    ) -> NDArray[np.uint8]:
        """All frames `[N, h, w, 3]`, the still first."""
        pixels = self._pixels(seen)[0]
        displacement, depth = motion.displacement, motion.depth
        plain = (pixels - torch.tensor(background, device=self.device)[:, None, None]).abs().amax(0) <= PLAIN / 255
        stays = plain | (displacement.norm(dim=1).amax(0) < STILL)
        displacement = torch.where(stays, torch.zeros(()), displacement)
        depth = torch.where(plain, torch.tensor(BEHIND), depth)
        moved = fill(*splat(pixels, displacement, depth))
        frames = torch.cat([pixels[None], moved])
        return (frames * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()

    def _pixels(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """uint8 `[h, w, 3]` as `[1, 3, h, w]` in [0, 1]."""
        return torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None].to(self.device) / 255

    def _result(
        self, request: PreviewRequest, count: int, still: NDArray[np.uint8], timings: dict[str, float]
    ) -> PreviewResult:
        return PreviewResult(
            model=self.name,
            model_hash=self.model_hash,
            drags=request.drags,
            frames=count,
            steps=STEPS,
            guidance=(1.0, 1.0),
            seed=request.seed,
            fit=request.fit,
            background=request.background,
            size=(still.shape[1], still.shape[0]),
            model_size=(self.info.width, self.info.height),
            still_sha256=hashlib.sha256(request.still_png).hexdigest(),
            device=f"{self.device.type} float32",
            threads=torch.get_num_threads(),
            timings={name: round(seconds, 3) for name, seconds in timings.items()},
            versions=library_versions(),
            notes=() if request.drags else (NO_DRAGS,),
        )


def _resized(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(image, size=size, mode="bilinear", align_corners=False)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Previews by a motion field: the still's own pixels move, in one pass and without sampling."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from .errors import Cancelled
from .fitting import Fit, decode_still
from .model.motion_field import Motion, MotionField
from .object_window import FAR, ObjectWindow
from .pipeline import NO_DRAGS, Step, Timed, library_versions, load_part
from .protocol import PreviewRequest, PreviewResult, trajectories
from .registry import ModelInfo, check_complete, read_info
from .warping import fill, splat

STILL = 1e-3  # of the side: a pixel that moves less over the whole clip stays exactly
STEPS = 1
PLAIN = 6  # of 255: how far a pixel's colour may be from the background's


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
            pixels = torch.from_numpy(seen.astype(np.float32)).permute(2, 0, 1).to(self.device) / 255
            background = torch.tensor(request.background, device=self.device)
            plain = (pixels - background[:, None, None]).abs().amax(0) <= PLAIN / 255
            paths = torch.from_numpy(fit.points_to_model(trajectories(request.drags, count))).to(self.device)
            motion = _at_rest(self._predict(pixels, plain, paths, background), plain)
        with Timed(timings, "decode"):
            moved = _move(pixels, motion)
            if on_step is not None:
                on_step(Step(0, STEPS, lambda: moved))
            frames = fit.from_model(moved, still)
            frames[0] = still
        reached = fit.points_from_model(_carried(motion, paths[:, 0].cpu()).numpy())
        return frames, self._result(request, count, still, timings, reached)

    def _predict(
        self, pixels: torch.Tensor, plain: torch.Tensor, drags: torch.Tensor, background: torch.Tensor
    ) -> Motion:
        """What moves in the still `[3, h, w]` with drags `[K, N, 2]`; `plain` `[h, w]` is `background` `[3]`."""
        window = ObjectWindow.about(plain, drags[:, 0])
        shown = window.cut(pixels, self.field.config.size, background) * 2 - 1
        mask = torch.ones(1, len(drags), dtype=torch.bool, device=self.device)
        return window.place(self.field(shown[None], window.points_in(drags)[None], mask), pixels.shape[-2:])

    def _result(
        self,
        request: PreviewRequest,
        count: int,
        still: NDArray[np.uint8],
        timings: dict[str, float],
        reached: NDArray[np.float64],
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
            reached=tuple(tuple((round(x, 5), round(y, 5)) for x, y in path) for path in reached.tolist()),
        )


def _at_rest(motion: Motion, plain: torch.Tensor) -> Motion:
    """The motion with what is `plain` `[h, w]` in place, behind all, and what moves too little to see in place too."""
    displacement, depth = motion.displacement[0], motion.depth[0]
    stays = plain | (displacement.norm(dim=1).amax(0) < STILL)
    displacement = torch.where(stays, torch.zeros(()), displacement)
    depth = torch.where(plain, torch.tensor(FAR), depth)
    return Motion(displacement[None], depth[None], motion.moving)


def _move(pixels: torch.Tensor, motion: Motion) -> NDArray[np.uint8]:
    """All frames `[N, h, w, 3]` of a still `[3, h, w]`, the still first."""
    moved = fill(*splat(pixels, motion.displacement[0], motion.depth[0]))
    frames = torch.cat([pixels[None], moved])
    return (frames * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def _carried(motion: Motion, starts: torch.Tensor) -> torch.Tensor:
    """Where the pixels at `starts` `[K, 2]` are in each frame: normalised `[K, N, 2]`, the start first.

    Those of starts outside the frame, which a crop cut off, stay.
    """
    displacement = motion.displacement[0].cpu()
    height, width = displacement.shape[-2:]
    cells = torch.floor(starts * torch.tensor([width, height])).long()
    inside = ((cells >= 0) & (cells < torch.tensor([width, height]))).all(1)
    column, row = cells[:, 0].clamp(0, width - 1), cells[:, 1].clamp(0, height - 1)
    moved = displacement[:, :, row, column].permute(2, 0, 1) * inside[:, None, None]
    return starts[:, None] + torch.cat([moved.new_zeros(len(starts), 1, 2), moved], dim=1)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Previews by a motion field: the still's own pixels move, in one pass and without sampling."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from .errors import Cancelled
from .fitting import Fit, decode_still
from .hole_filling import fill
from .model.motion_field import Motion, MotionField
from .object_window import FAR, ObjectWindow
from .previewing import NO_DRAGS, Made, Step, Timed, library_versions, load_part
from .protocol import PreviewRequest, PreviewResult, trajectories
from .registry import ModelInfo, check_complete, read_info
from .splatting import splat

STILL = 1e-3  # of the side: a pixel that moves less over the whole clip stays exactly
STEPS = 1
TOGETHER = 8  # stills that share a pass at most
PLAIN = 6  # of 255: how far a pixel's colour may be from the background's


@dataclass(frozen=True)
class _Look:
    """A request as the network looks at it.

    Attributes:
        request: what is asked.
        still: as it came, `[H, W, 3]`.
        fit: how it lies in the model's frame.
        pixels: the still in the model's frame, `[3, h, w]` in [0, 1].
        background: `[3]`.
        plain: which pixels are background, `[h, w]`.
        drags: `[K, N, 2]` in the model's frame.
        window: the part of the frame that the network sees.
    """

    request: PreviewRequest
    still: NDArray[np.uint8]
    fit: Fit
    pixels: torch.Tensor
    background: torch.Tensor
    plain: torch.Tensor
    drags: torch.Tensor
    window: ObjectWindow


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

    def generate(
        self,
        request: PreviewRequest,
        on_step: Callable[[Step], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Made:
        """Make a preview; see `PreviewPipeline.generate`.

        Steps, guidance, preset and seed make no difference: there is one pass, and no chance in it.
        """
        return self.generate_batch([request], on_step, should_stop)[0]

    @torch.inference_mode()
    def generate_batch(
        self,
        requests: Sequence[PreviewRequest],
        on_step: Callable[[Step], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> list[Made]:
        """Make previews; several share a pass of the network. See `PreviewPipeline.generate_batch`."""
        for request in requests:
            self.info.check_drags(len(request.drags))
        made: list[Made] = []
        for first in range(0, len(requests), TOGETHER):
            looks = [self._look(request) for request in requests[first : first + TOGETHER]]
            if should_stop is not None and should_stop():
                raise Cancelled("the preview was cancelled")
            timings: dict[str, float] = {}
            with Timed(timings, "sample", self.device):
                motions = self._predict(looks)
            for look, moves in zip(looks, motions, strict=True):
                motion = _at_rest(moves, look.plain)
                with Timed(own := dict(timings), "decode", self.device):
                    moved = _move(look.pixels, motion)
                    if on_step is not None:
                        on_step(Step(len(made), len(requests), partial(_frames, moved)))
                    frames = look.fit.from_model(moved, look.still)
                    frames[0] = look.still
                made.append((frames, self._result(look, motion, own, len(looks))))
        return made

    def _look(self, request: PreviewRequest) -> _Look:
        still = decode_still(request.still_png, request.background)
        fit = Fit.of((still.shape[1], still.shape[0]), (self.info.width, self.info.height), request.fit)
        seen = fit.to_model(still, request.background)
        pixels = torch.from_numpy(seen.astype(np.float32)).permute(2, 0, 1).to(self.device) / 255
        background = torch.tensor(request.background, device=self.device)
        plain = (pixels - background[:, None, None]).abs().amax(0) <= PLAIN / 255
        frames = request.frames or self.info.frames
        drags = torch.from_numpy(fit.points_to_model(trajectories(request.drags, frames))).to(self.device)
        return _Look(request, still, fit, pixels, background, plain, drags, ObjectWindow.about(plain, drags[:, 0]))

    def _predict(self, looks: list[_Look]) -> list[Motion]:
        """What moves in each still; clips of one length share a pass of the network."""
        found: dict[int, Motion] = {}
        lengths = [look.drags.shape[1] for look in looks]
        for length in sorted(set(lengths)):
            these = [index for index, other in enumerate(lengths) if other == length]
            most = max(len(looks[index].drags) for index in these)
            drags = torch.zeros(len(these), most, length, 2, device=self.device)
            mask = torch.zeros(len(these), most, dtype=torch.bool, device=self.device)
            shown = []
            for row, look in enumerate(looks[index] for index in these):
                drags[row, : len(look.drags)] = look.window.points_in(look.drags)
                mask[row, : len(look.drags)] = True
                shown.append(look.window.cut(look.pixels, self.field.config.size, look.background) * 2 - 1)
            motion = self.field(torch.stack(shown), drags, mask)
            for row, index in enumerate(these):
                one = Motion(*(part[row : row + 1] for part in (motion.displacement, motion.depth, motion.moving)))
                found[index] = looks[index].window.place(one, looks[index].pixels.shape[-2:])
        return [found[index] for index in range(len(looks))]

    def _result(self, look: _Look, motion: Motion, timings: dict[str, float], together: int) -> PreviewResult:
        request, still = look.request, look.still
        reached = look.fit.points_from_model(_carried(motion, look.drags[:, 0].cpu()).numpy())
        return PreviewResult(
            model=self.name,
            model_hash=self.model_hash,
            drags=request.drags,
            frames=look.drags.shape[1],
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
            together=together,
            timings={name: round(seconds, 3) for name, seconds in timings.items()},
            versions=library_versions(),
            notes=() if request.drags else (NO_DRAGS,),
            reached=tuple(tuple((round(x, 5), round(y, 5)) for x, y in path) for path in reached.tolist()),
        )


def _frames(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An estimate that is there already."""
    return frames


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

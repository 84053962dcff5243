# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage `distill`: a student that samples in a few steps, without guidance, where its teacher needs many with it.

Progressive distillation (Salimans & Ho 2022, arXiv 2202.00512) with a fixed teacher: one student step shall end where
several teacher steps end. The student's noise levels are those it will be sampled at, so each of its steps is learned
and nothing else; guidance is folded in (Meng et al. 2023, arXiv 2210.03142). Where a teacher's path from x at sigma to
x' at sigma' ends is where an Euler step with the estimate D* = (x' - r x) / (1 - r), r = sigma' / sigma, would: that
estimate is the student's target, and it is learned in the same parametrisation, v of the residual or of the latents,
that the teacher was. No further network, no schedule of rounds; for another round, the student becomes a teacher.
"""

from __future__ import annotations

from functools import cached_property

import torch

from ..backend.autoencoder import Autoencoder
from ..backend.sampling import karras_sigmas, precondition
from .diffusion import DiffusionStage, cache_folder, open_stream
from .loop import train
from .networks import Conditioned, Conditions, describe, networks_of_run
from .settings import DiffusionSettings, DistillSettings
from .stages import Job
from .stream import Batch, Stream

RHO = 7.0  # spacing of noise levels, as in `karras_sigmas`


class DistillStage(DiffusionStage):
    """Trains a student that starts as a copy of its teacher; see `loop.Stage`."""

    name = "distill"

    def __init__(
        self,
        settings: DistillSettings,
        student: Conditioned,
        teacher: Conditioned,
        stream: Stream,
        target: str,
        scale: float,
        vae: Autoencoder | None = None,
    ) -> None:
        shared = {name: getattr(settings, name) for name in DiffusionSettings.model_fields if hasattr(settings, name)}
        super().__init__(DiffusionSettings.model_construct(**shared, target=target), student, stream, scale, vae)
        self.distilled, self.teacher = settings, teacher.eval().requires_grad_(False)
        self.about = {
            "kind": self.name, **describe(student), "target": target, "target_scale": scale,
            "sampling": {
                "steps": settings.steps, "sigma_min": settings.sigma_min, "sigma_max": settings.sigma_max,
                "guidance": [1.0, 1.0],
            },
        }  # fmt: skip

    @cached_property
    def _levels(self) -> torch.Tensor:
        """The student's noise levels, falling, the last one 0."""
        return torch.tensor(karras_sigmas(self.distilled.steps, self.distilled.sigma_min, self.distilled.sigma_max))

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Mean squared error of the student's output against what makes its step end where the teacher's path does."""
        levels = self._levels.to(batch["uniform"].device)
        step = (batch["uniform"] * self.distilled.steps).long().clamp(max=self.distilled.steps - 1)
        sigma, after = levels[step], levels[step + 1]
        wide = sigma.reshape(-1, 1, 1, 1, 1)
        noisy = batch["target"] + wide * batch["noise"]
        wanted = self.teach(batch, noisy, sigma, after)
        c_skip, c_out, _, _ = precondition(wide)
        keep = torch.ones_like(sigma)
        output = self.networks.predict(noisy, sigma, self.networks.conditions(batch, keep))
        return (output - (wanted - c_skip * noisy) / c_out).square().mean(), {}

    @torch.no_grad()
    def teach(self, batch: Batch, noisy: torch.Tensor, sigma: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        """The estimate with which one Euler step from `sigma` to `after` ends where the teacher's path does.

        Args:
            batch: its conditions.
            noisy: where the path begins, `[B, N, 4, h, w]`.
            sigma: noise levels there, `[B]`.
            after: noise levels where it ends, `[B]`; may be 0.
        """
        keep = torch.ones_like(sigma)
        given = self.teacher.conditions(batch, keep)
        nothing = self.teacher.conditions(batch, 0 * keep)
        branches = [(branch, self._maps(branch, noisy)) for branch in (given, nothing)]
        x, high = noisy, sigma
        for index in range(1, self.distilled.substeps + 1):
            along = index / self.distilled.substeps
            low = (sigma ** (1 / RHO) * (1 - along) + after ** (1 / RHO) * along) ** RHO
            estimate = self._guided(x, high, branches, batch["times"])
            x = estimate + (x - estimate) * _wide(low / high)
            high = low
        ratio = _wide(after / sigma)
        return (x - ratio * noisy) / (1 - ratio)

    def _guided(
        self,
        x: torch.Tensor,
        sigma: torch.Tensor,
        branches: list[tuple[Conditions, list]],
        times: torch.Tensor,
    ) -> torch.Tensor:
        """The teacher's estimate with guidance that rises along the clip."""
        (given, given_maps), (nothing, no_maps) = branches
        estimate = self.teacher.denoise(x, sigma, given, drag_maps=given_maps)
        first, last = self.distilled.guidance
        if (first, last) == (1.0, 1.0):
            return estimate
        plain = self.teacher.denoise(x, sigma, nothing, drag_maps=no_maps)
        ramp = (first + (last - first) * times)[:, :, None, None, None]
        return plain + ramp * (estimate - plain)

    def _maps(self, conditions: Conditions, noisy: torch.Tensor) -> list[list[torch.Tensor]]:
        """What depends on the drags alone: once for all steps."""
        return self.teacher.unet.encode_drags(conditions["drags"], *noisy.shape[-2:], conditions["drag_mask"])

    def _look(self) -> tuple[int, float, float]:
        return self.distilled.steps, self.distilled.sigma_min, self.distilled.sigma_max


def _wide(values: torch.Tensor) -> torch.Tensor:
    return values.reshape(-1, 1, 1, 1, 1)


def run(job: Job) -> None:
    """The stage `distill`."""
    settings, folder = job.config.section("distill"), job.config.folder("distill")
    source = settings.teacher or job.config.folder("diffusion")
    teacher, about = networks_of_run(source, settings.teacher_ema)
    student, _ = networks_of_run(source, settings.teacher_ema)
    student.requires_grad_(True)
    teacher.to(job.processes.device)
    target, scale = about["target"], about["target_scale"]
    cache, slots = cache_folder(job.config, settings), teacher.unet.config.num_drags
    stream, vae = open_stream(job, cache, settings.mixture, slots, target, scale)
    stage = DistillStage(settings, student, teacher, stream, target, scale, vae)
    train(stage, settings, folder, job.processes, job.config.log, job.config.seed, job.say)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Distillation: what the student is taught, against paths that are known."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from puppet_master.backend.cli import main
from puppet_master.backend.sampling import karras_sigmas, sample_euler
from puppet_master.training.distill import DistillStage
from puppet_master.training.latents import read_cache
from puppet_master.training.mixture import Mixture
from puppet_master.training.networks import networks_of_run
from puppet_master.training.settings import DistillSettings, MixtureSettings


class Linear:
    """A teacher whose estimate is a known function of the noisy input and the noise level."""

    class Maps:
        """No drag maps."""

        def encode_drags(self, *_):
            return []

    unet = Maps()

    def conditions(self, batch, keep):
        return {"drags": batch["drags"], "drag_mask": None, "keep": keep}

    def denoise(self, noisy, sigma, conditions, drag_maps):
        """The best estimate of unit normal data; twice it where the conditions are dropped."""
        wide = sigma.reshape(-1, 1, 1, 1, 1)
        return noisy / (wide.square() + 1) * (2 - conditions["keep"].reshape(-1, 1, 1, 1, 1))


def make_stage(**settings):
    stage = object.__new__(DistillStage)
    stage.distilled, stage.teacher = DistillSettings(**settings), Linear()
    return stage


def make_batch(count=2, frames=3):
    generator = torch.Generator().manual_seed(0)
    return {
        "noise": torch.randn(count, frames, 4, 4, 4, generator=generator),
        "drags": torch.zeros(count, frames, 1, 4),
        "times": torch.linspace(0, 1, frames).repeat(count, 1),
    }


def euler(noisy, levels, factor=1.0):
    """The teacher's path by plain Euler steps over all `levels`."""
    x = noisy
    for high, low in pairwise(levels):
        estimate = factor * x / (high**2 + 1)
        x = estimate + (x - estimate) * (low / high)
    return x


@pytest.mark.parametrize("after", [2.0, 0.0])
def test_one_step_of_the_student_ends_where_the_teachers_path_ends(after):
    stage, batch = make_stage(guidance=[1.0, 1.0], substeps=4), make_batch()
    noisy = 8.0 * batch["noise"]
    sigma, low = torch.full((2,), 8.0), torch.full((2,), after)
    wanted = stage.teach(batch, noisy, sigma, low)
    levels = [(8.0 ** (1 / 7) * (1 - j / 4) + after ** (1 / 7) * (j / 4)) ** 7 for j in range(5)]
    landed = wanted + (noisy - wanted) * (after / 8.0)
    assert torch.allclose(landed, euler(noisy, levels), atol=1e-5)


def test_guidance_is_folded_in_and_rises_along_the_clip():
    stage, batch = make_stage(guidance=[1.0, 3.0], substeps=2), make_batch()
    noisy = 8.0 * batch["noise"]
    wanted = stage.teach(batch, noisy, torch.full((2,), 8.0), torch.zeros(2))
    levels = [8.0, (8.0 ** (1 / 7) / 2) ** 7, 0.0]
    for frame, scale in enumerate((1.0, 2.0, 3.0)):
        # The plain branch estimates twice the conditional one: 2 + scale (1 - 2).
        assert torch.allclose(wanted[:, frame], euler(noisy[:, frame], levels, 2 - scale), atol=1e-5)


def test_many_substeps_come_to_the_exact_path():
    """For unit normal data the exact path is known: x shrinks by sqrt((s'^2 + 1) / (s^2 + 1))."""
    stage, batch = make_stage(guidance=[1.0, 1.0], substeps=256), make_batch()
    noisy = 8.0 * batch["noise"]
    wanted = stage.teach(batch, noisy, torch.full((2,), 8.0), torch.full((2,), 1.0))
    landed = wanted + (noisy - wanted) / 8.0
    assert torch.allclose(landed, noisy * (2 / 65) ** 0.5, rtol=0.01)


@pytest.fixture(scope="module")
def distilled(prepared, whole_run, tmp_path_factory):
    """The folder of a distillation of the whole run."""
    out = tmp_path_factory.mktemp("distilled")
    given = {
        "out": out, "latents.vae": prepared / "vae", "distill.latents": prepared / "latents", "distill.lr": 2e-3,
        "distill.teacher": whole_run, "distill.clips": 160, "distill.log_every": 40, "distill.save_every": 1000,
        "distill.samples_every": 0, "distill.guidance": "[1.0, 1.0]",
    }  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main(["train", "debug", "--only", "distill", *(w for k, v in given.items() for w in ("--set", f"{k}={v}"))])
    assert ended.value.code == 0
    return out / "distill"


def test_the_student_learns_to_end_where_its_teacher_does(distilled, prepared, whole_run, stats):
    losses = [line["loss"] for line in stats(distilled)]
    assert losses[-1] < 0.8 * losses[0]
    student, about = networks_of_run(distilled, 0.10)
    teacher, _ = networks_of_run(whole_run, 0.10)
    assert about["sampling"] == {"steps": 2, "sigma_min": 0.05, "sigma_max": 80.0, "guidance": [1.0, 1.0]}

    maker = Mixture(MixtureSettings(frames=6, drop_condition=0.0, still_clips=0.0), 2, "residual", 1.0, 1.0)
    clips = islice(read_cache(prepared / "latents"), 4)
    samples = [maker.sample("here", clip, np.random.default_rng(n)) for n, clip in enumerate(clips)]
    batch = {name: torch.from_numpy(np.stack([sample[name] for sample in samples])) for name in samples[0]}

    def sample(networks, levels):
        conditions = networks.conditions(batch, torch.ones(4))

        def denoise(x, sigma):
            return networks.denoise(x, torch.full((4,), sigma), conditions)

        with torch.no_grad():
            return sample_euler(denoise, batch["noise"], levels)

    few = karras_sigmas(2, 0.05, 80.0)
    fine = [
        (high ** (1 / 7) * (1 - part) + low ** (1 / 7) * part) ** 7
        for high, low in pairwise(few)
        for part in (0.0, 0.5)
    ] + [0.0]
    wanted = sample(teacher, fine)
    plain, taught = (sample(networks, few) - wanted for networks in (teacher, student))
    assert taught.norm() < 0.8 * plain.norm()

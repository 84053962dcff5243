# SPDX-License-Identifier: GPL-3.0-or-later
"""The sampler against diffusers' scheduler and against a distribution known in closed form."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from diffusers import EulerDiscreteScheduler
from puppet_master.backend.sampling import guidance_ramp, karras_sigmas, precondition, sample_euler


def test_noise_levels_fall_from_the_largest_to_the_smallest_and_end_at_zero():
    sigmas = karras_sigmas(6, 0.002, 700.0)
    assert sigmas[0] == pytest.approx(700.0) and sigmas[-2] == pytest.approx(0.002) and sigmas[-1] == 0
    assert all(high > low for high, low in pairwise(sigmas))
    assert karras_sigmas(1, 0.002, 700.0) == [700.0, 0.0]


@torch.no_grad()
def test_sampling_equals_diffusers_euler_with_v_prediction():
    scheduler = EulerDiscreteScheduler(
        prediction_type="v_prediction",
        timestep_type="continuous",
        use_karras_sigmas=True,
        sigma_min=0.002,
        sigma_max=700.0,
        timestep_spacing="leading",
    )
    scheduler.set_timesteps(7)
    torch.manual_seed(0)
    weight = torch.randn(6, 6) * 0.3
    noise = torch.randn(4, 6)

    def network(x, c_noise):
        return torch.tanh(x @ weight + c_noise)

    x = noise * scheduler.init_noise_sigma
    for step in scheduler.timesteps:
        x = scheduler.step(network(scheduler.scale_model_input(x, step), step), step, x).prev_sample

    def denoise(y, sigma):
        c_skip, c_out, c_in, c_noise = precondition(torch.tensor(sigma))
        return c_skip * y + c_out * network(c_in * y, c_noise)

    found = sample_euler(denoise, noise, karras_sigmas(7, 0.002, 700.0))
    assert torch.allclose(found, x, atol=1e-4)


def test_preconditioning_makes_a_perfect_network_denoise_perfectly():
    torch.manual_seed(0)
    clean, sigma = torch.randn(64), torch.tensor(3.0)
    noisy = clean + sigma * torch.randn(64)
    c_skip, c_out, c_in, c_noise = precondition(sigma)
    wanted = (clean - c_skip * noisy) / c_out
    assert torch.allclose(c_skip * noisy + c_out * wanted, clean, atol=1e-5)
    assert c_in * math.sqrt(10) == pytest.approx(1.0)
    assert c_noise == pytest.approx(0.25 * math.log(3.0))


def test_an_ideal_denoiser_of_a_gaussian_gives_its_mean_and_spread():
    mean, spread = 2.0, 0.5

    def denoise(x, sigma):
        return (x * spread**2 + mean * sigma**2) / (spread**2 + sigma**2)

    noise = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    sample = sample_euler(denoise, noise, karras_sigmas(200, 0.002, 80.0))
    assert sample.mean().item() == pytest.approx(mean, abs=0.02)
    assert sample.std().item() == pytest.approx(spread, rel=0.05)


def test_each_step_reports_its_estimate_and_may_end_the_sampling():
    seen = []

    def after_step(index, denoised):
        seen.append((index, denoised.shape))
        if index == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample_euler(lambda x, sigma: x * 0, torch.zeros(2, 3), karras_sigmas(5, 0.1, 10.0), after_step)
    assert seen == [(index, (2, 3)) for index in range(3)]


def test_guidance_rises_linearly_over_the_frames():
    ramp = guidance_ramp(1.0, 3.0, 5, "cpu")
    assert ramp.shape == (1, 5, 1, 1, 1)
    assert ramp.flatten().tolist() == pytest.approx([1.0, 1.5, 2.0, 2.5, 3.0])

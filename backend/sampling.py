# SPDX-License-Identifier: GPL-3.0-or-later
"""EDM preconditioning with SVD's parametrisation, noise levels and the Euler sampler.

Karras et al., arXiv 2206.00364; SVD (arXiv 2311.15127, appendix D) takes data of unit variance and lets the
network predict v: `denoised = c_skip * x + c_out * F(c_in * x, c_noise)` with c_skip = 1 / (s² + 1),
c_out = -s / sqrt(s² + 1), c_in = 1 / sqrt(s² + 1), c_noise = log(s) / 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch

Denoiser = Callable[[torch.Tensor, float], torch.Tensor]
"""Noisy latents and their noise level to the denoised estimate, same shape."""


def karras_sigmas(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> list[float]:
    """`steps` noise levels from `sigma_max` down to `sigma_min`, then 0 (eq. 5 of the EDM paper)."""
    if steps == 1:
        return [sigma_max, 0.0]
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    ramp = [high + index / (steps - 1) * (low - high) for index in range(steps)]
    return [level**rho for level in ramp] + [0.0]


def precondition(sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """c_skip, c_out, c_in, c_noise for noise levels of any shape, float32."""
    sigma = sigma.float()
    total = sigma.square() + 1.0
    return 1.0 / total, -sigma / total.sqrt(), 1.0 / total.sqrt(), 0.25 * sigma.log()


def guidance_ramp(first: float, last: float, frames: int, device: torch.device | str) -> torch.Tensor:
    """Guidance scale of each frame, rising linearly, `[1, frames, 1, 1, 1]`."""
    return torch.linspace(first, last, frames, device=device).reshape(1, frames, 1, 1, 1)


def sample_euler(
    denoise: Denoiser,
    noise: torch.Tensor,
    sigmas: Sequence[float],
    after_step: Callable[[int, torch.Tensor], None] | None = None,
) -> torch.Tensor:
    """Integrate the probability-flow ODE with Euler steps.

    Args:
        denoise: the preconditioned model.
        noise: unit normal, the latents' shape.
        sigmas: falling noise levels, the last one 0; plain floats, so that no step waits for the device.
        after_step: called with the step's index and its denoised estimate; whatever it raises ends the
            sampling.

    Returns:
        The sample, shape of `noise`, float32.
    """
    # SVD starts from noise of the variance that data plus noise have, as diffusers' EulerDiscrete does.
    x = noise.float() * math.sqrt(sigmas[0] ** 2 + 1.0)
    for index, (sigma, following) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma).float()
        x = denoised + (x - denoised) * (following / sigma)
        if after_step is not None:
            after_step(index, denoised)
    return x

# SPDX-License-Identifier: GPL-3.0-or-later
"""The VAEs a model folder may have, behind two functions.

`AutoencoderKLTemporalDecoder` is Stable Video Diffusion's, `AutoencoderKL` its image cousin, `AutoencoderDC`
the light deterministic one of the embedded model.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderDC, AutoencoderKL, AutoencoderKLTemporalDecoder

Autoencoder = AutoencoderDC | AutoencoderKL | AutoencoderKLTemporalDecoder
VAE_CLASSES = {
    "AutoencoderDC": AutoencoderDC,
    "AutoencoderKL": AutoencoderKL,
    "AutoencoderKLTemporalDecoder": AutoencoderKLTemporalDecoder,
}


def encode(vae: Autoencoder, pixels: torch.Tensor) -> torch.Tensor:
    """Images `[B, 3, H, W]` in [-1, 1] to unscaled latents `[B, 4, h, w]`: the posterior's mode."""
    encoded = vae.encode(pixels.to(vae.dtype))
    return encoded.latent if isinstance(vae, AutoencoderDC) else encoded.latent_dist.mode()


def decode(vae: Autoencoder, latents: torch.Tensor) -> torch.Tensor:
    """Unscaled latents of consecutive frames `[N, 4, h, w]` to images `[N, 3, H, W]` around [-1, 1]."""
    latents = latents.to(vae.dtype)
    if isinstance(vae, AutoencoderKLTemporalDecoder):
        return vae.decode(latents, num_frames=len(latents)).sample
    return vae.decode(latents).sample

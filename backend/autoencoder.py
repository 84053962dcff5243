# SPDX-License-Identifier: GPL-3.0-or-later
"""The VAEs a model folder may have, behind two functions.

`AutoencoderKLTemporalDecoder` is Stable Video Diffusion's, `AutoencoderKL` its image cousin, `AutoencoderDC`
the light deterministic one of the embedded model.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderDC, AutoencoderKL, AutoencoderKLTemporalDecoder
from numpy.typing import NDArray

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


def decode_frames(vae: Autoencoder, latents: torch.Tensor, chunk: int) -> NDArray[np.uint8]:
    """Unscaled latents `[N, 4, h, w]` to frames uint8 `[N, H, W, 3]` in main memory, `chunk` of them at a time.

    On a GPU a chunk travels to main memory in a stream of its own while the next one is decoded.
    """
    on_gpu = latents.device.type == "cuda"
    stream = torch.cuda.Stream(latents.device) if on_gpu else None
    parts = []
    for some in latents.split(chunk):
        # Rounded as on the CPU: half precision has no digits left for 0 to 255.
        pixels = ((decode(vae, some).float() + 1) * 127.5).round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
        if stream is None:
            parts.append(pixels)
            continue
        stream.wait_stream(torch.cuda.current_stream(latents.device))
        with torch.cuda.stream(stream):
            host = torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=True)
            parts.append(host.copy_(pixels, non_blocking=True))
        pixels.record_stream(stream)
    if stream is not None:
        stream.synchronize()
    return torch.cat(parts).numpy()

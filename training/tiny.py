# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded model's recipe: sizes, mixture and schedule of `tiny`.

Sized for a CPU: 128 x 128 pixels, 8x compression to 16 x 16 latents, 14 frames. What is diffused is the
residual to the still's latents: on the same compute it beats diffusing the latents themselves, since "nothing
moves here" is then the easy answer. The soft drag images (`dense_bandwidths`) are what makes so small
a model follow drags after so few clips.
"""

from __future__ import annotations

from .diffusion import DiffusionSettings, Stage
from .vae import VaeSettings

NAME = "tiny"
SIZE = 128
FRAMES = 14
STILL_SIZE = 64
VIEWS = 4
SLOTS = 8
STEPS = 1
SIGMA_RANGE = (40.0, 80.0)
LICENCE = "GPL-3.0-or-later"

VAE = VaeSettings(steps=500, batch=4, learning_rate=4e-4)

DIFFUSION = DiffusionSettings(
    unet={
        "block_out_channels": (32, 96, 128),
        "num_attention_heads": (2, 3, 4),
        "norm_num_groups": 8,
        "layers_per_block": 1,
        "cross_attention_dim": 64,
        "num_drags": SLOTS,
        "num_frames": FRAMES,
        "pos_embed_dim": 16,
        "drag_embedder_out_channels": (24, 24),
        "dense_bandwidths": (0.04, 0.12, 0.36),
        "carry_bandwidths": (0.12, 0.36),
    },
    encoder={
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": STILL_SIZE,
        "patch_size": 8,
        "projection_dim": 64,
    },
    # Noise so high that nothing of the clip shows through: the model learns the mean of all clips that fit still
    # and drags, in one step. Lower levels, which would add detail, need far more samples than a CPU gives.
    log_sigma=(4.0, 0.4),
    ema_decay=0.99,
    stages=(
        Stage(steps=1000, batch=8, frames=5, learning_rate=(8e-4, 5e-4)),
        Stage(steps=330, batch=8, frames=5, learning_rate=(1e-3, 3e-5)),
    ),
)

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
STEPS = 4
SIGMA_RANGE = (1.0, 80.0)
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
    # High noise only: there the model decides what goes where, and a few steps from 80 to 1 are all it samples.
    log_sigma=(2.0, 1.2),
    stages=(
        Stage(steps=400, batch=8, frames=5, learning_rate=(8e-4, 8e-4)),
        Stage(steps=950, batch=8, frames=5, learning_rate=(7e-4, 3e-5)),
    ),
)

# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole model folder with small random weights: fast, and real in all but its pictures.

    python tests/random_model.py FOLDER
"""

import json
import sys
from pathlib import Path


def make_random_model(folder):
    """Write the model into `folder`."""
    import torch
    from diffusers import AutoencoderKL
    from puppet_master.backend.model import DragSpatioTemporalUNet
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    DragSpatioTemporalUNet(
        block_out_channels=(32, 32),
        layers_per_block=1,
        cross_attention_dim=32,
        num_attention_heads=(2, 2),
        num_drags=3,
        num_frames=4,
        drag_embedder_out_channels=(16, 16, 16),
    ).save_pretrained(folder / "unet")
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    AutoencoderKL(block_out_channels=(32, 32), latent_channels=4, **blocks).save_pretrained(folder / "vae")
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=32, projection_dim=32, num_hidden_layers=1, num_attention_heads=2,
        image_size=32, patch_size=16,
    )  # fmt: skip
    CLIPVisionModelWithProjection(vision).save_pretrained(folder / "image_encoder")
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text("{}")
    (folder / "model_index.json").write_text("{}")
    card = {
        "name": "random", "num_drags": 3, "width": 32, "height": 32, "frames": 4, "steps": 2,
        "guidance": [1.0, 2.0], "latent_target": "residual", "target_scale": 1.0, "sigma_min": 0.01,
        "sigma_max": 10.0, "latent_pixels": 2, "keep_still_detail": False, "licence": "GPL-3.0-or-later",
    }  # fmt: skip
    (folder / "puppet_master.json").write_text(json.dumps(card))


if __name__ == "__main__":
    make_random_model(Path(sys.argv[1]))

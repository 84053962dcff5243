# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests share: the shared material, a small model, and threads that leave room for the others."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

# Read by torch and OpenCV when they load. Beyond a few threads small models get slower, and the
# backend processes that tests start inherit the same.
os.environ.setdefault("OMP_NUM_THREADS", str(min(4, os.cpu_count() or 1)))

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared material beside the repository; the test is skipped where it is absent."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the shared material (../shared) is not on this machine")
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A whole model folder with small random weights: fast, and real in all but its pictures."""
    import torch
    from diffusers import AutoencoderKL
    from puppet_master.backend.model import DragSpatioTemporalUNet
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    folder = tmp_path_factory.mktemp("models") / "random"
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
    return folder

# SPDX-License-Identifier: GPL-3.0-or-later
"""The VAE: what it is worth before it is trained, and that training it is whole or nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from diffusers import AutoencoderDC
from puppet_master.backend.autoencoder import decode, encode
from puppet_master.training.dataset import RenderedClips
from puppet_master.training.vae import VaeSettings, build_vae, start_as_principal_components, train_vae
from rendered_clips import write_dataset


def smooth_frames(count=16, side=32):
    """Random smooth pictures `[count, 3, side, side]` in [-1, 1]."""
    small = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return torch.nn.functional.interpolate(small, size=(side, side), mode="bicubic").clamp(-1, 1)


@torch.no_grad()
def test_before_training_it_is_as_good_as_principal_components_of_patches():
    frames = smooth_frames()
    vae = build_vae(VaeSettings())
    start_as_principal_components(vae, frames)
    patches = torch.nn.functional.unfold(frames, 8, stride=8).transpose(1, 2).reshape(-1, 192)
    centred = patches - patches.mean(0)
    basis = torch.linalg.svd(centred, full_matrices=False)[2][:4]
    best = (centred @ basis.T @ basis - centred).square().mean()
    found = (decode(vae, encode(vae, frames)) - frames).square().mean()
    assert found.item() == pytest.approx(best.item(), rel=0.1)


@torch.no_grad()
def test_its_latents_have_unit_variance_each():
    frames = smooth_frames()
    vae = build_vae(VaeSettings())
    start_as_principal_components(vae, frames)
    assert encode(vae, frames).std(dim=(0, 2, 3)).tolist() == pytest.approx([1.0] * 4, rel=0.02)


def test_training_saves_a_folder_that_loads_with_its_scale(tmp_path):
    clips = RenderedClips([write_dataset(tmp_path / "clips", 3)])
    settings = replace(VaeSettings(), size=32, steps=3, batch=2)
    trained = train_vae(clips, tmp_path / "vae", settings, log=lambda line: None)
    again = AutoencoderDC.from_pretrained(tmp_path / "vae")
    assert again.config.scaling_factor == pytest.approx(trained.config.scaling_factor)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", "vae"]

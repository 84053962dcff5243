# SPDX-License-Identifier: GPL-3.0-or-later
"""The VAE: what it is worth before it is trained, and that training it is whole or nothing."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from diffusers import AutoencoderDC
from puppet_master.backend.autoencoder import decode, encode
from puppet_master.backend.cli import main
from puppet_master.backend.errors import InputError, ModelError
from puppet_master.backend.shards import CLIPS
from puppet_master.training.config import load_config
from puppet_master.training.settings import VaeSettings
from puppet_master.training.stream import Shards, Stream
from puppet_master.training.vae import build_vae, load_vae, start_as_principal_components, take_frames
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


def test_training_saves_a_folder_that_loads_with_its_scale(tmp_path, capsys):
    clips = write_dataset(tmp_path / "clips", 3)
    given = {"data.clips": f'["{clips}"]', "out": tmp_path / "out", "vae.clips": 8, "vae.frames": 1}
    arguments = ["train", "debug", "--only", "vae", *(w for k, v in given.items() for w in ("--set", f"{k}={v}"))]
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
    assert "is there" in capsys.readouterr().err
    vae = load_vae(tmp_path / "out" / "vae" / "model")
    assert isinstance(vae, AutoencoderDC) and not any(p.requires_grad for p in vae.parameters())
    # As many random frames as the scale was taken from: latents of about unit deviation.
    settings = load_config("debug", [f'data.clips=["{clips}"]']).section("vae")
    stream = Stream(Shards.find([clips], CLIPS), partial(take_frames, settings), 1, 1, 4)
    frames = next(stream.batches(0, 1, 0, 16))["frames"].flatten(0, 1)
    assert (encode(vae, frames) * vae.config.scaling_factor).std().item() == pytest.approx(1.0, abs=0.2)


def test_a_folder_without_a_vae_is_named(tmp_path):
    with pytest.raises(InputError, match=f"there is no VAE in {tmp_path}; make one with"):
        load_vae(tmp_path)
    (tmp_path / "config.json").write_text('{"_class_name": "VQModel"}')
    with pytest.raises(ModelError, match="class 'VQModel' is not a VAE this program knows"):
        load_vae(tmp_path)

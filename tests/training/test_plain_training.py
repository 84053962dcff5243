# SPDX-License-Identifier: GPL-3.0-or-later
"""The plain training step that ours is timed against is the same step: same loss, gradients and kind of batch."""

from __future__ import annotations

import numpy as np
import plain_training
import pytest
import torch
from puppet_master.training.config import load_config
from puppet_master.training.diffusion import DiffusionStage
from puppet_master.training.mixture import Mixture
from puppet_master.training.stream import Shards, Stream
from puppet_master.training.vae import load_vae


@pytest.fixture
def config(prepared):
    overrides = [
        f"latents.vae={prepared / 'vae'}", f"diffusion.latents={prepared / 'latents'}", "stages=['diffusion']",
        "diffusion.target=latents", "diffusion.unet.dense_bandwidths=[]", "diffusion.log_sigma=[0.7, 1.6]",
        "diffusion.mixture.drop_condition=0.4",
    ]  # fmt: skip
    return load_config("debug", overrides)


def gradients(networks, loss):
    """Of all weights in one; the mid block's attention to a single token leaves some of ours without."""
    networks.zero_grad()
    loss.backward()
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in networks.parameters()])


@pytest.mark.parametrize("checkpointing", [False, True])
def test_loss_and_gradients_are_those_of_the_stage(prepared, config, checkpointing):
    settings = config.section("diffusion")
    networks = plain_training.published_networks(settings, 0.05)
    maker = Mixture(settings.mixture, 2, "latents", 1.0, 1.0)
    stream = Stream(Shards.find([prepared / "latents"], "latents"), maker, 3, lanes=2, buffer=4)
    batch = next(stream.batches(0, 1, 0, 8))
    assert 0 < batch["keep"].sum() < 8 and not batch["drag_mask"].all()
    ours, _ = DiffusionStage(settings, networks, stream, 1.0).loss(batch)
    expected = gradients(networks, ours)
    plain = plain_training.loss(networks, batch, settings.log_sigma, checkpointing)
    found = gradients(networks, plain)
    assert plain.item() == pytest.approx(ours.item(), rel=1e-5)
    assert (found - expected).norm() < 1e-4 * expected.norm()


def test_a_batch_is_read_from_files_and_encoded(prepared, config, tmp_path):
    settings = config.section("diffusion")
    files = plain_training.write_files(prepared / "clips", tmp_path / "files")
    clips = plain_training.Files(files, config.section("latents"), settings.mixture, slots=2)
    assert len(clips) == 7
    made = plain_training.encoded(next(plain_training.batches(clips, 4)), load_vae(prepared / "vae"), 16)
    shapes = {name: tuple(value.shape) for name, value in made.items() if name not in ("keep", "normal")}
    assert shapes == {
        "frames": (4, 3, 3, 32, 32), "drags": (4, 3, 2, 4), "target": (4, 3, 4, 4, 4), "image_latents": (4, 4, 4, 4),
        "still": (4, 3, 16, 16), "noise": (4, 3, 4, 4, 4),
    }  # fmt: skip
    moved = np.abs(made["drags"][:, -1, :, 2:] - made["drags"][:, -1, :, :2]).amax((1, 2))
    assert (moved > 0.05).all()
    networks = plain_training.published_networks(settings, 0.05)
    assert torch.isfinite(plain_training.loss(networks, made, settings.log_sigma))

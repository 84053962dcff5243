# SPDX-License-Identifier: GPL-3.0-or-later
"""The diffusion stage: its mixture, its loss, and a run that is stopped and goes on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from puppet_master.training.dataset import TrackedPoints
from puppet_master.training.diffusion import (
    BatchMaker,
    Conditioned,
    DiffusionSettings,
    Stage,
    build_model,
    diffusion_loss,
    residual_scale,
    train_diffusion,
)
from puppet_master.training.latents import LatentClip
from puppet_master.training.publish import load_average

SETTINGS = DiffusionSettings(
    unet={
        "block_out_channels": (32, 32),
        "num_attention_heads": (1, 1),
        "layers_per_block": 1,
        "cross_attention_dim": 16,
        "num_drags": 2,
        "pos_embed_dim": 8,
        "drag_embedder_out_channels": (8,),
        "norm_num_groups": 8,
    },
    encoder={
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "image_size": 16,
        "patch_size": 8,
        "projection_dim": 16,
    },
    stages=(Stage(4, 2, 3, (1e-3, 1e-3)),),
)


def make_clips(count=3, frames=6):
    rng = np.random.default_rng(0)
    clips = []
    for _ in range(count):
        latents = np.repeat(rng.normal(size=(1, 4, 8, 8)), frames, axis=0)
        latents[1:, :, 2:5, 2:5] += np.linspace(0.5, 2, frames - 1)[:, None, None, None]
        path = np.linspace((0.3, 0.4), (0.7, 0.5), frames, dtype=np.float32)
        points = TrackedPoints(path[None], np.ones((1, frames), dtype=bool), np.ones(1, dtype=np.int16))
        still = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        clips.append(LatentClip(latents.astype(np.float16), still, points))
    return clips


def make_batch(settings=SETTINGS, size=8, frames=4, seed=0):
    return BatchMaker(make_clips(), 2, 0.5, 2.0, settings, np.random.default_rng(seed)).draw(size, frames)


def test_the_target_is_the_scaled_residual_to_the_still():
    batch = make_batch(replace(SETTINGS, still_clips=0.0))
    assert batch.target.shape == (8, 4, 4, 8, 8)
    assert (batch.target[:, 0] == 0).all()
    assert (batch.target[:, 1:, :, 2:5, 2:5] > 0.9).all()
    assert batch.target[:, :, :, 6:, 6:].abs().max() < 1e-6
    stills = [torch.from_numpy(clip.latents[0].astype(np.float32)) / 0.5 for clip in make_clips()]
    assert all(any(torch.allclose(found, still) for still in stills) for found in batch.image_latents)


def test_drags_begin_where_they_start_in_slots_at_random():
    batch = make_batch(replace(SETTINGS, still_clips=0.0), size=32)
    assert batch.drag_mask.sum(dim=1).tolist() == [1] * 32
    used = batch.drags.permute(0, 2, 1, 3)[batch.drag_mask]
    assert torch.equal(used[:, 0, :2], used[:, 0, 2:])
    assert (used[:, 0, 0] == pytest.approx(0.3)) and (used[:, -1, 2] > used[:, 0, 2]).all()
    assert 0 < batch.drag_mask[:, 0].sum() < 32


def test_where_nothing_is_asked_nothing_moves():
    batch = make_batch(replace(SETTINGS, still_clips=1.0), size=32)
    assert (batch.target == 0).all()
    used = batch.drags.permute(0, 2, 1, 3)[batch.drag_mask]
    assert torch.equal(used[..., :2], used[..., 2:])
    assert 0 < batch.drag_mask.any(dim=1).sum() < 32


def test_dropped_conditions_are_the_zeros_of_sampling():
    batch = make_batch(replace(SETTINGS, drop_condition=1.0))
    assert (batch.keep == 0).all()
    seen = {}

    class Spy(torch.nn.Module):
        def forward(self, noisy, timestep, embedding, image_latents, drags, mask):
            seen.update(embedding=embedding, image_latents=image_latents, mask=mask)
            return noisy

    model = Conditioned(Spy(), build_model(SETTINGS).encoder)
    model(batch, batch.target, torch.zeros(8))
    assert (seen["embedding"] == 0).all() and (seen["image_latents"] == 0).all() and not seen["mask"].any()


def test_a_network_that_knows_the_answer_has_no_loss():
    batch = make_batch()

    class Oracle(torch.nn.Module):
        def forward(self, given, scaled, c_noise):
            sigma = torch.exp(4 * c_noise).reshape(-1, 1, 1, 1, 1)
            total = sigma.square() + 1
            noisy = scaled * total.sqrt()
            return (given.target - noisy / total) / (-sigma / total.sqrt())

    loss = diffusion_loss(Oracle(), batch, (0.7, 1.6), torch.Generator().manual_seed(0))
    assert loss < 1e-6


def test_the_loss_of_knowing_nothing_is_that_of_data_and_noise():
    """An output of zero misses noise and data in the parts that v mixes: about one on unit data."""
    batch = make_batch()
    batch.target = torch.randn(8, 4, 4, 8, 8)

    class Zero(torch.nn.Module):
        def forward(self, given, scaled, c_noise):
            return torch.zeros_like(scaled)

    loss = diffusion_loss(Zero(), batch, (0.0, 1.0), torch.Generator().manual_seed(0))
    assert loss.item() == pytest.approx(1.0, abs=0.05)


def test_the_residual_scale_gives_the_residuals_unit_spread():
    clips = make_clips()
    residuals = np.concatenate([(c.latents[1:] - c.latents[:1]).ravel() for c in clips]).astype(float)
    assert residual_scale(clips) == pytest.approx(1 / residuals.std(), rel=0.01)


def test_training_lowers_the_loss_and_goes_on_where_it_stopped(tmp_path):
    clips = make_clips()
    settings = replace(SETTINGS, stages=(Stage(50, 4, 3, (3e-3, 1e-3)),), drop_condition=0.0)
    train_diffusion(clips, 0.5, settings, tmp_path, log=lambda line: None)
    first = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])
    longer = replace(settings, stages=(Stage(100, 4, 3, (3e-3, 1e-3)),))
    train_diffusion(clips, 0.5, longer, tmp_path, log=lambda line: None)
    second = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[1])
    assert (first["step"], second["step"]) == (50, 100)
    assert second["loss"] < 0.9 * first["loss"]
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    average = load_average(tmp_path, longer).state_dict()
    assert state["step"] == 100
    assert all(torch.equal(average[name], value) for name, value in state["ema"].items())


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    clips = make_clips()
    clips[0].latents[1:] = np.nan
    with pytest.raises(FloatingPointError, match="loss is nan at step"):
        train_diffusion(clips, 0.5, SETTINGS, tmp_path, log=lambda line: None)

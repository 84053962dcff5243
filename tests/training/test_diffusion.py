# SPDX-License-Identifier: GPL-3.0-or-later
"""The diffusion stage: its mixture, its loss, and what it begins with."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from puppet_master.backend.cli import main
from puppet_master.backend.media import encode_png
from puppet_master.backend.pipeline import PreviewPipeline
from puppet_master.backend.protocol import PreviewRequest
from puppet_master.training.config import load_config
from puppet_master.training.dataset import TrackedPoints
from puppet_master.training.diffusion import DiffusionStage, Uncertainty, residual_scale
from puppet_master.training.latents import LatentClip, read_cache
from puppet_master.training.mixture import Mixture
from puppet_master.training.networks import Conditioned, describe, make_networks, networks_of_run, rebuild
from puppet_master.training.settings import MixtureSettings

STRAIGHT = MixtureSettings(frames=4, still_clips=0.0, drop_condition=0.0)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """The settings of the preset `debug`."""
    folder = tmp_path_factory.mktemp("latents")
    (folder / "latents-000000.tar").touch()
    overrides = ["stages=['diffusion']", f"diffusion.latents={folder}"]
    return load_config("debug", overrides).section("diffusion")


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


def make_batch(mixture=STRAIGHT, size=8, target="residual", scale=2.0):
    """Samples of three clips in turn, as the stages get them."""
    maker, clips = Mixture(mixture, 2, target, scale, 0.5), make_clips()
    samples = [
        maker.sample("here", clips[n % len(clips)], np.random.default_rng([mixture.frames, n])) for n in range(size)
    ]
    return {name: torch.from_numpy(np.stack([sample[name] for sample in samples])) for name in samples[0]}


class Answer(torch.nn.Module):
    """In place of the networks: an output computed from the batch, the noisy input and the noise level."""

    def __init__(self, compute):
        super().__init__()
        self.compute, self.encoder = compute, torch.nn.Identity()

    def conditions(self, batch, keep):
        return {"batch": batch}

    def predict(self, noisy, sigma, conditions):
        return self.compute(conditions["batch"], noisy, sigma.reshape(-1, 1, 1, 1, 1))


def loss_of(compute, batch, settings, **more):
    """The stage's loss where the networks answer with `compute`."""
    stage = object.__new__(DiffusionStage)
    stage.settings, stage.networks, stage.modules = settings.model_copy(update=more), Answer(compute), {}
    return stage.loss(batch)[0]


def test_the_target_is_the_scaled_residual_to_the_still():
    batch = make_batch()
    assert batch["target"].shape == (8, 4, 4, 8, 8)
    assert (batch["target"][:, 0] == 0).all()
    assert (batch["target"][:, 1:, :, 2:5, 2:5] > 0.9).all()
    assert batch["target"][:, :, :, 6:, 6:].abs().max() < 1e-6
    stills = [torch.from_numpy(clip.latents[0].astype(np.float32)) / 0.5 for clip in make_clips()]
    assert all(any(torch.allclose(found, still) for still in stills) for found in batch["image_latents"])


def test_the_target_may_be_the_latents_themselves_as_in_svd():
    batch = make_batch(target="latents", scale=1.0)
    assert torch.allclose(batch["target"][:, 0], batch["image_latents"] * 0.5)
    white = make_clips()[0]
    white.still[:] = 255
    seen = Mixture(STRAIGHT, 2, "latents", 1.0, 0.5).sample("here", white, np.random.default_rng(0))["still"]
    # OpenAI's mean and deviation, as for previews.
    assert seen[:, 0, 0] == pytest.approx([1.9303, 2.0749, 2.1459], abs=1e-3)


def test_drags_begin_where_they_start_in_slots_at_random():
    batch = make_batch(size=32)
    assert batch["drag_mask"].sum(dim=1).tolist() == [1] * 32
    used = batch["drags"].permute(0, 2, 1, 3)[batch["drag_mask"]]
    assert torch.equal(used[:, 0, :2], used[:, 0, 2:])
    assert (used[:, 0, 0] == pytest.approx(0.3)) and (used[:, -1, 2] > used[:, 0, 2]).all()
    assert 0 < batch["drag_mask"][:, 0].sum() < 32


def test_where_nothing_is_asked_nothing_moves():
    batch = make_batch(STRAIGHT.model_copy(update={"still_clips": 1.0}), size=32)
    assert (batch["target"] == 0).all()
    used = batch["drags"].permute(0, 2, 1, 3)[batch["drag_mask"]]
    assert torch.equal(used[..., :2], used[..., 2:])
    assert 0 < batch["drag_mask"].any(dim=1).sum() < 32


@pytest.mark.parametrize("pick", ["random", "stride"])
def test_frames_are_picked_with_the_still_first_and_drags_with_them(pick):
    mixture = MixtureSettings(frames=3, pick=pick, still_clips=0.0, straighten=0.0)
    batch = make_batch(mixture, size=40)
    times = batch["times"]
    assert (times[:, 0] == 0).all() and (times.diff(dim=1) > 0).all()
    steps = (times * 5).round().diff(dim=1)
    assert ((steps[:, 0] == steps[:, 1]).all() if pick == "stride" else (steps[:, 0] != steps[:, 1]).any())
    places = batch["drags"].permute(0, 2, 1, 3)[batch["drag_mask"]][:, :, 2]
    assert torch.allclose(places, 0.3 + 0.4 * times, atol=1e-6)


def test_dropped_conditions_are_those_of_the_unconditional_branch_of_sampling(settings, model_folder):
    """A dropped sample is told zeros; what the pipeline computes for its unconditional clip is just that."""
    pipeline = PreviewPipeline.load(model_folder)
    calls, plain = [], pipeline._accelerated.plain
    pipeline._accelerated.plain = lambda *told: calls.append((told, plain(*told))) or calls[-1][1]
    still = encode_png(np.full((32, 32, 3), (200, 30, 30), dtype=np.uint8))
    pipeline.generate(PreviewRequest(still_png=still, steps=1))
    (told, (output, _)), *_ = calls
    zeros = [torch.zeros_like(part) for part in told[2:6]]
    with torch.inference_mode():
        assert torch.allclose(pipeline.unet(told[0][1:], told[1], *zeros), output[1:], atol=1e-5)
    batch = make_batch(size=2)
    networks = Conditioned(pipeline.unet, pipeline.encoder)
    batch["still"] = torch.rand(2, 3, 32, 32)
    dropped = networks.conditions(batch, torch.zeros(2))
    assert (dropped["encoder_hidden_states"] == 0).all() and (dropped["image_latents"] == 0).all()
    assert (dropped["drags"] == 0).all() and not dropped["drag_mask"].any()
    kept = networks.conditions(batch, torch.ones(2))
    assert torch.equal(kept["drags"], batch["drags"]) and kept["encoder_hidden_states"].abs().sum() > 0


def test_the_share_of_dropped_samples_is_as_configured():
    batch = make_batch(STRAIGHT.model_copy(update={"drop_condition": 0.3}), size=400)
    assert batch["keep"].mean().item() == pytest.approx(0.7, abs=0.06)


def test_a_network_that_knows_the_answer_has_no_loss(settings):
    def oracle(batch, noisy, sigma):
        total = sigma.square() + 1
        return (batch["target"] - noisy / total) / (-sigma / total.sqrt())

    assert loss_of(oracle, make_batch(), settings, log_sigma=[0.7, 1.6]) < 1e-6


def test_the_loss_of_knowing_nothing_is_that_of_data_and_noise(settings):
    """An output of zero misses noise and data in the parts that v mixes: about one on unit data."""
    batch = make_batch()
    batch["target"] = torch.randn(8, 4, 4, 8, 8)
    loss = loss_of(lambda batch, noisy, sigma: torch.zeros_like(noisy), batch, settings, log_sigma=[0.0, 1.0])
    assert loss.item() == pytest.approx(1.0, abs=0.05)


def test_noise_levels_are_log_normal(settings):
    levels = []

    def watch(batch, noisy, sigma):
        levels.append(sigma.flatten().log())
        return noisy

    batch = make_batch(STRAIGHT.model_copy(update={"frames": 2}), size=2000)
    loss_of(watch, batch, settings, log_sigma=[0.7, 1.6])
    assert levels[0].mean().item() == pytest.approx(0.7, abs=0.12)
    assert levels[0].std().item() == pytest.approx(1.6, abs=0.08)


def test_the_uncertainty_learns_the_errors_of_noise_levels():
    """Its optimum is the log of the expected error: here sigma itself."""
    torch.manual_seed(0)
    uncertainty = Uncertainty()
    assert uncertainty(torch.tensor([0.1, 10.0])).tolist() == [0.0, 0.0]
    optimizer = torch.optim.Adam(uncertainty.parameters(), lr=0.02)
    for _ in range(800):
        sigma = torch.exp(torch.randn(64))
        log_error = uncertainty(sigma)
        (sigma * torch.exp(-log_error) + log_error).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    found = uncertainty(torch.tensor([0.4, 1.0, 2.5])).exp()
    assert found.tolist() == pytest.approx([0.4, 1.0, 2.5], rel=0.1)


def test_the_residual_scale_gives_the_residuals_unit_spread(prepared):
    clips = list(read_cache(prepared / "latents"))
    residuals = np.concatenate([(c.latents[1:] - c.latents[:1]).ravel() for c in clips]).astype(float)
    assert residual_scale(prepared / "latents") == pytest.approx(1 / residuals.std(), rel=0.01)


def test_a_description_rebuilds_the_same_networks(settings):
    networks = make_networks(settings)
    about = json.loads(json.dumps(describe(networks)))
    again = rebuild(about)
    again.load_state_dict(networks.state_dict())
    assert describe(again) == describe(networks)


def test_a_run_gives_its_networks_with_any_average(whole_run):
    short, about = networks_of_run(whole_run, 0.05)
    long, _ = networks_of_run(whole_run, 0.2)
    assert about["target"] == "residual"
    difference = (short.unet.conv_in.weight - long.unet.conv_in.weight).abs().max()
    assert 0 < difference < 0.05


def test_training_lowers_the_loss(diffusion_run, tmp_path, stats):
    given = {"diffusion.clips": 240, "diffusion.lr": 3e-3, "diffusion.mixture.drop_condition": 0.0,
             "diffusion.log_every": 80, "diffusion.save_every": 1000, "diffusion.snapshot_every": 1000}  # fmt: skip
    with pytest.raises(SystemExit):
        main(["train", *diffusion_run("long", **given)])
    first, *_, last = (line["loss"] for line in stats(tmp_path / "long" / "diffusion"))
    assert last < 0.9 * first

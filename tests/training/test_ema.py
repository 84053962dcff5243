# SPDX-License-Identifier: GPL-3.0-or-later
"""Averages whose length is chosen afterwards, against averages computed from the whole trajectory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from puppet_master.training.ema import Averages, combination, decay, exponent_of

STEPS, DELTA = 400, 16
KEPT = (0.05, 0.10)


def trajectory():
    """Weights `[STEPS, 8]` of a known training: a fast approach, slow drift and noise."""
    rng = np.random.default_rng(0)
    times = np.arange(1, STEPS + 1)[:, None]
    goal, drift = rng.normal(size=8), rng.normal(size=8)
    return goal * (1 - np.exp(-times / 40)) + drift * times / STEPS + 0.2 * rng.normal(size=(STEPS, 8))


def average(path, length):
    """The average after each step, by its definition: weights (s / t) ** gamma of the past."""
    gamma = exponent_of(length)
    edges = np.arange(STEPS + 1) ** (gamma + 1.0)
    weights = np.diff(edges)
    return np.stack([(weights[:n, None] * path[:n]).sum(0) / edges[n] for n in range(1, STEPS + 1)])


@pytest.mark.parametrize("length", [0.05, 0.1, 0.2])
def test_a_profile_has_the_relative_deviation_that_it_is_named_by(length):
    gamma = exponent_of(length)
    places = (np.arange(200_000) + 0.5) / 200_000
    weights = places**gamma / (places**gamma).sum()
    mean = (weights * places).sum()
    assert ((weights * (places - mean) ** 2).sum()) ** 0.5 == pytest.approx(length, rel=1e-3)


@pytest.mark.parametrize("length", KEPT)
def test_running_averages_follow_the_definition(length):
    path = trajectory()
    module = torch.nn.Linear(8, 1, bias=False).double()
    averages = Averages(module, KEPT)
    wanted = average(path, length)
    for step, weights in enumerate(path, start=1):
        module.weight.data = torch.from_numpy(weights)[None].clone()
        averages._parameters["weight"] = module.weight
        averages.update(step * DELTA, DELTA)
        assert np.allclose(averages.whole(length)["weight"].numpy()[0], wanted[step - 1], atol=1e-9)


def test_the_first_update_forgets_what_was_before():
    assert decay(0.1, 16, 16) == 0.0


@pytest.mark.parametrize("length", [0.04, 0.05, 0.07, 0.10, 0.14, 0.2])
def test_any_length_is_made_of_snapshots_of_two(length):
    path = trajectory()
    kept = {each: average(path, each) for each in KEPT}
    at = list(range(20, STEPS + 1, 20))
    times = [step * DELTA for step in at for _ in KEPT]
    lengths = list(KEPT) * len(at)
    factors = combination(times, lengths, STEPS * DELTA, length)
    assert factors.sum() == pytest.approx(1.0)
    found = sum(f * kept[each][t // DELTA - 1] for f, t, each in zip(factors, times, lengths, strict=True))
    wanted = average(path, length)[-1]
    without = np.abs(kept[0.05][-1] - wanted).max()
    tolerance = 0.02 if length >= 0.05 else 0.05
    assert np.abs(found - wanted).max() < tolerance
    if length > 0.1:
        assert np.abs(found - wanted).max() < 0.2 * without


def test_a_length_that_was_kept_is_its_last_snapshot():
    factors = combination([10, 10, 20, 20], [0.05, 0.1, 0.05, 0.1], 20, 0.1)
    assert factors == pytest.approx([0, 0, 0, 1], abs=1e-6)


def test_a_module_can_be_looked_at_with_its_average():
    module = torch.nn.Linear(2, 1)
    averages = Averages(module, KEPT)
    averages.update(8, 8)
    then = module.weight.detach().clone()
    with torch.no_grad():
        module.weight.add_(1.0)
    with averages.applied(0.05):
        assert torch.equal(module.weight, then)
    assert torch.equal(module.weight, then + 1)


def test_what_is_not_trained_is_not_averaged():
    module = torch.nn.Linear(2, 1)
    module.bias.requires_grad_(False)
    assert list(Averages(module, KEPT).whole(0.05)) == ["weight"]

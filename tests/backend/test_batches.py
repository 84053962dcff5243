# SPDX-License-Identifier: GPL-3.0-or-later
"""Previews that are made together equal those made alone, and what they share and do not share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from puppet_master.backend.errors import Cancelled, InputError
from puppet_master.backend.loader import load_pipeline
from puppet_master.backend.pipeline import PreviewPipeline
from puppet_master.backend.presets import PRESETS, Preset
from puppet_master.backend.protocol import Drag, DragPoint, PreviewRequest, PreviewResult
from puppet_master.backend.registry import find_model


@pytest.fixture(scope="module")
def pipeline(model_folder):
    made = PreviewPipeline.load(model_folder)
    for name, parameter in made.unet.named_parameters():  # drags must matter
        if "flow_convs" in name and "conv_out" in name:
            torch.nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(1))
    return made


def drags(count):
    return tuple(Drag(f"d{i}", (DragPoint(0, 0.3, 0.3 + 0.1 * i), DragPoint(1, 0.7, 0.5))) for i in range(count))


def difference(one, other):
    return np.abs(one.astype(int) - other.astype(int)).max()


@pytest.fixture
def requests(still_png):
    """Of every kind that may come together: other drags, seeds, guidances, frames, steps."""
    base = PreviewRequest(still_png, drags(2))
    return [
        base,
        replace(base, drags=drags(1), seed=4, guidance=(2.0, 2.0)),
        replace(base, frames=3),
        replace(base, drags=()),
        replace(base, seed=5, guidance=(1.0, 1.0)),
        replace(base, drags=drags(3), seed=6),
        replace(base, steps=3, seed=7),
    ]


def test_together_and_alone_are_the_same_previews(pipeline, requests):
    together = pipeline.generate_batch(requests)
    assert [result.together for _, result in together] == [4, 4, 1, 4, 1, 4, 1]
    for request, (frames, result) in zip(requests, together, strict=True):
        alone, wanted = pipeline.generate(request)
        assert difference(frames, alone) <= 1
        assert replace(result, together=1, timings={}) == replace(wanted, timings={})
    assert difference(together[0][0], together[5][0]) > 1


def test_steps_count_over_all_previews(pipeline, requests):
    told = []
    pipeline.generate_batch(requests, on_step=lambda step: told.append((step.index, step.total)))
    indices = [index for index, _ in told]
    assert indices == sorted(set(indices)) and indices[-1] == 7 * 2 + 1 - 1 and {total for _, total in told} == {15}


def test_one_bad_request_refuses_all_before_anything_is_made(pipeline, requests):
    told = []
    with pytest.raises(InputError, match="4 drags, but model random has 3 slots"):
        pipeline.generate_batch([*requests, replace(requests[0], drags=drags(4))], on_step=told.append)
    assert not told


def test_cancelling_ends_all(pipeline, requests):
    told = []
    with pytest.raises(Cancelled):
        pipeline.generate_batch(requests, told.append, lambda: len(told) == 3)
    assert len(told) == 3


def test_no_requests_make_no_previews(pipeline):
    assert pipeline.generate_batch([]) == []


def test_the_embedded_model_makes_the_same_together_and_alone(still_png):
    pipeline = load_pipeline(find_model("tiny"))
    base = PreviewRequest(still_png, drags(2))
    asked = [base, replace(base, drags=()), replace(base, drags=drags(3), frames=5), replace(base, drags=drags(1))]
    told = []
    together = pipeline.generate_batch(asked, on_step=lambda step: told.append((step.index, step.total)))
    assert told == [(index, 4) for index in range(4)]
    for request, (frames, result) in zip(asked, together, strict=True):
        alone, wanted = pipeline.generate(request)
        assert frames.shape == alone.shape and difference(frames, alone) <= 1
        assert (result.notes, result.together, wanted.together) == (wanted.notes, 4, 1)


def test_guidance_outside_its_interval_costs_no_unconditional_branch(pipeline, still_png):
    rows = []
    original = pipeline._accelerated.plain
    pipeline._accelerated.plain = lambda *given: rows.append(len(given[0])) or original(*given)
    try:
        request = PreviewRequest(still_png, drags(1), steps=4, guidance=(2.0, 2.0), guidance_interval=(0.25, 0.75))
        _, result = pipeline.generate(request)
    finally:
        pipeline._accelerated.plain = original
    assert rows == [1, 2, 2, 1] and result.guidance_interval == (0.25, 0.75)


def test_an_interval_over_the_whole_changes_nothing(pipeline, still_png):
    request = PreviewRequest(still_png, drags(1), steps=4, guidance=(2.0, 2.0))
    plain, _ = pipeline.generate(request)
    whole, _ = pipeline.generate(replace(request, guidance_interval=(0.0, 1.0)))
    part, _ = pipeline.generate(replace(request, guidance_interval=(0.0, 0.5)))
    assert np.array_equal(plain, whole) and not np.array_equal(plain, part)


def test_reused_features_spare_the_lower_levels_at_other_steps(pipeline, still_png):
    seen = []
    handle = pipeline.unet.mid_block.register_forward_hook(lambda *_: seen.append(1))
    request = PreviewRequest(still_png, drags(1), steps=5, guidance=(2.0, 2.0))
    try:
        exact, _ = pipeline.generate(request)
        every = len(seen)
        reused, result = pipeline.generate(replace(request, feature_reuse=2))
    finally:
        handle.remove()
    assert (every, len(seen) - every, result.feature_reuse) == (5, 3, 2)
    assert 0 < difference(exact, reused) < 128


def test_presets_fill_in_what_a_request_leaves_open(pipeline, still_png, monkeypatch):
    monkeypatch.setattr(pipeline, "info", replace(pipeline.info, steps=10))
    request = PreviewRequest(still_png, drags(1))
    results = {preset: pipeline.generate(replace(request, preset=preset))[1] for preset in PRESETS}
    assert {preset: result.steps for preset, result in results.items()} == {"draft": 4, "normal": 10, "final": 20}
    assert results["draft"].guidance_interval == (0.0, 0.7) and results["final"].guidance_interval == (0.0, 1.0)
    stated = pipeline.generate(replace(request, preset="draft", steps=2, guidance_interval=(0.5, 1.0)))[1]
    assert (stated.steps, stated.guidance_interval) == (2, (0.5, 1.0))


@pytest.mark.parametrize(("factor", "declared", "steps"), [(0.4, 25, 10), (2.0, 25, 50), (0.4, 6, 4), (2.0, 4, 4)])
def test_presets_leave_models_of_few_steps_alone(factor, declared, steps):
    assert Preset(factor, (0.0, 1.0)).steps_of(declared) == steps


@pytest.mark.parametrize(
    ("field", "value"),
    [("preset", "best"), ("guidance_interval", (0.7, 0.2)), ("guidance_interval", (0.0, 1.5)), ("feature_reuse", 0)],
)
def test_unusable_choices_are_refused_by_name(still_png, field, value):
    with pytest.raises(InputError, match=field):
        PreviewRequest(still_png, **{field: value})


def test_requests_and_results_cross_the_wire_with_their_choices(pipeline, still_png):
    request = PreviewRequest(still_png, preset="draft", guidance_interval=(0.1, 0.9), feature_reuse=2)
    assert PreviewRequest.from_json(request.to_json()) == request
    result = pipeline.generate(request)[1]
    assert PreviewResult.from_json(result.to_json()) == result
    older = {key: value for key, value in result.to_json().items()
             if key not in ("guidance_interval", "feature_reuse", "memory", "together")}  # fmt: skip
    assert PreviewResult.from_json(older).guidance_interval == (0.0, 1.0)

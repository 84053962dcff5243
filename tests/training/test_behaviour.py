# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of any model, on stand-ins that are known to pass and to fail each of them."""

from dataclasses import asdict

import numpy as np
import pytest
from puppet_master.training.behaviour import behaviour_on_clip, check_behaviour, summarise_behaviour
from sliding_squares import FRAMES, QUICK, Mover, sliding_clip


def check(model, clip=None, **settings):
    clip = clip or sliding_clip(points=True)
    return check_behaviour(model, clip.still, clip.drags, settings=settings, track=QUICK)


def test_a_model_that_follows_its_drags_passes():
    found = check(Mover())
    assert found.followed == pytest.approx(1.0, abs=0.05)
    assert found.followed_least == pytest.approx(1.0, abs=0.05)
    assert found.opposite_cosine == pytest.approx(-1.0, abs=0.01)
    assert found.opposite == 1.0
    assert found.pin_drift < 0.5 and found.pin_drift_most < 1.0
    assert found.unasked_motion == found.unasked_change == 0.0


def test_a_model_that_stands_still_follows_nothing():
    found = check(Mover(share=0.0))
    assert found.followed == found.followed_least == 0.0
    assert found.opposite == 0.0
    assert found.opposite_cosine is None  # nothing went anywhere


def test_a_model_that_goes_the_wrong_way_is_found_out():
    found = check(Mover(share=-0.5))
    assert found.followed == pytest.approx(-0.5, abs=0.05)
    assert found.opposite == 0.0


def test_a_picture_that_drifts_whatever_is_asked_fails_pins_and_the_empty_request():
    found = check(Mover(share=0.0, drift=4.0))
    ways = 4.0 * np.arange(1, FRAMES)
    assert found.opposite_cosine == pytest.approx(1.0, abs=0.01)  # the same motion, whichever way it is dragged
    assert found.opposite == 0.0
    assert found.pin_drift == pytest.approx(ways.mean(), abs=0.5)
    assert found.pin_drift_most == pytest.approx(ways.max(), abs=1.5)  # a pin on an edge
    assert found.unasked_motion == pytest.approx(ways.mean(), abs=0.5)
    assert found.unasked_change > 1.0


def test_drags_and_pins_are_invented_where_none_are_given():
    clip, model = sliding_clip(points=True), Mover()
    found = check_behaviour(model, clip.still, settings={"seed": 5}, track=QUICK)
    asked = [[drag.is_pin for drag in request.drags] for request in model.requests]
    assert asked == [[False], [False], [False, True, True], []]
    assert {request.seed for request in model.requests} == {5}
    there, back = (request.drags[0].resample(3) for request in model.requests[:2])
    assert np.allclose(there + back, 2 * there[0], atol=1e-6)
    assert found.unasked_change == 0.0


def test_from_a_clips_middle_both_ways_are_ones_it_can_go():
    clip, model = sliding_clip(step=(6, 2)), Mover()
    found = behaviour_on_clip(model, clip, {"seed": 1}, QUICK)
    assert found.followed == pytest.approx(1.0, abs=0.05) and found.opposite == 1.0
    forward, backward = (request.drags[0].resample(FRAMES) for request in model.requests[:2])
    middle = FRAMES // 2
    assert np.allclose(forward[[0, -1]], clip.drags[0, [middle, -1]], atol=1e-6)
    assert np.allclose(backward[[0, -1]], clip.drags[0, [middle, 0]], atol=1e-6)
    assert len({request.still_png for request in model.requests}) == 1


def test_without_moving_drags_the_rest_is_checked():
    clip = sliding_clip(step=(0, 0))
    found = behaviour_on_clip(Mover(drift=2.0), clip, track=QUICK)
    assert found.followed is found.opposite is None
    assert found.pin_drift > 1.0 and found.unasked_motion > 1.0


def test_a_model_with_too_few_slots_for_pins_is_not_asked_to_hold_them():
    assert check(Mover(slots=1)).pin_drift is None


def test_a_plain_still_is_no_trouble():
    found = check_behaviour(Mover(), np.full((64, 64, 3), 255, np.uint8), track=QUICK)
    assert found.unasked_motion is None and found.unasked_change == 0.0


def test_figures_are_means_over_stills_with_intervals():
    clips = [sliding_clip("a"), sliding_clip("b", (0, 5)), sliding_clip("c", (0, 0))]
    rows = [{"clip": clip.name, **asdict(behaviour_on_clip(Mover(share=0.5), clip, track=QUICK))} for clip in clips]
    report = summarise_behaviour(rows)
    assert report["followed"]["mean"] == pytest.approx(0.5, abs=0.05)
    assert report["followed"]["stills"] == 2 and report["unasked_change"]["stills"] == 3
    low, high = report["followed"]["confidence_95"]
    assert low <= report["followed"]["mean"] <= high
    assert [row["clip"] for row in report["per_clip"]] == ["a", "b", "c"]
    assert summarise_behaviour([])["followed"] == {"mean": None, "confidence_95": None, "stills": 0}

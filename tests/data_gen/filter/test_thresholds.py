# SPDX-License-Identifier: GPL-3.0-or-later
"""Every limit just below and just above; files that move limits."""

from __future__ import annotations

import dataclasses

import pytest
from puppet_master.backend.errors import InputError
from puppet_master.data_gen.filter.features import FEATURES, Features
from puppet_master.data_gen.filter.thresholds import (
    DEFAULTS,
    LIMITS,
    NAMED,
    VIEW_LIMITS,
    decide,
    decide_view,
    load_limits,
)
from puppet_master.data_gen.filter.views import VIEW_FEATURES, ViewFeatures
from puppet_master.data_gen.reasons import REASONS

# A character that swings its arms: within every limit.
GOOD = Features(**{
    **dict.fromkeys(FEATURES, 0.0), "frames": 30.0, "displacement": 0.5, "relative_displacement": 0.5,
    "internal_share": 0.8, "global_scale": 1.0, "extent_growth": 1.2, "stretch": 1.3, "speed": 3.0,
})  # fmt: skip
GOOD_VIEW = ViewFeatures(
    off_screen=0.0, off_screen_later=0.1, image_motion=0.3, movers_seen=40.0, motion_seen=0.5, seen_later=0.9,
    coverage=0.2, white=0.1, black=0.1, contrast=0.2,
)  # fmt: skip


def beyond(limit, by):
    return limit.default + (-by if limit.name.startswith("min_") else by)


def test_good_motion_and_a_good_view_are_accepted():
    assert decide(GOOD) is None and decide_view(GOOD_VIEW) is None


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_each_limit_turns_away_what_lies_beyond_it_and_nothing_on_it(limit):
    assert limit.default == DEFAULTS[limit.name] and limit.why
    on_it = dataclasses.replace(GOOD, **{limit.feature: limit.default})
    assert decide(on_it) is None
    found = decide(dataclasses.replace(GOOD, **{limit.feature: beyond(limit, 1e-6)}))
    assert found.reason == limit.reason and found.reason in REASONS
    assert limit.feature in found.detail and limit.name in found.detail


@pytest.mark.parametrize("limit", VIEW_LIMITS, ids=lambda limit: limit.name)
def test_each_limit_of_a_view_works_alike(limit):
    assert decide_view(dataclasses.replace(GOOD_VIEW, **{limit.feature: limit.default})) is None
    found = decide_view(dataclasses.replace(GOOD_VIEW, **{limit.feature: beyond(limit, 1e-6)}))
    assert found.reason == limit.reason and found.reason in REASONS


def test_limits_speak_of_features_that_exist():
    assert all(limit.feature in FEATURES for limit in LIMITS)
    assert all(limit.feature in VIEW_FEATURES for limit in VIEW_LIMITS)
    assert all(name.startswith(("min_", "max_")) for name in NAMED)


def test_what_moves_only_as_a_whole_is_not_called_static():
    rigid = dataclasses.replace(GOOD, relative_displacement=0.0, internal_share=0.0, global_travel=0.5)
    assert decide(rigid).reason == "global only"
    assert decide(dataclasses.replace(rigid, displacement=0.0)).reason == "static"


def test_a_file_moves_limits_and_lifts_them(tmp_path):
    path = tmp_path / "limits.toml"
    path.write_text("max_jump = 0.2\nmin_displacement = false\nmax_speed = 5\n")
    limits = load_limits(path)
    assert limits["max_jump"] == 0.2 and limits["max_speed"] == 5 and "min_displacement" not in limits
    assert limits["max_pop"] == DEFAULTS["max_pop"]
    assert decide(dataclasses.replace(GOOD, displacement=0.0), limits) is None
    assert decide(dataclasses.replace(GOOD, jump=0.3), limits).reason == "teleport"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_jmp = 1", "no limit is called 'max_jmp'"),
        ("max_jump = 'far'", "max_jump is 'far'; give a number"),
        ("max_jump = true", "max_jump is True"),
        ("max_jump = nan", "max_jump is nan"),
        ("max_jump", "are not TOML"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path, text, message):
    path = tmp_path / "limits.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_limits(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot read thresholds"):
        load_limits(tmp_path / "none.toml")


def test_the_documentation_names_every_feature_and_limit_as_it_is(repository):
    text = (repository / "docs" / "filter.md").read_text("utf-8")
    for name, meaning in {**FEATURES, **VIEW_FEATURES}.items():
        assert f"| `{name}` | {meaning} |" in text, name
    for limit in NAMED.values():
        assert f"| `{limit.name}` | {limit.default:g} | {limit.reason} | {limit.why} |" in text, limit.name

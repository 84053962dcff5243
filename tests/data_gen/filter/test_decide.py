# SPDX-License-Identifier: GPL-3.0-or-later
"""Who decides, as the options say."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from known_motions import make_motion
from puppet_master.backend.errors import InputError, ModelError
from puppet_master.data_gen.filter.decide import Decider
from puppet_master.data_gen.filter.features import FEATURES
from puppet_master.data_gen.filter.forest import Forest
from puppet_master.data_gen.filter.views import ViewFeatures


@pytest.fixture
def swinging(cabinet):
    places, owner = cabinet
    return make_motion(places, owner)


@pytest.fixture
def resting(ball):
    return make_motion(np.broadcast_to(ball, (25, *ball.shape)))


def decide(order, motion, asset="a", index=0):
    decider = Decider.of(order)
    return decider.decide(decider.measure(motion), asset, index)


def stump(path, limit=0.5):
    """A forest of one tree: accepted where displacement is above 0.1."""
    Forest(
        tuple(FEATURES), np.array([0]), np.array([1, -1, -1], np.int32), np.array([2, -1, -1], np.int32),
        np.array([list(FEATURES).index("displacement"), 0, 0], np.int32), np.array([0.1, 0, 0]),
        np.array([0.5, 0.2, 0.9]), limit,
    ).save(path)  # fmt: skip
    return path


def test_thresholds_decide_unless_told_otherwise(swinging, resting):
    assert decide({}, swinging) is None
    assert decide({"filter": "thresholds"}, resting).reason == "static"


def test_nobody_decides(resting):
    assert decide({"filter": "none"}, resting) is None


def test_a_file_of_limits_decides(tmp_path, swinging, resting):
    path = tmp_path / "limits.toml"
    path.write_text("min_displacement = false\nmin_relative_displacement = false\nmin_internal_share = false\n")
    assert decide({"filter": str(path)}, resting) is None
    path.write_text("min_displacement = 0.99\n# changed\n")
    assert decide({"filter": str(path)}, swinging).reason == "static"  # a changed file is read again


def test_a_forest_decides(tmp_path, swinging, resting):
    order = {"filter": str(stump(tmp_path / "forest.npz"))}
    assert decide(order, swinging) is None
    found = decide(order, resting)
    assert found.reason == "classifier" and found.detail == "0.20 of the votes, 0.5 needed"


def test_an_earlier_run_comes_before_the_rule(tmp_path, swinging, resting):
    ledger = tmp_path / "ledger.jsonl"
    lines = [
        {"asset": "a", "index": 0, "animation": "x", "outcome": "rejected", "reason": "unrealistic", "detail": "melts"},
        {"asset": "a", "index": 1, "animation": "y", "outcome": "accepted"},
        {"asset": "a", "index": None, "animation": None, "outcome": "done"},
    ]
    ledger.write_text("".join(json.dumps(line) + "\n" for line in lines))
    order = {"filter": "thresholds", "decisions": str(ledger)}
    found = decide(order, swinging)
    assert found.reason == "decided before" and found.detail == "unrealistic: melts"
    assert decide(order, resting, index=1) is None
    assert decide(order, resting, index=2).reason == "static"  # not in the ledger
    assert decide(order, swinging, asset="b") is None


def test_what_cannot_decide_is_refused(tmp_path):
    with pytest.raises(InputError, match="no filter is called 'tresholds'; give thresholds, none, a forest"):
        Decider.of({"filter": "tresholds"})
    with pytest.raises(ModelError, match="cannot read forest"):
        Decider.of({"filter": str(tmp_path / "none.npz")})
    with pytest.raises(InputError, match="cannot read thresholds"):
        Decider.of({"filter": str(tmp_path / "none.toml")})
    with pytest.raises(InputError, match="cannot read decisions"):
        Decider.of({"decisions": str(tmp_path / "none.jsonl")})
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"asset": "a", "index": 0}\n')
    with pytest.raises(InputError, match=r"line 1 of .* is no ledger line"):
        Decider.of({"decisions": str(path)})


def test_files_are_read_once_for_many_assets(tmp_path):
    path = stump(tmp_path / "forest.npz")
    first = Decider.of({"filter": str(path)})
    state = path.stat()
    path.write_bytes(b"x" * state.st_size)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert Decider.of({"filter": str(path)}) is not first  # and no ModelError: the forest was remembered


def test_a_file_of_limits_decides_about_views_too(tmp_path):
    (tmp_path / "strict.toml").write_text("min_image_motion = 0.5\n")
    still = ViewFeatures(
        off_screen=0.0, off_screen_later=0.0, image_motion=0.2, movers_seen=50, motion_seen=0.9, seen_later=1.0,
        coverage=0.3, white=0.0, black=0.0, contrast=0.2,
    )  # fmt: skip
    assert Decider.of({}).decide_view(still) is None
    rejection = Decider.of({"filter": str(tmp_path / "strict.toml")}).decide_view(still)
    assert rejection.reason == "invisible" and "min_image_motion 0.5" in rejection.detail

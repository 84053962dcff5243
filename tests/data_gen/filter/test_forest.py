# SPDX-License-Identifier: GPL-3.0-or-later
"""The forest: equal to scikit-learn's, written and read without pickles, trained on labels of several forms."""

from __future__ import annotations

import json

import numpy as np
import pytest
from puppet_master.backend.errors import InputError, ModelError, OutputError
from puppet_master.data_gen.filter.features import FEATURES, Features
from puppet_master.data_gen.filter.forest import Forest
from puppet_master.data_gen.filter.train import Labelled, as_forest, fit_forest, read_labels, score

ensemble = pytest.importorskip("sklearn.ensemble", reason="scikit-learn is not installed")
NAMES = list(FEATURES)


def examples(count=240, assets=24, seed=0):
    """Animations accepted by a rule over three features, with 5 % of the labels wrong."""
    rng = np.random.default_rng(seed)
    rows = rng.gamma(2.0, 1.0, (count, len(NAMES)))
    column = NAMES.index
    good = (rows[:, column("jump")] < 2.2) & (rows[:, column("relative_displacement")] > 0.8)
    good ^= rng.random(count) < 0.05
    return Labelled(rows, good, np.array([f"asset-{index % assets}" for index in range(count)]))


@pytest.fixture(scope="module")
def fitted():
    data = examples()
    model = ensemble.RandomForestClassifier(60, random_state=1, class_weight="balanced_subsample")
    return model.fit(data.rows, data.accepted)


def test_it_votes_exactly_as_scikit_learn_does(fitted):
    forest = as_forest(fitted, NAMES, 0.5, {})
    rows = examples(500, seed=7).rows
    rows = np.concatenate((rows, [tree.tree_.threshold[:1].repeat(len(NAMES)) for tree in fitted.estimators_]))
    np.testing.assert_allclose(forest.accepted_share(rows), fitted.predict_proba(rows)[:, 1], atol=1e-12)


def test_values_on_a_threshold_go_the_same_way(fitted):
    forest = as_forest(fitted, NAMES, 0.5, {})
    rows = examples(40, seed=3).rows.astype(np.float32).astype(float)
    inner = forest.left >= 0
    for column, threshold in zip(forest.column[inner][:40], forest.threshold[inner][:40], strict=True):
        rows[:, column] = threshold
        np.testing.assert_allclose(forest.accepted_share(rows), fitted.predict_proba(rows)[:, 1], atol=1e-12)


def test_it_survives_being_written_and_read(fitted, tmp_path):
    forest = as_forest(fitted, NAMES, 0.4, {"trees": 60})
    path = tmp_path / "forest.npz"
    forest.save(path)
    again = Forest.load(path)
    rows = examples(50, seed=5).rows
    np.testing.assert_array_equal(again.accepted_share(rows), forest.accepted_share(rows))
    assert len(again) == 60 and again.limit == 0.4 and again.about == {"trees": 60}
    assert list(tmp_path.iterdir()) == [path]
    one = Features(**dict(zip(NAMES, rows[0], strict=True)))
    assert again.rate(one) == pytest.approx(forest.accepted_share(rows[:1])[0])


def test_files_that_are_no_forest_are_refused(tmp_path, fitted):
    path = tmp_path / "forest.npz"
    with pytest.raises(ModelError, match="cannot read forest"):
        Forest.load(path)
    path.write_bytes(b"PK no zip")
    with pytest.raises(ModelError, match="cannot read forest"):
        Forest.load(path)
    np.savez(path, features=np.array([{"a": 1}], dtype=object))  # a pickle
    with pytest.raises(ModelError, match="cannot read forest"):
        Forest.load(path)
    as_forest(fitted, NAMES, 0.5, {}).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ModelError, match="cannot read forest"):
        Forest.load(path)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("features", lambda values: np.array(["speeed", *values[1:]]), "unknown feature speeed"),
        ("left", lambda values: np.where(values >= 0, 0, values), "out of its tree"),  # a walk without end
        ("right", lambda values: np.where(values >= 0, 10**6, values), "out of its tree"),
        ("column", lambda values: values + 10**6, "a column that is not there"),
        ("share", lambda values: values * np.nan, "not finite"),
        ("threshold", lambda values: values[:-1], "do not fit together"),
        ("starts", lambda values: values * 0, "a tree has no nodes"),
    ],
)
def test_forests_with_spoilt_arrays_are_refused(tmp_path, fitted, name, spoil, message):
    path = tmp_path / "forest.npz"
    as_forest(fitted, NAMES, 0.5, {}).save(path)
    arrays = dict(np.load(path))
    arrays[name] = spoil(arrays[name])
    np.savez(path, **arrays)
    with pytest.raises(ModelError, match=message):
        Forest.load(path)


def test_it_cannot_be_written_where_there_is_no_folder(fitted, tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        as_forest(fitted, NAMES, 0.5, {}).save(tmp_path / "none" / "forest.npz")


def test_training_finds_the_rule_and_says_how_well():
    training = fit_forest(examples(), trees=20)
    assert training.scores["precision"]["mean"] > 0.8 and training.scores["recall"]["mean"] > 0.8
    assert 0 < training.scores["f1"]["spread"] < 0.2
    assert set(list(training.importances)[:2]) == {"jump", "relative_displacement"}
    assert sum(training.importances.values()) == pytest.approx(1)
    assert training.about["assets_kept_together"] and training.about["accepted"] + training.about["rejected"] == 240
    again = fit_forest(examples(), trees=20)
    np.testing.assert_array_equal(again.forest.share, training.forest.share)


def test_one_asset_cannot_be_kept_together():
    data = examples()
    assert not fit_forest(Labelled(data.rows, data.accepted, np.full(240, "one")), 20).about["assets_kept_together"]


def test_scores_are_those_of_the_textbook():
    found = score(np.array([1, 1, 1, 0, 0], bool), np.array([1, 1, 0, 1, 0], bool))
    assert found == pytest.approx({"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3})
    assert score(np.array([True, False]), np.array([False, False])) == {"precision": 0, "recall": 0, "f1": 0}


def test_too_few_labels_are_refused():
    data = examples()
    few = np.append(np.flatnonzero(data.accepted), np.flatnonzero(~data.accepted)[:3])
    with pytest.raises(InputError, match="only 3 of the labels are rejected; 5 folds need as many"):
        fit_forest(Labelled(data.rows[few], data.accepted[few], data.assets[few]))


FEATURE_VALUES = dict.fromkeys(NAMES, 1.0)


def write_lines(path, *entries):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def test_labels_are_joined_with_a_ledger_by_index_and_by_name(tmp_path):
    ledger = write_lines(
        tmp_path / "ledger.jsonl",
        {"asset": "a", "animation": "walk", "index": 0, "features": {**FEATURE_VALUES, "jump": 2.0}},
        {"asset": "a", "animation": "run", "index": 1, "features": FEATURE_VALUES},
        {"asset": "a", "animation": None, "index": None, "features": None},
    )
    labels = write_lines(
        tmp_path / "labels.jsonl",
        {"asset": "a", "animation": "walk", "label": "accept"},
        {"asset": "a", "index": 1, "label": "Reject"},
    )
    found = read_labels(labels, ledger)
    assert found.accepted.tolist() == [True, False] and found.assets.tolist() == ["a", "a"]
    assert found.rows[:, NAMES.index("jump")].tolist() == [2.0, 1.0]


def test_labels_may_bring_their_features(tmp_path):
    found = read_labels(write_lines(
        tmp_path / "labels.jsonl", {"asset": "a", "index": 0, "label": "accept", "features": FEATURE_VALUES}
    ))  # fmt: skip
    assert found.rows.shape == (1, len(NAMES))
    table = tmp_path / "labels.csv"
    table.write_text(
        ",".join(("asset", "animation", "label", *NAMES))
        + "\n"
        + ",".join(("b", "turn", "rejected", *["0.5"] * len(NAMES)))
    )
    found = read_labels(table)
    assert found.rows[0, 0] == 0.5 and not found.accepted[0]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "holds no labels"),
        ([{"asset": "a", "index": 0, "label": "maybe"}], "line 1 of .* needs asset"),
        ([{"asset": "a", "label": "accept"}], "line 1 of .* needs asset"),
        ([{"asset": "a", "index": 0, "label": "accept"}], "features of a / #0 are neither"),
        ([{"asset": "a", "index": 0, "label": "accept", "features": {"jump": 1}}], "no feature 'frames'"),
        ([{"asset": "a", "index": 0, "label": "accept", "features": {**FEATURE_VALUES, "jump": "x"}}], "no number"),
        ([{"asset": "a", "index": 0, "label": "accept", "features": {**FEATURE_VALUES, "jump": 1e999}}], "no finite"),
        (
            [{"asset": "a", "index": 0, "label": label, "features": FEATURE_VALUES} for label in ("accept", "reject")],
            "both accept and reject",
        ),
    ],
)
def test_labels_that_make_no_sense_are_refused(tmp_path, entries, message):
    with pytest.raises(InputError, match=message):
        read_labels(write_lines(tmp_path / "labels.jsonl", *entries))


def test_a_name_of_several_animations_is_refused(tmp_path):
    lines = [{"asset": "a", "animation": "x", "index": index, "features": FEATURE_VALUES} for index in (0, 1)]
    ledger = write_lines(tmp_path / "ledger.jsonl", *lines)
    labels = write_lines(tmp_path / "labels.jsonl", {"asset": "a", "animation": "x", "label": "accept"})
    with pytest.raises(InputError, match="several animations called x"):
        read_labels(labels, ledger)


def test_lines_that_are_no_json_are_refused(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text("{")
    with pytest.raises(InputError, match=r"line 1 of .* is no JSON"):
        read_labels(path)
    with pytest.raises(InputError, match="cannot read labels"):
        read_labels(tmp_path / "none.jsonl")

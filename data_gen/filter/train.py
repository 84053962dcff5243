# SPDX-License-Identifier: GPL-3.0-or-later
"""Fitting the random forest on animations that a person has accepted or rejected.

The only place that needs scikit-learn; what it fits is written as plain arrays (`forest.py`).
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backend.errors import InputError, RequirementError
from .features import FEATURES, Features
from .forest import LEAF, Forest, join_trees
from .thresholds import decide

REPEATS = 3  # of the cross-validation, each with other folds
LABELS = {"accept": True, "accepted": True, "reject": False, "rejected": False}


@dataclass(frozen=True)
class Labelled:
    """Animations with features and a person's word.

    Attributes:
        rows: features in the order of `FEATURES`, `[n, features]`.
        accepted: bool `[n]`.
        assets: the asset of each; its animations are never split between training and testing.
    """

    rows: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    assets: NDArray[np.str_]


def read_labels(path: Path, ledger: Path | None = None) -> Labelled:
    """Read labels and join them with features.

    Args:
        path: JSON lines or CSV with `asset`, `label` (accept or reject), and `index` or `animation` (name); features
            may stand there too: under `features` in JSON, as columns of their names in CSV.
        ledger: where features are looked up that the labels do not bring.

    Raises:
        InputError: a file or a line that cannot be read, features nowhere to be found, a name that stands for
            several animations, the same animation twice with different labels.
    """
    known = _features_in(ledger) if ledger else {}
    chosen: dict[tuple[str, str], tuple[list[float], bool]] = {}
    for number, entry in _entries(path):
        place = f"line {number} of {path}"
        asset, animation = str(entry.get("asset") or ""), _animation(entry)
        label = LABELS.get(str(entry.get("label", "")).strip().lower())
        if not asset or animation is None or label is None:
            raise InputError(f"{place} needs asset, animation (or index) and label, which is accept or reject")
        features = _own_features(entry) or known.get((asset, animation))
        if features is None:
            where = f"nor in {ledger}" if ledger else "and no --features LEDGER is given"
            raise InputError(f"{place}: the features of {asset} / {animation} are neither there {where}")
        if features == "several":
            raise InputError(f"{place}: {asset} has several animations called {animation}; give index instead")
        row = _row(features, place)
        if chosen.setdefault((asset, animation), (row, label))[1] != label:
            raise InputError(f"{place}: {asset} / {animation} is labelled both accept and reject")
    if not chosen:
        raise InputError(
            f"{path} holds no labels; write lines such as " + '{"asset": KEY, "index": 0, "label": "accept"}'
        )
    rows, labels = zip(*chosen.values(), strict=True)
    return Labelled(np.array(rows), np.array(labels), np.array([asset for asset, _ in chosen]))


def _entries(path: Path) -> Iterable[tuple[int, Mapping[str, Any]]]:
    """Numbered lines of a JSONL or CSV file."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read labels {path}: {reason}; give a .jsonl or .csv file") from error
    if path.suffix.lower() == ".csv":
        yield from enumerate(csv.DictReader(text.splitlines()), 2)
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                entry = json.loads(line)
            except ValueError as error:
                raise InputError(f"line {number} of {path} is no JSON: {error}") from error
            if not isinstance(entry, dict):
                raise InputError(f"line {number} of {path} is no JSON object")
            yield number, entry


def _animation(entry: Mapping[str, Any]) -> str | None:
    """What an animation is known by: "#3" for an index, else its name."""
    if entry.get("index") not in (None, ""):
        return f"#{entry['index']}"
    return str(entry["animation"]) if entry.get("animation") not in (None, "") else None


def _own_features(entry: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if entry.get("features"):
        return entry["features"]
    return entry if any(name in entry for name in FEATURES) else None


def _features_in(ledger: Path) -> dict[tuple[str, str], Any]:
    """Features by asset and animation; "several" where a name stands for more than one."""
    known: dict[tuple[str, str], Any] = {}
    for _, entry in _entries(ledger):
        if entry.get("features"):
            asset, name = str(entry["asset"]), str(entry.get("animation"))
            known[asset, f"#{entry.get('index')}"] = entry["features"]
            known[asset, name] = "several" if (asset, name) in known else entry["features"]
    return known


def _row(features: Mapping[str, Any], place: str) -> list[float]:
    try:
        row = [float(features[name]) for name in FEATURES]
    except KeyError as error:
        raise InputError(f"{place} has no feature {error}; run data filter again") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"{place}: a feature is no number ({error})") from error
    if not all(map(math.isfinite, row)):
        raise InputError(f"{place}: a feature is no finite number")
    return row


@dataclass(frozen=True)
class Training:
    """What came of a training.

    Attributes:
        forest: fitted on all labels.
        scores: precision, recall and F1 of accepting, each `{"mean", "spread"}` over the folds (spread: standard
            deviation).
        baseline: the same for the default thresholds, on all labels at once, without spread.
        importances: feature -> its share of the forest's decisions, the largest first.
        about: labels by kind, assets, folds, whether assets were kept together.
    """

    forest: Forest
    scores: dict[str, dict[str, float]]
    baseline: dict[str, float]
    importances: dict[str, float]
    about: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Everything but the forest."""
        return {
            "scores": self.scores, "thresholds": self.baseline, "importances": self.importances, **self.about,
        }  # fmt: skip


def fit_forest(labelled: Labelled, trees: int = 200, folds: int = 5, limit: float = 0.5, seed: int = 0) -> Training:
    """Fit a forest, and estimate by stratified cross-validation how well it decides on animations it has not seen.

    Args:
        labelled: the examples.
        trees: number of trees.
        folds: parts the examples are split into; as many of each label are needed.
        limit: share of the votes from which an animation is accepted.
        seed: decides everything random.

    Raises:
        InputError: too few examples of a label.
        RequirementError: scikit-learn is not installed.
    """
    sklearn = _sklearn()
    counts = {"accepted": int(labelled.accepted.sum()), "rejected": int((~labelled.accepted).sum())}
    for name, count in counts.items():
        if count < folds:
            raise InputError(
                f"only {count} of the labels are {name}; {folds} folds need as many: label more animations"
            )
    splits, grouped = _splits(sklearn, labelled, folds, seed)
    found = []
    for train, test in splits:
        model = _new_model(sklearn, trees, seed).fit(labelled.rows[train], labelled.accepted[train])
        votes = model.predict_proba(labelled.rows[test])[:, list(model.classes_).index(True)]
        found.append(score(labelled.accepted[test], votes >= limit))
    scores = {
        name: {
            "mean": float(np.mean([one[name] for one in found])),
            "spread": float(np.std([one[name] for one in found])),
        }
        for name in found[0]
    }
    model = _new_model(sklearn, trees, seed).fit(labelled.rows, labelled.accepted)
    order = np.argsort(-model.feature_importances_)
    names = list(FEATURES)
    about = {
        **counts, "assets": len(set(labelled.assets.tolist())), "folds": folds, "repeats": REPEATS,
        "assets_kept_together": grouped, "trees": trees, "seed": seed, "limit": limit,
    }  # fmt: skip
    return Training(
        forest=as_forest(model, names, limit, {**about, "scores": scores}),
        scores=scores,
        baseline=score(labelled.accepted, _by_thresholds(labelled.rows)),
        importances={names[index]: float(model.feature_importances_[index]) for index in order},
        about=about,
    )


def _sklearn() -> Any:
    try:
        import sklearn.ensemble
        import sklearn.model_selection
    except ImportError as error:
        raise RequirementError("training a filter needs scikit-learn; pip install scikit-learn") from error
    return sklearn


def _new_model(sklearn: Any, trees: int, seed: int) -> Any:
    # Balanced: rejects are rare among curated assets and the rule among scraped ones.
    return sklearn.ensemble.RandomForestClassifier(
        n_estimators=trees, min_samples_leaf=2, class_weight="balanced_subsample", random_state=seed
    )


def _splits(sklearn: Any, labelled: Labelled, folds: int, seed: int) -> tuple[list[tuple[Any, Any]], bool]:
    """Train and test indices, and whether each asset's animations stayed together.

    They do where every fold then still trains and is tested on both labels.
    """
    selection = sklearn.model_selection
    for kind, groups in ((selection.StratifiedGroupKFold, labelled.assets), (selection.StratifiedKFold, None)):
        if groups is not None and len(set(groups.tolist())) < folds:
            continue
        splits = [
            split
            for repeat in range(REPEATS)
            for split in kind(n_splits=folds, shuffle=True, random_state=seed + repeat).split(
                labelled.rows, labelled.accepted, groups
            )
        ]
        if groups is None or all(len(set(labelled.accepted[rows])) == 2 for split in splits for rows in split):
            return splits, groups is not None
    raise AssertionError("the last kind of split is always taken")


def score(truth: NDArray[np.bool_], accepted: NDArray[np.bool_]) -> dict[str, float]:
    """Precision, recall and F1 of what is accepted; 0 where nothing is."""
    hits = float((truth & accepted).sum())
    precision = hits / max(int(accepted.sum()), 1)
    recall = hits / max(int(truth.sum()), 1)
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if hits else 0.0,
    }


def _by_thresholds(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """What the default thresholds accept."""
    return np.array([decide(Features(**dict(zip(FEATURES, row, strict=True)))) is None for row in rows.tolist()])


def as_forest(model: Any, names: Sequence[str], limit: float, about: dict[str, Any]) -> Forest:
    """A scikit-learn forest of two classes, False and True, as plain arrays."""
    accepted = list(model.classes_).index(True)
    trees = []
    for estimator in model.estimators_:
        tree = estimator.tree_
        inner = tree.children_left != LEAF
        votes = tree.value[:, 0]
        trees.append({
            "left": tree.children_left.astype(np.int32), "right": tree.children_right.astype(np.int32),
            "column": np.where(inner, tree.feature, 0).astype(np.int32),
            "threshold": np.where(inner, tree.threshold, 0.0), "share": votes[:, accepted] / votes.sum(1),
        })  # fmt: skip
    return join_trees(trees, names, limit, about)

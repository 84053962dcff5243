# SPDX-License-Identifier: GPL-3.0-or-later
"""A random forest as plain arrays in an .npz, evaluated with numpy: it runs inside Blender, and holds no pickle.

Members of the file: `features` (names, in the order of the columns), `starts` (first node of each tree),
`left`, `right` (children, counted from the tree's first node, -1 in leaves), `column`, `threshold` (a value up to it
goes left), `share` (accepted share of the training animations in the node), `limit` (share from which an animation
is accepted) and `about` (JSON text: how it was trained).
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backend.errors import ModelError, OutputError
from .features import FEATURES, Features

LEAF = -1


@dataclass(frozen=True)
class Forest:
    """Decision trees that vote on animations; see the module for the arrays."""

    features: tuple[str, ...]
    starts: NDArray[np.int64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    column: NDArray[np.int32]
    threshold: NDArray[np.float64]
    share: NDArray[np.float64]
    limit: float = 0.5
    about: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of trees."""
        return len(self.starts)

    def accepted_share(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """How sure the forest is that animations should be accepted.

        Args:
            rows: values of `features`, `[n, columns]`.

        Returns:
            0 to 1, `[n]`: the mean over the trees of the accepted share in the leaf reached.
        """
        rows = np.asarray(rows, np.float32)  # as scikit-learn compares them
        samples = np.arange(len(rows))[:, None]
        node = np.broadcast_to(self.starts, (len(rows), len(self))).copy()
        while (inner := self.left[node] != LEAF).any():
            goes_left = rows[samples, np.maximum(self.column[node], 0)] <= self.threshold[node]
            child = np.where(goes_left, self.left[node], self.right[node])
            node = np.where(inner, self.starts + child, node)
        return self.share[node].mean(1)

    def rate(self, features: Features) -> float:
        """How sure the forest is that one animation should be accepted, 0 to 1."""
        values = features.to_json()
        return float(self.accepted_share(np.array([[values[name] for name in self.features]]))[0])

    def save(self, path: Path) -> None:
        """Write the file: whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            with partial.open("wb") as stream:
                np.savez_compressed(
                    stream, features=np.array(self.features), starts=self.starts, left=self.left, right=self.right,
                    column=self.column, threshold=self.threshold, share=self.share, limit=np.float64(self.limit),
                    about=np.array(json.dumps(self.about)),
                )  # fmt: skip
            partial.replace(path)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another --out") from error
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> Forest:
        """Read a forest.

        Raises:
            ModelError: the file is missing, damaged, or of features that are not measured here.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            forest = cls(
                features=tuple(str(name) for name in arrays["features"]),
                starts=arrays["starts"].astype(np.int64),
                left=arrays["left"].astype(np.int32),
                right=arrays["right"].astype(np.int32),
                column=arrays["column"].astype(np.int32),
                threshold=arrays["threshold"].astype(np.float64),
                share=arrays["share"].astype(np.float64),
                limit=float(arrays["limit"]),
                about=json.loads(str(arrays["about"])),
            )
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise ModelError(f"cannot read forest {path}: {error}; train it with data train-filter") from error
        fault = _fault(forest)
        if fault:
            raise ModelError(f"forest {path} cannot be used: {fault}; train it again")
        return forest


def _fault(forest: Forest) -> str:
    """Why a forest's arrays cannot be evaluated, or nothing."""
    unknown = [name for name in forest.features if name not in FEATURES]
    if unknown:
        return f"it needs the unknown feature {unknown[0]}"
    nodes = len(forest.left)
    arrays = (forest.left, forest.right, forest.column, forest.threshold, forest.share)
    if not len(forest) or any(array.shape != (nodes,) for array in arrays):
        return "its arrays do not fit together"
    ends = np.append(forest.starts[1:], nodes)
    if forest.starts[0] != 0 or (forest.starts >= ends).any():
        return "a tree has no nodes"
    place = np.arange(nodes) - np.repeat(forest.starts, ends - forest.starts)
    size = np.repeat(ends - forest.starts, ends - forest.starts)
    inner = forest.left != LEAF
    for child in (forest.left, forest.right):
        # Children come after their parents, so that every walk ends.
        if (inner & ((child <= place) | (child >= size))).any():
            return "a branch leads out of its tree"
    if (inner & ((forest.column < 0) | (forest.column >= len(forest.features)))).any():
        return "a branch asks for a column that is not there"
    if not (np.isfinite(forest.share).all() and np.isfinite(forest.threshold[inner]).all()):
        return "it holds numbers that are not finite"
    return ""


def join_trees(
    trees: Sequence[dict[str, NDArray[Any]]], features: Sequence[str], limit: float, about: dict[str, Any]
) -> Forest:
    """A forest of trees, each given as its own `left`, `right`, `column`, `threshold` and `share`."""
    starts = np.cumsum([0, *(len(tree["left"]) for tree in trees[:-1])])
    joined = {name: np.concatenate([tree[name] for tree in trees]) for name in trees[0]}
    return Forest(tuple(features), starts.astype(np.int64), limit=limit, about=about, **joined)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Who decides about animations, as the options say: limits, a trained forest, an earlier run's ledger, or nobody."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...backend.errors import InputError
from ..reasons import Rejection
from .features import Features, measure
from .forest import Forest
from .thresholds import DEFAULTS, decide, decide_view, load_limits
from .views import ViewFeatures

if TYPE_CHECKING:
    from .motion import Motion

THRESHOLDS, NOBODY = "thresholds", "none"
Verdicts = Mapping[tuple[str, int], Rejection | None]


@dataclass(frozen=True)
class Decider:
    """Decides about animations and views.

    Attributes:
        rule: why an animation with these features is turned away, None if it is not.
        verdicts: what an earlier run decided, by asset and animation index; it comes before the rule.
        limits: of views; these hold whoever decides about animations.
    """

    rule: Callable[[Features], Rejection | None]
    verdicts: Verdicts
    limits: Mapping[str, float]

    @classmethod
    def of(cls, order: Mapping[str, Any]) -> Decider:
        """The decider that options ask for.

        Args:
            order: `filter` is "thresholds", "none", the path of a forest (.npz) or of limits (.toml);
                `decisions` the path of a ledger, or None.

        Raises:
            InputError: limits or a ledger that cannot be read, or another word for `filter`.
            ModelError: a forest that cannot be used.
        """
        decisions = order.get("decisions")
        verdicts = _cached(_read_verdicts, Path(decisions)) if decisions else {}
        name = str(order.get("filter", THRESHOLDS))
        limits = _cached(load_limits, Path(name)) if _is_limits(name) else DEFAULTS
        return cls(_rule(name, limits), verdicts, limits)

    def measure(self, motion: Motion) -> Features:
        """The features that `decide` needs.

        Raises:
            Rejection: nothing can be measured ("degenerate geometry").
        """
        return measure(motion)

    def decide(self, features: Features, asset: str, index: int) -> Rejection | None:
        """Why an animation is turned away, None if it is not.

        Args:
            features: of the animation.
            asset: the asset's key in the ledger.
            index: which of the asset's animations it is.
        """
        if (asset, index) in self.verdicts:
            return self.verdicts[asset, index]
        return self.rule(features)

    def decide_view(self, features: ViewFeatures) -> Rejection | None:
        """Why a view is turned away, None if it is not."""
        return decide_view(features, self.limits)


def _is_limits(name: str) -> bool:
    return name.lower().endswith(".toml")


def _rule(name: str, limits: Mapping[str, float]) -> Callable[[Features], Rejection | None]:
    if name == NOBODY:
        return lambda features: None
    if name == THRESHOLDS or _is_limits(name):
        return lambda features: decide(features, limits)
    path = Path(name)
    if path.suffix.lower() == ".npz":
        return _voting(_cached(Forest.load, path))
    raise InputError(
        f"no filter is called {name!r}; give {THRESHOLDS}, {NOBODY}, a forest (.npz) or a file of limits (.toml)"
    )


def _voting(forest: Forest) -> Callable[[Features], Rejection | None]:
    def rule(features: Features) -> Rejection | None:
        rate = forest.rate(features)
        if rate >= forest.limit:
            return None
        return Rejection("classifier", f"{rate:.2f} of the votes, {forest.limit:g} needed")

    return rule


def _cached(load: Callable[[Path], Any], path: Path) -> Any:
    """What `load` makes of a file, remembered while the file stays the same: a worker decides about many assets."""
    try:
        state = path.stat()
    except OSError:
        return load(path)  # which says what is wrong
    return _remember(load, path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _remember(load: Callable[[Path], Any], path: Path, changed: int, size: int) -> Any:
    return load(path)


def _read_verdicts(path: Path) -> Verdicts:
    """What a ledger says of animations.

    Raises:
        InputError: it cannot be read, or a line is no ledger line.
    """
    verdicts: dict[tuple[str, int], Rejection | None] = {}
    try:
        with path.open(encoding="utf-8") as stream:
            for number, text in enumerate(stream, 1):
                try:
                    line = json.loads(text)
                    if line.get("index") is not None and line["outcome"] in ("accepted", "rejected"):
                        verdicts[str(line["asset"]), int(line["index"])] = _verdict(line)
                except (ValueError, KeyError, AttributeError, TypeError) as error:
                    raise InputError(
                        f"line {number} of {path} is no ledger line ({error}); give the ledger of a filter run"
                    ) from error
    except OSError as error:
        raise InputError(f"cannot read decisions {path}: {error.strerror}; give a ledger.jsonl") from error
    return verdicts


def _verdict(line: Mapping[str, Any]) -> Rejection | None:
    if line["outcome"] == "accepted":
        return None
    return Rejection("decided before", ": ".join(str(line[name]) for name in ("reason", "detail") if line.get(name)))

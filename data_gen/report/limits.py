# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter's thresholds as lines in histograms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..filter.features import FEATURES
from ..filter.thresholds import LIMITS
from .charts import Limit

THRESHOLDS = "thresholds"


def known_features() -> dict[str, str]:
    """Feature -> its meaning, in the filter's order."""
    return dict(FEATURES)


def limits_of(settings: Mapping[str, Any]) -> dict[str, list[Limit]]:
    """Feature -> the thresholds that a run with these settings decided by.

    None where it was decided otherwise: by limits of the user's own, a trained forest, or not at all.
    """
    drawn: dict[str, list[Limit]] = {}
    if settings.get("filter", THRESHOLDS) != THRESHOLDS:
        return drawn
    for limit in LIMITS:
        side = "below" if limit.name.startswith("min_") else "above"
        drawn.setdefault(limit.feature, []).append(Limit(limit.default, f"{limit.reason} {side}"))
    return drawn

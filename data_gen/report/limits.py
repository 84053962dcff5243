# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter's thresholds as lines in histograms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .charts import Limit


def known_features() -> dict[str, str]:
    """Feature -> its meaning, in the filter's order."""
    return {}


def limits_of(settings: Mapping[str, Any]) -> dict[str, list[Limit]]:
    """Feature -> the thresholds a run with these settings decided by; none for a trained forest or no filter."""
    return {}

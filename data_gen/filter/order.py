# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be ordered of `data filter`. stdlib only, as all orders: Blender's own Python reads it too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..options import FilterOrder, option

STRIPS = ("workbench", "cycles")


@dataclass(frozen=True)
class LookOrder(FilterOrder):
    """Look at the animations of assets and decide about them, without rendering clips."""

    strips: str = option(
        "", "Film a small strip of every animation, with this engine.", choices=STRIPS, shapes_data=True
    )
    judge_url: str = option("", "Ask a vision-language model behind this OpenAI-compatible address.", metavar="URL")
    judge_model: str = option("", "The model's name there.", metavar="NAME")
    judge_budget: int = option(1000, "Requests that may be sent to it.", low=1)

    def for_workers(self) -> dict[str, Any]:
        """Without the judge: asking it is not theirs."""
        return {name: value for name, value in super().for_workers().items() if not name.startswith("judge_")}

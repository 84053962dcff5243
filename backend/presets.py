# SPDX-License-Identifier: GPL-3.0-or-later
"""What `draft`, `normal` and `final` mean for a model that samples; stdlib only, for every door that offers them.

`normal` is what the model declares. A model of few steps was distilled for just those: only `draft` changes anything
there, and never below `FEWEST_STEPS`. Whatever a request states itself counts more than its preset.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FEWEST_STEPS = 4
WHOLE = (0.0, 1.0)


@dataclass(frozen=True)
class Preset:
    """A quality.

    Attributes:
        steps: factor on the model's sampling steps.
        guidance_interval: part of the sampling, from pure noise 0 to the clip 1, in which guidance is applied; outside
            of it the unconditional branch is not run. Not exact unless it is the whole.
    """

    steps: float
    guidance_interval: tuple[float, float]

    def steps_of(self, declared: int) -> int:
        """Sampling steps for a model that declares so many."""
        if declared <= FEWEST_STEPS:
            return declared
        return max(FEWEST_STEPS, math.ceil(declared * self.steps))


PRESETS = {
    # What moves, and where to, is settled while there is much noise: guidance is spared where only detail is left.
    "draft": Preset(0.4, (0.0, 0.7)),
    "normal": Preset(1.0, WHOLE),
    "final": Preset(2.0, WHOLE),
}

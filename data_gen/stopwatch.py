# SPDX-License-Identifier: GPL-3.0-or-later
"""How long each stage of the work on an asset takes, and telling the parent which stage it is in."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

STAGES = ("import", "features", "record", "tracks", "render", "passes", "encode")


class Stopwatch:
    """Adds up seconds by stage.

    Attributes:
        seconds: so far, by stage.
    """

    def __init__(self, emit: Callable[[dict[str, Any]], None] | None = None) -> None:
        """
        Args:
            emit: told of each stage as it begins.
        """
        self.seconds: dict[str, float] = defaultdict(float)
        self._emit = emit

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time what happens inside as `stage`."""
        if self._emit:
            self._emit({"event": "stage", "stage": stage})
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - began

    def lap(self) -> dict[str, float]:
        """The seconds since the last lap, with their total, and begin anew."""
        seconds = {stage: self.seconds[stage] for stage in STAGES if stage in self.seconds}
        self.seconds.clear()
        return {**seconds, "total": sum(seconds.values())}

# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a `data` command is, in a number and in words, from the events that it prints."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

PER_VIEW = ("render", "passes", "encode")  # stages that each view goes through


@dataclass
class Progress:
    """How far a run is, from the events it prints.

    Attributes:
        views: clips that an animation gives.
        total: assets; 0 before that is known.
        done: assets that are finished.
        clips: clips of those.
        stage: what was begun last.
        eta_s: seconds left as the process estimates them; None before the first asset is finished.
        summary: what the process said of the whole at its end.
    """

    views: int = 1
    total: int = 0
    done: int = 0
    clips: int = 0
    stage: str = ""
    eta_s: float | None = None
    summary: dict[str, Any] = field(default_factory=dict)
    _begun: Counter[str] = field(default_factory=Counter)

    def take_in(self, event: dict[str, Any]) -> None:
        """Go on by an event."""
        match event.get("event"):
            case "begin":
                self.total, self.done = event["assets"], event["done"]
            case "stage":
                self.stage = event["stage"]
                self._begun[event["key"]] += self.stage == "encode"  # a view of it is rendered
            case "asset":
                self.total, self.done, self.eta_s = event["total"], event["done"], event["eta_s"]
                self.clips += event["clips"]
                self._begun.pop(event["asset"], None)
            case "end":
                self.summary = event

    @property
    def share(self) -> float:
        """0 to 1; an asset at work counts by its views, as if it had one animation."""
        at_work = sum(min(count / self.views, 0.95) for count in self._begun.values())
        return (self.done + at_work) / self.total if self.total else 0.0

    def text(self) -> str:
        """Such as "render, view 2 of 4" or "render, 3 of 10 assets, 7 clips, 40 s left"."""
        words = [self.stage] if self.stage else []
        if self.total > 1:
            words.append(f"{self.done} of {self.total} assets, {self.clips} clips")
        elif self.stage in PER_VIEW and self.views > 1:
            words.append(f"view {min(self._begun.total() + (self.stage != 'encode'), self.views)} of {self.views}")
        words += [f"{self.eta_s:.0f} s left"] if self.eta_s else []
        return ", ".join(words)

    def result(self) -> str:
        """Such as "7 clips; turned away: static (2), too short (1)"."""
        if not self.summary:
            return ""
        clips = self.summary["clips"]
        reasons = ", ".join(f"{reason} ({count})" for reason, count in sorted(self.summary["reasons"].items()))
        return f"{clips} clip{'' if clips == 1 else 's'}" + (f"; turned away: {reasons}" if reasons else "")

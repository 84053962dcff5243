# SPDX-License-Identifier: GPL-3.0-or-later
"""What the program tells: events as JSON lines, and the ends that the user can do something about."""

from __future__ import annotations

import json
from typing import Any

# Shares of the whole that the stages end at.
SHARES = {"python": 0.02, "device": 0.04, "environment": 0.08, "torch": 0.55, "libraries": 0.95, "verify": 1.0}
EXIT_CODES = {"backend": 6, "output": 7, "requirement": 8, "cancelled": 130}


class Refusal(Exception):
    """An end that the user can do something about; `kind` is that of the project's errors."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def tell(event: str, **values: Any) -> None:
    """Print an event."""
    print(json.dumps({"event": event, **values}), flush=True)


def begin(stage: str) -> None:
    """Tell that a stage begins, at the share of the whole at which the one before ended."""
    names = list(SHARES)
    before = SHARES[names[names.index(stage) - 1]] if names.index(stage) else 0.0
    tell("stage", stage=stage, share=before)

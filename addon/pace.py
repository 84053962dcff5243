# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the add-on holds Blender's main thread: the longest time of each kind of call in this session.

The user's window stands still meanwhile, so 50 ms is the limit that all of them keep, rendering aside.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

LIMIT_S = 0.05

_longest: dict[str, float] = {}


@contextmanager
def measured(what: str) -> Iterator[None]:
    """Time the block as one call of the kind `what`."""
    began = time.perf_counter()
    try:
        yield
    finally:
        _longest[what] = max(_longest.get(what, 0.0), time.perf_counter() - began)


def longest() -> dict[str, float]:
    """Seconds of the longest call of each kind so far."""
    return dict(_longest)


def forget() -> None:
    """Start measuring anew."""
    _longest.clear()

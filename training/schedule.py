# SPDX-License-Identifier: GPL-3.0-or-later
"""The learning rate along a run."""

from __future__ import annotations

import math

from .settings import TrainingSettings


def learning_rate(settings: TrainingSettings, seen: int) -> float:
    """The learning rate of the step that begins after `seen` clips."""
    if seen < settings.warmup:
        return settings.lr * (seen + settings.batch) / (settings.warmup + settings.batch)
    if settings.decay == "constant":
        return settings.lr
    along = min(1.0, (seen - settings.warmup) / max(1, settings.clips - settings.warmup))
    share = along if settings.decay == "linear" else (1 - math.cos(math.pi * along)) / 2
    return settings.lr + (settings.final_lr - settings.lr) * share

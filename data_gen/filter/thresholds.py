# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of the features: what lies beyond one is turned away, under the limit's reason.

The defaults were set by looking at strips of animated characters, machines and morphs, and at procedural rigs; each
limit says why it stands where it stands. A file can move any of them (TOML, `name = number`; `name = false` lifts it).
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...backend.errors import InputError
from ..reasons import Rejection
from .features import Features
from .views import ViewFeatures


@dataclass(frozen=True)
class Limit:
    """One feature's limit.

    Attributes:
        name: what a thresholds file calls it; begins with "min_" or "max_".
        feature: the feature's name.
        default: the limit's value; the feature may lie on it.
        reason: under which an animation beyond it is turned away, a key of `reasons.REASONS`.
        why: why the limit stands there.
    """

    name: str
    feature: str
    default: float
    reason: str
    why: str

    def broken_by(self, value: float, limit: float) -> bool:
        """Whether a value lies beyond the limit."""
        return value < limit if self.name.startswith("min_") else value > limit


# In this order: the first broken one names the reason. Faults of the file come before judgements of the motion.
LIMITS: tuple[Limit, ...] = (
    Limit("min_frames", "frames", 4, "too short", "three frames are two poses and a guess"),
    Limit("max_pop", "pop", 0.01, "pops", "what appears from nowhere cannot be dragged; 1 % is an eye or a spark"),
    Limit(
        "max_jump", "jump", 0.4, "teleport",
        "sword strokes, the snappiest motion looked at, reach 0.31 sizes",
    ),
    Limit(
        "max_speed", "speed", 40.0, "teleport",
        "sizes a second; strokes reach 22",
    ),
    Limit("max_stretch", "stretch", 6.0, "explodes", "skins and morphs stretch up to 3.5 fold, torn ones without end"),
    Limit("max_extent_growth", "extent_growth", 3.0, "explodes", "unfolding and lunging grows up to twofold"),
    Limit(
        "min_displacement", "displacement", 0.06, "static",
        "about six pixels of a frame of 128; idling characters breathe 0.02 to 0.06",
    ),
    Limit(
        "min_relative_displacement", "relative_displacement", 0.03, "global only",
        "no part gets a thirtieth of the asset away from where the body takes it",
    ),
    Limit("max_global_scale", "global_scale", 1.5, "drastic change", "growing and shrinking as a whole is no part's"),
    Limit("max_mirrored", "mirrored", 0.0, "drastic change", "nothing real turns inside out"),
    Limit("max_global_travel", "global_travel", 0.8, "drastic change", "falling over moves the body by 0.7 sizes"),
    Limit("max_global_turn", "global_turn", 125.0, "drastic change", "falling over turns the body by 110 degrees"),
    Limit(
        "min_internal_share", "internal_share", 0.15, "global only",
        "beside the motion of the whole that of the parts would not be learned; falling over has 0.37",
    ),
)  # fmt: skip

VIEW_LIMITS: tuple[Limit, ...] = (
    Limit("min_coverage", "coverage", 0.002, "blank", "32 pixels of 128 by 128"),
    Limit("max_white", "white", 0.98, "blank", "a white shape on white shows nothing"),
    Limit("max_black", "black", 0.98, "blank", "black without shading: materials that were lost"),
    Limit("max_off_screen", "off_screen", 0.1, "off-screen", "the still has to show the object"),
    Limit("max_off_screen_later", "off_screen_later", 0.5, "off-screen", "half of it has left the frame"),
    Limit("min_movers_seen", "movers_seen", 4.0, "invisible", "fewer points than that give no drag to choose"),
    Limit("min_image_motion", "image_motion", 0.03, "invisible", "four pixels of 128"),
    Limit("min_motion_seen", "motion_seen", 0.1, "invisible", "the motion is on the far side"),
)

NAMED: dict[str, Limit] = {limit.name: limit for limit in (*LIMITS, *VIEW_LIMITS)}
DEFAULTS: dict[str, float] = {name: limit.default for name, limit in NAMED.items()}


def decide(features: Features, limits: Mapping[str, float] = DEFAULTS) -> Rejection | None:
    """Why an animation is turned away, None if it is not.

    Args:
        features: of the animation.
        limits: values by limit name; a limit that is missing is lifted.
    """
    return _first_broken(LIMITS, features.to_json(), limits)


def decide_view(features: ViewFeatures, limits: Mapping[str, float] = DEFAULTS) -> Rejection | None:
    """Why a view is turned away, None if it is not; arguments as for `decide`."""
    return _first_broken(VIEW_LIMITS, features.to_json(), limits)


def _first_broken(
    table: tuple[Limit, ...], values: Mapping[str, float], limits: Mapping[str, float]
) -> Rejection | None:
    for limit in table:
        if limit.name not in limits:
            continue
        value, bound = values[limit.feature], limits[limit.name]
        if limit.broken_by(value, bound):
            return Rejection(limit.reason, f"{limit.feature} {value:.4g}, {limit.name} {bound:g}")
    return None


def load_limits(path: Path) -> dict[str, float]:
    """The defaults with a file's changes.

    Raises:
        InputError: the file cannot be read, or names a limit that does not exist or a value that is no number.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"cannot read thresholds {path}: {error.strerror}; give a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"thresholds {path} are not TOML: {error}; write lines such as max_jump = 0.4") from error
    limits = dict(DEFAULTS)
    for name, value in data.items():
        if name not in limits and name not in NAMED:
            raise InputError(f"thresholds {path}: no limit is called {name!r}; there are {', '.join(NAMED)}")
        if value is False:
            limits.pop(name, None)
        elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError(f"thresholds {path}: {name} is {value!r}; give a number, or false to lift the limit")
        else:
            limits[name] = float(value)
    return limits

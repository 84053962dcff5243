# SPDX-License-Identifier: GPL-3.0-or-later
"""Procedural articulated objects, built in Blender from primitives.

`build_rig(kind, rng)` makes one in the current scene; the numpy Generator decides everything about it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...backend.errors import InputError
from . import bin as waste_bin
from . import (
    box,
    bucket,
    cabinet,
    door,
    fan,
    fish,
    fridge,
    humanoid,
    lamp,
    laptop,
    oven,
    quadruped,
    robot_arm,
    safe,
    scissors,
    table,
    toilet,
)
from .rig import Joint, Part, Rig, View

BUILDERS: dict[str, Callable[[np.random.Generator], Rig]] = {
    "cabinet": cabinet.build,
    "laptop": laptop.build,
    "box": box.build,
    "fridge": fridge.build,
    "bucket": bucket.build,
    "robot_arm": robot_arm.build,
    "table": table.build,
    "oven": oven.build,
    "safe": safe.build,
    "toilet": toilet.build,
    "lamp": lamp.build,
    "scissors": scissors.build,
    "bin": waste_bin.build,
    "door": door.build,
    "fan": fan.build,
    "fish": fish.build,
    "quadruped": quadruped.build,
    "humanoid": humanoid.build,
}


def build_rig(kind: str, rng: np.random.Generator) -> Rig:
    """Build one rig of a kind into the current scene, every joint at state 0.

    Raises:
        InputError: no such kind.
    """
    if kind not in BUILDERS:
        raise InputError(f"no procedural rig is called {kind!r}; there are {', '.join(BUILDERS)}")
    return BUILDERS[kind](rng)


__all__ = ["BUILDERS", "Joint", "Part", "Rig", "View", "build_rig"]

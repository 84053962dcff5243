# SPDX-License-Identifier: GPL-3.0-or-later
"""Which procedural kinds there are, how often each is drawn, and which clip a seed stands for.

Kept apart from the rigs so that the command line knows the kinds without Blender.
"""

from __future__ import annotations

import re

import numpy as np

from ..backend.errors import InputError

# How often each kind is drawn when all are asked for.
WEIGHTS = {
    "cabinet": 10.0,
    "table": 2.0,
    "oven": 2.0,
    "fridge": 2.0,
    "bucket": 3.0,
    "laptop": 2.0,
    "box": 2.0,
    "safe": 1.0,
    "toilet": 1.0,
    "bin": 1.0,
    "robot_arm": 1.0,
    "lamp": 1.0,
    "scissors": 0.5,
    "door": 2.0,
    "fan": 1.5,
    "fish": 1.5,
    "quadruped": 2.0,
    "humanoid": 2.0,
}

SEED_STRIDE = 1_000_000  # clips a seed has to itself


def parse_order(text: str) -> tuple[str, int]:
    """Read "KIND:COUNT" (KIND may be "all").

    Raises:
        InputError: another form, an unknown kind, a count outside 1 to `SEED_STRIDE`.
    """
    match = re.fullmatch(r"([a-z_]+):(\d+)", text)
    if not match:
        raise InputError(f"cannot read {text!r}; write KIND:COUNT, such as all:100 or cabinet:20")
    kind, count = match[1], int(match[2])
    if kind != "all" and kind not in WEIGHTS:
        raise InputError(f"no procedural kind is called {kind!r}; there are all, {', '.join(WEIGHTS)}")
    if not 1 <= count <= SEED_STRIDE:
        raise InputError(f"{text!r} asks for {count} clips; a seed has 1 to {SEED_STRIDE}")
    return kind, count


def drawn_rigs(order: str, seed: int) -> list[tuple[str, int]]:
    """Kind and seed of each rig that an order "KIND:COUNT" stands for.

    Rig i of seed S has seed S·10⁶ + i, so different seeds share none, and a longer order begins with the
    rigs of a shorter one.
    """
    kind, count = parse_order(order)
    return [(draw_kind(own) if kind == "all" else kind, own) for own in clip_seeds(seed, count)]


def clip_seeds(seed: int, count: int) -> range:
    """The seeds of a run's rigs."""
    return range(seed * SEED_STRIDE, seed * SEED_STRIDE + count)


def draw_kind(seed: int) -> str:
    """The kind that a rig's seed stands for when all kinds are asked for."""
    shares = np.array(list(WEIGHTS.values()))
    return str(np.random.default_rng(seed).choice(list(WEIGHTS), p=shares / shares.sum()))

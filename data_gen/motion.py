# SPDX-License-Identifier: GPL-3.0-or-later
"""Choosing how a rig moves in a clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .rigs import Part, Rig

MIN_SHARE = 0.15  # of a joint's range that a moving joint travels at least
FAR_SHARE = 0.5  # from here on it travels far
FAR_CHANCE = 0.55
SMOOTH_CHANCE = 0.2
CLOSED_CHANCE = 0.6
CALM_CHANCE = 0.35  # that joints which go either way all rest near their middle
CALM_SHARE = 0.25  # of their range that they then keep within
CHAIN_CHANCE = 0.7  # that a chain bends as a whole when one of its joints is chosen
MOVING_WEIGHTS = (0.74, 0.18, 0.08)


@dataclass(frozen=True)
class Move:
    """One joint's travel over the clip, from state to state, at constant speed or resting at both ends."""

    part: Part
    start: float
    end: float
    smooth: bool

    def to_json(self) -> dict[str, Any]:
        """For a clip's metadata."""
        joint = self.part.joint
        return {
            "part": self.part.id, "name": self.part.name, "kind": joint.kind if joint else None,
            "start": self.start, "end": self.end, "ease": "smooth" if self.smooth else "linear",
        }  # fmt: skip


def choose_moves(rig: Rig, rng: np.random.Generator) -> list[Move]:
    """Pose all joints of a rig and choose the one to three that move, opening as well as closing."""
    joints = rig.joints
    count = min(len(joints), 1 + int(rng.choice(len(MOVING_WEIGHTS), p=MOVING_WEIGHTS)))
    chosen = [joints[index] for index in rng.choice(len(joints), size=count, replace=False)]
    calm = bool(rng.random() < CALM_CHANCE)
    for part in joints:
        rig.pose(part, 0.0 if part in rig.gates else _resting_state(part, rng, calm))
    opened = {rig.gates[part] for part in chosen if part in rig.gates}
    for door in opened:
        rig.pose(door, door.joint.limits[1])
    smooth = bool(rng.random() < SMOOTH_CHANCE)
    moves = [_choose_move(part, rng, smooth) for part in chosen if part not in opened]
    return moves + _followers(rig, moves, rng)


def apply_moves(rig: Rig, moves: list[Move], frames: int) -> None:
    """Key the moves on frames 1 to `frames`."""
    for move in moves:
        interpolation = "BEZIER" if move.smooth else "LINEAR"
        rig.animate(move.part, (move.start, move.end), (1, frames), interpolation)


def moved_groups(rig: Rig, moves: list[Move]) -> list[list[int]]:
    """For each moving joint the part ids that it alone, or it last, carries along."""
    moving = [move.part for move in moves]
    groups = []
    for part in moving:
        deeper = [other for other in moving if other is not part and other in rig.subtree(part)]
        taken = {item.id for other in deeper for item in rig.subtree(other)}
        groups.append([item.id for item in rig.subtree(part) if item.id not in taken])
    return groups


def _followers(rig: Rig, moves: list[Move], rng: np.random.Generator) -> list[Move]:
    """Moves of the other joints of a chain that go about the same share of their ranges as the one chosen."""
    found: list[Move] = []
    for move in moves:
        chain = next((chain for chain in rig.chains if move.part in chain), [])
        taken = {other.part for other in moves + found}
        if not chain or rng.random() > CHAIN_CHANCE:
            continue
        shares = _share(move.part, move.start), _share(move.part, move.end)
        for part in chain:
            low, high = part.joint.limits
            start, end = (float(low + share * rng.uniform(0.85, 1.0) * (high - low)) for share in shares)
            if part not in taken:
                found.append(Move(part, start, end, move.smooth))
    return found


def _share(part: Part, state: float) -> float:
    """Where in a joint's range a state lies, 0 to 1."""
    low, high = part.joint.limits
    return (state - low) / (high - low)


def _resting_state(part: Part, rng: np.random.Generator, calm: bool) -> float:
    low, high = part.joint.limits
    if low == 0.0 and rng.random() < CLOSED_CHANCE:
        return 0.0
    return float(rng.uniform(low, high)) * (CALM_SHARE if calm and low < 0.0 else 1.0)


def _choose_move(part: Part, rng: np.random.Generator, smooth: bool) -> Move:
    low, high = part.joint.limits
    share = rng.uniform(FAR_SHARE, 1.0) if rng.random() < FAR_CHANCE else rng.uniform(MIN_SHARE, FAR_SHARE)
    travel = share * (high - low)
    # A third of the moves begin or end at the lower limit: fully closed.
    first = low if rng.random() < 0.35 else float(rng.uniform(low, high - travel))
    states = [float(first), float(first + travel)]
    if rng.random() < 0.5:
        states.reverse()
    return Move(part, states[0], states[1], smooth)

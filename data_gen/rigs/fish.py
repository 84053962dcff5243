# SPDX-License-Identifier: GPL-3.0-or-later
"""Fish: a body of segments that bend about the upright axis, with a tail and fins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import finishes, textures
from .finishes import Finish
from .rig import Joint, Part, Rig, View
from .shapes import Shape

# Half-height along the body, nose to root of the tail, in shares of the highest.
STATIONS = np.array([0.0, 0.04, 0.12, 0.3, 0.5, 0.75, 0.92, 1.0])
OUTLINES = np.array([
    [0.05, 0.3, 0.65, 1.0, 0.95, 0.55, 0.25, 0.22],  # carp
    [0.1, 0.4, 0.8, 1.0, 0.75, 0.4, 0.2, 0.14],  # shark
    [0.2, 0.6, 0.85, 1.0, 1.0, 0.85, 0.6, 0.4],  # eel
    [0.05, 0.35, 0.6, 0.95, 1.0, 0.7, 0.25, 0.15],  # perch
])  # fmt: skip


@dataclass(frozen=True)
class Trunk:
    """A fish's measures in scene units: length, greatest half-height, width over height, middle's height, outline."""

    length: float
    high: float
    slim: float
    z: float
    outline: NDArray[np.float64]

    def at(self, x: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """Half-height `length·share` from the nose."""
        return self.high * np.interp(np.asarray(x) / self.length, STATIONS, self.outline)


def build(rng: np.random.Generator) -> Rig:
    """A fish of three to six segments, its nose to the left; at state 0 it is straight."""
    rig = Rig("fish", View(azimuth=(-180, 180), elevation=(15, 80)))
    scales = finishes.coat(rng, "scales")
    fins = scales if rng.random() < 0.3 else finishes.coat(rng, "fins")
    mix = rng.random()
    outline = mix * OUTLINES[int(rng.integers(4))] + (1 - mix) * OUTLINES[int(rng.integers(4))]
    high = float(rng.uniform(0.07, 0.27))
    trunk = Trunk(float(rng.uniform(0.8, 1.2)), high, float(rng.uniform(0.3, 0.9)), high * 1.5 + 0.03, outline)
    count = int(rng.integers(3, 7))
    weights = np.concatenate(([1.5], np.ones(count - 1))) * rng.uniform(0.8, 1.2, count)
    edges = trunk.length * np.concatenate(([0.0], np.cumsum(weights / weights.sum())))
    shapes = [_segment(trunk, edges[i], edges[i + 1], scales, i > 0) for i in range(count)]
    _add_face(shapes[0], rng, trunk, edges[1])
    _add_back_fins(shapes, rng, trunk, edges, fins)
    anchor = 0 if rng.random() < 0.65 else 1
    chain = _add_chain(rig, rng, trunk, edges, shapes, anchor)
    chain.append(_add_tail(rig, rng, trunk, fins, _named(rig, f"segment.{count - 1}")))
    rig.chains.append(chain)
    _add_side_fins(rig, rng, trunk, edges, fins)
    return rig


def _named(rig: Rig, name: str) -> Part:
    return next(part for part in rig.parts if part.name == name)


def _segment(trunk: Trunk, start: float, end: float, finish: Finish, rounded: bool) -> Shape:
    """The trunk between two distances from the nose; a rounded one begins inside the segment before it."""
    x = np.linspace(start, end, 9)
    heights = trunk.at(x)
    profile = [(a, h, h * trunk.slim) for a, h in zip(x, heights, strict=True)]
    if rounded:
        h, w = heights[0] * 0.99, heights[0] * trunk.slim * 0.98
        cap = [(start - w * np.cos(a), h * (0.7 + 0.3 * np.sin(a)), w * np.sin(a)) for a in np.linspace(0, 1.4, 5)]
        profile = [*cap, *profile]
    # Round off behind as well, so that no gap opens on the outside of a bend.
    h, w = heights[-1] * 0.98, heights[-1] * trunk.slim * 0.96
    profile += [(end + w * np.sin(a), h * (0.7 + 0.3 * np.cos(a)), w * np.cos(a)) for a in np.linspace(0.2, 1.55, 5)]
    line = np.array((0.0, 0.0, trunk.z)), np.array((1.0, 0.0, trunk.z))
    return Shape().loft(*line, profile, finish, 16)


def _add_chain(
    rig: Rig, rng: np.random.Generator, trunk: Trunk, edges: NDArray[np.float64], shapes: list[Shape], anchor: int
) -> list[Part]:
    """The segments, hung on one another from the anchor on to both sides; gives those with joints."""
    found = {anchor: rig.add_part(f"segment.{anchor}", shapes[anchor])}
    reach = float(rng.uniform(1.0, 2.4)) / len(shapes)
    for index in [*range(anchor + 1, len(shapes)), *range(anchor - 1, -1, -1)]:
        behind = index > anchor
        origin = (float(edges[index if behind else index + 1]), 0.0, trunk.z)
        # Seen from above, all bend to the same side.
        joint = Joint("revolute", "z" if behind else "-z", origin, (-reach, reach))
        parent = found[index - 1 if behind else index + 1]
        found[index] = rig.add_part(f"segment.{index}", shapes[index], parent, joint)
    return [part for index, part in found.items() if index != anchor]


def _add_tail(rig: Rig, rng: np.random.Generator, trunk: Trunk, fins: Finish, last: Part) -> Part:
    """A tail fin, forked, straight or round."""
    x, long = trunk.length, trunk.length * float(rng.uniform(0.12, 0.3))
    half = max(trunk.high * float(rng.uniform(0.6, 1.3)), 0.07)
    root = float(trunk.at(x)) * 0.8
    fork = float(rng.choice([0.3, 0.5, 0.8, 1.0, 1.15]))
    outline = [(-root, x - 0.03), (root, x - 0.03), (half, x + long), (0.45 * half, x + long * (0.5 + 0.5 * fork))]
    outline += [(0.0, x + long * fork), (-0.45 * half, x + long * (0.5 + 0.5 * fork)), (-half, x + long)]
    outline = [(z + trunk.z, along) for z, along in outline]
    shape = Shape().prism(outline[::-1], 1, -0.008, 0.008, fins)
    limit = float(rng.uniform(0.4, 0.9))
    return rig.add_part("tail", shape, last, Joint("revolute", "z", (x - 0.02, 0.0, trunk.z), (-limit, limit)))


def _add_back_fins(
    shapes: list[Shape], rng: np.random.Generator, trunk: Trunk, edges: NDArray[np.float64], fins: Finish
) -> None:
    """A fin on the back, mostly one at the belly too, each on one segment."""
    signs = [1, 1, -1] if rng.random() < 0.4 else [1, -1] if rng.random() < 0.7 else [1]
    for sign in signs:
        index = int(rng.integers(0 if sign > 0 else 1, len(shapes)))
        low, high = edges[index], edges[index + 1]
        start, end = low + 0.25 * (high - low) * (2 if index == 0 else 1), high
        rise = trunk.high * float(rng.uniform(0.25, 0.6 if sign > 0 else 0.4))
        lean = (end - start) * float(rng.uniform(0.4, 1.1))
        inner = [(0.8 * trunk.at(x), x) for x in (start, end)]
        top = trunk.at(end) + rise
        outline = [inner[0], inner[1], (top * 0.85, start + lean), (top, start + 0.7 * lean)]
        outline = [(trunk.z + sign * z, x) for z, x in outline]
        shapes[index].prism(outline if sign < 0 else outline[::-1], 1, -0.007, 0.007, fins)


def _add_face(head: Shape, rng: np.random.Generator, trunk: Trunk, end: float) -> None:
    """Eyes on both sides."""
    x = float(rng.uniform(0.3, 0.5)) * min(end, 0.3 * trunk.length)
    size = float(rng.uniform(0.1, 0.2)) * trunk.high + 0.008
    white = finishes.surface(rng, "eye", "plain", textures.hsv(0.12, rng.uniform(0, 0.5), 0.93))
    dark = finishes.surface(rng, "pupil", "plain", (0.03, 0.03, 0.04))
    lift = 0.25 * float(trunk.at(x))
    for side in (-1, 1):
        y = side * float(trunk.at(x)) * trunk.slim * 0.93
        head.ellipsoid((x, y, trunk.z + lift), (size, size * 0.5, size), white, 10)
        head.ellipsoid((x, y + side * size * 0.35, trunk.z + lift), (size * 0.55, size * 0.3, size * 0.55), dark, 8)


def _add_side_fins(
    rig: Rig, rng: np.random.Generator, trunk: Trunk, edges: NDArray[np.float64], fins: Finish
) -> None:
    """A pair of fins behind the head, hanging out to the sides, that flap."""
    if rng.random() < 0.2:
        return
    x = float(edges[1]) * float(rng.uniform(0.6, 0.85))
    long, chord = trunk.length * float(rng.uniform(0.1, 0.22)), trunk.length * float(rng.uniform(0.05, 0.1))
    z = trunk.z - 0.35 * float(trunk.at(x))
    for name, side, axis in (("left", -1, "x"), ("right", 1, "-x")):
        y = side * float(trunk.at(x)) * trunk.slim * 0.85
        outline = [(x - chord / 2, y), (x + chord / 2, y), (x + chord * 1.3, y + side * long)]
        outline += [(x + chord * 0.5, y + side * long * 1.05), (x - chord * 0.2, y + side * long * 0.6)]
        shape = Shape().prism(outline if side > 0 else outline[::-1], 2, z - 0.006, z + 0.006, fins)
        joint = Joint("revolute", axis, (x, y, z), (-0.6, 1.0))
        rig.add_part(f"fin.{name}", shape, _named(rig, "segment.0"), joint)

# SPDX-License-Identifier: GPL-3.0-or-later
"""An animation as numbers: surface points followed over its whole length.

At most `MOST_TIMES` moments are looked at. Up to that length every frame is; beyond it the moments are first spread
evenly, then the interval in which points get farthest is halved, again and again. A smooth motion halves with its
interval; a jump does not, so the halving runs down to the frame where it happens. Where points are fastest two
neighbouring frames are looked at, and what lies beside the farthest steps, to tell fast motion from a jump.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import bpy
import numpy as np
from numpy.typing import NDArray

from ..geometry import Surface, seen
from ..reasons import Rejection
from ..recording import TopologyChanges
from ..scene import set_time

if TYPE_CHECKING:
    from ..playback import Playback

MOST_TIMES = 64
EVEN_SHARE = 0.5  # of the moments of a long animation are spread evenly
GOLDEN = 0.618034  # multiples of it never come near a whole number soon
SUSPECTS = 4  # intervals that are looked into closer
HEAVY = ((1_000_000, 24), (200_000, 48))  # vertices from which fewer moments are looked at: each costs more
POINTS = 512
FEWEST_POINTS = 6  # on an item, however small
CLIP_SECONDS = 52 / 24  # what a clip shows at most: 14 frames, four of the animation's apart


@dataclass(frozen=True)
class Motion:
    """Surface points followed over an animation.

    Attributes:
        times: frame numbers, rising, float64 `[F]`.
        fps: frames a second.
        points: places in the world, float32 `[F, P, 3]`; NaN where the item is absent.
        normals: outward unit normals of the points' triangles, float32 `[F, P, 3]`; 0 where a triangle has no area.
        owner: which item each point lies on, int `[P]`.
        area: each item's surface, its largest at the moments it was sampled, float64 `[items]`. Items that show up
            only in between have no points.
        present: whether an item is shown, bool `[F, items]`.
        vertices: number of vertices.
        triangles: number of triangles.
        missing_textures: images the asset names and does not bring.
        window: seconds that a clip shows; changes are measured within as much.
    """

    times: NDArray[np.float64]
    fps: float
    points: NDArray[np.float32]
    normals: NDArray[np.float32]
    owner: NDArray[np.intp]
    area: NDArray[np.float64]
    present: NDArray[np.bool_]
    vertices: int = 0
    triangles: int = 0
    missing_textures: int = 0
    window: float = CLIP_SECONDS


def sample_motion(playback: Playback, rng: np.random.Generator, window: float = CLIP_SECONDS) -> Motion:
    """Follow points on what an animation shows over its whole length.

    Args:
        playback: the animation; `meta["missing_textures"]` (a number or a list) is taken over.
        rng: decides where on the surface the points lie.
        window: seconds that a clip shows.

    Raises:
        Rejection: the mesh changes ("topology changes"), a vertex has no finite place or there is no surface
            ("degenerate geometry").
    """
    watch = _Watch(playback)
    middle = (playback.first + playback.last) / 2
    vertices, triangles = watch.place_points((playback.first, middle, playback.last), rng)
    visit_times(watch.look, playback.first, playback.last, most_times(vertices), window * playback.fps)
    missing = playback.meta.get("missing_textures", 0)
    times = sorted(watch.looks)
    return Motion(
        times=np.array(times),
        fps=float(playback.fps),
        points=np.stack([watch.looks[time].points for time in times]),
        normals=np.stack([watch.looks[time].normals for time in times]),
        owner=watch.owner,
        area=np.array(list(watch.area.values())),
        present=np.array([[name in watch.looks[time].names for name in watch.area] for time in times]),
        vertices=vertices,
        triangles=triangles,
        missing_textures=missing if isinstance(missing, int) else len(missing),
        window=window,
    )


def most_times(vertices: int) -> int:
    """At how many moments an asset of so many vertices is looked at."""
    return next((most for heavy, most in HEAVY if vertices >= heavy), MOST_TIMES)


@dataclass(frozen=True)
class _Look:
    """What is seen at one moment."""

    points: NDArray[np.float32]
    normals: NDArray[np.float32]
    names: frozenset[str]


@dataclass(frozen=True)
class _Spots:
    """Points on an item: the index of the first one, and the vertices of their triangles' corners, `[n, 3]`."""

    start: int
    corners: NDArray[np.int32]


class _Watch:
    """Looks at a playback at any moment, in any order.

    Attributes:
        area: each item's surface.
        owner: each point's item, int `[P]`.
        looks: what was seen, by frame number.
    """

    def __init__(self, playback: Playback) -> None:
        self.playback = playback
        self.area: dict[str, float] = {}
        self.owner = np.zeros(0, np.intp)
        self.looks: dict[float, _Look] = {}
        self._surfaces: dict[str, Surface] = {}
        self._since: dict[str, float] = {}
        self._spots: dict[str, _Spots] = {}
        self._blend = np.zeros((0, 3))  # the points' barycentric coordinates

    def place_points(self, times: tuple[float, ...], rng: np.random.Generator) -> tuple[int, int]:
        """Spread points over what is shown at some moments; gives the numbers of vertices and triangles."""
        areas: dict[str, NDArray[np.float64]] = {}
        for time in dict.fromkeys(times):
            for name, surface, matrix in self._seen(time):
                now = _triangle_areas(surface, matrix)
                if name not in areas or now.sum() > areas[name].sum():
                    areas[name] = now
        if not areas or sum(now.sum() for now in areas.values()) <= 0:
            raise Rejection("degenerate geometry", f"no surface at frames {times[0]:g} to {times[-1]:g}")
        self.area = {name: float(now.sum()) for name, now in areas.items()}
        counts = share_out(np.array(list(self.area.values())), POINTS)
        self.owner = np.repeat(np.arange(len(areas)), counts)
        root, along = np.sqrt(rng.random(len(self.owner))), rng.random(len(self.owner))
        self._blend = np.stack((1 - root, root * (1 - along), root * along), axis=1)
        start = 0
        for (name, now), count in zip(areas.items(), counts.tolist(), strict=True):
            chosen = rng.choice(len(now), count, p=now / now.sum() if now.sum() > 0 else None)
            self._spots[name] = _Spots(start, self._surfaces[name].triangles[chosen])
            start += count
        surfaces = self._surfaces.values()
        return sum(len(item.vertices) for item in surfaces), sum(len(item.triangles) for item in surfaces)

    def look(self, time: float) -> NDArray[np.float32]:
        """The points' places at a frame number, `[P, 3]`, NaN where the item is absent."""
        corners = np.full((len(self.owner), 3, 3), np.nan)
        facing = np.ones(len(self.owner))
        names = []
        for name, surface, matrix in self._seen(time):
            names.append(name)
            if name not in self.area:
                self.area[name] = float(_triangle_areas(surface, matrix).sum())
            if (spots := self._spots.get(name)) is not None:
                mine = slice(spots.start, spots.start + len(spots.corners))
                corners[mine] = surface.vertices[spots.corners] @ matrix[:3, :3].T + matrix[:3, 3]
                facing[mine] = np.sign(np.linalg.det(matrix[:3, :3]))  # mirrored objects turn faces round
                if not np.isfinite(corners[mine]).all():
                    raise Rejection("degenerate geometry", f'"{name}" is at no finite place at frame {time:g}')
        places = np.einsum("pk,pki->pi", self._blend, corners).astype(np.float32)
        normals = _normals(corners) * facing[:, None]
        self.looks[time] = _Look(places, normals.astype(np.float32), frozenset(names))
        return places

    def _seen(self, time: float) -> list[tuple[str, Surface, NDArray[np.float64]]]:
        set_time(self.playback.scene, time)
        shown = seen(self.playback.objects, bpy.context.evaluated_depsgraph_get(), self._surfaces)
        focus = self.playback.focus
        found = [item for item in shown if focus is None or item[0] in focus]
        for name, surface, _ in found:
            first = self._surfaces.setdefault(name, surface)
            since = self._since.setdefault(name, time)
            if first.topology != surface.topology:
                raise TopologyChanges(name, since, time, first.topology[0], surface.topology[0])
        return found


def share_out(area: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """How many points each item gets: by area, but `FEWEST_POINTS` each as far as they reach, int `[items]`."""
    fewest = min(FEWEST_POINTS, count // len(area))
    if fewest:
        return np.maximum(fewest, np.floor(count * area / area.sum())).astype(np.intp)
    counts = np.zeros(len(area), np.intp)
    counts[np.argsort(-area, kind="stable")[:count]] = 1
    return counts


def _triangle_areas(surface: Surface, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Areas of a surface's triangles in the world, `[T]`."""
    a, b, c = np.moveaxis(surface.placed(matrix)[surface.triangles], 1, 0)
    return np.nan_to_num(np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2)


def _normals(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit normals of triangles `[n, 3, 3]`, 0 where one has no area."""
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    return normal / np.where(length > 0, length, 1.0)


Places = dict[float, NDArray[np.float32]]


def visit_times(
    look: Callable[[float], NDArray[np.float32]],
    first: float,
    last: float,
    most: int = MOST_TIMES,
    window: float = np.inf,
) -> Places:
    """Look at an animation at well-chosen moments.

    Args:
        look: gives the points' places `[P, 3]` at a frame number; NaN where a point is absent.
        first: first frame number.
        last: last frame number, beyond `first`.
        most: at most so many moments, 24 at least.
        window: frames that a clip spans.

    Returns:
        What `look` gave, by frame number, rising.
    """
    if last - first <= most - 2:
        return {time: look(time) for time in _every_frame(first, last)}
    visited = _Visited(look)
    visited.add(first + step for step in _spread(int(last - first), int(most * EVEN_SHARE), window))
    while len(visited.places) < most - 4 * SUSPECTS and (wide := visited.intervals(wide=True)):
        visited.add([_middle(max(wide, key=visited.reach))])
    fastest = sorted(visited.intervals(wide=True), key=lambda one: -visited.reach(one) / (one[1] - one[0]))
    visited.add(time for one in fastest[:SUSPECTS] for time in (_middle(one), _middle(one) + 1))
    farthest = sorted(visited.intervals(wide=False), key=lambda one: -visited.reach(one))
    around = [time for a, b in farthest[:SUSPECTS] for time in (a - 1, b + 1)]
    visited.add(time for time in around if first <= time <= last)
    return dict(sorted(visited.places.items()))


def _spread(length: int, count: int, window: float) -> list[int]:
    """Whole steps from the first frame, so that halving ends at neighbouring frames: `count` of them, evenly spread.

    Where these would lie farther apart than a clip reaches, half as many, each with another one less than a clip
    later: what swings back and forth would else be looked at in no two moments of a clip. How much later differs, as
    a swing looks the same after its period.
    """
    if length / count <= window:
        return np.unique(np.linspace(0, length, count).round()).astype(int).tolist()
    starts = np.linspace(0, length - window, count // 2).round()
    later = window * (0.1 + 0.9 * (np.arange(len(starts)) * GOLDEN % 1))
    return np.unique(np.concatenate((starts, starts + later.round(), [length]))).astype(int).tolist()


class _Visited:
    """What has been looked at."""

    def __init__(self, look: Callable[[float], NDArray[np.float32]]) -> None:
        self._look = look
        self.places: Places = {}
        self._reach: dict[tuple[float, float], float] = {}

    def add(self, times: Iterable[float]) -> None:
        """Look at what has not been looked at yet."""
        for time in times:
            if time not in self.places:
                self.places[time] = self._look(time)

    def intervals(self, wide: bool) -> list[tuple[float, float]]:
        """Those of several frames, or those of one."""
        return [(a, b) for a, b in pairwise(sorted(self.places)) if (b - a > 1.5) == wide]

    def reach(self, interval: tuple[float, float]) -> float:
        """How far the third-farthest point gets in it."""
        if interval not in self._reach:
            a, b = (self.places[time].astype(np.float64) for time in interval)
            distance = np.nan_to_num(np.linalg.norm(b - a, axis=1))
            rank = min(3, len(distance))
            self._reach[interval] = float(np.partition(distance, -rank)[-rank])
        return self._reach[interval]


def _middle(interval: tuple[float, float]) -> float:
    """A frame in the middle, whole steps from the interval's ends."""
    return interval[0] + round((interval[1] - interval[0]) / 2)


def _every_frame(first: float, last: float) -> list[float]:
    times = [first + step for step in range(int(last - first + 1e-6) + 1)]
    return times if last - times[-1] < 1e-3 else [*times, last]

# SPDX-License-Identifier: GPL-3.0-or-later
"""What a worker does for one unit, inside Blender: open the asset, look at each animation, film what is worth it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..backend.clips import FRAMES, META, Clip, encode_clip, encode_json, encode_strip
from .assets import open_asset
from .film import film_view, key_of, record_take
from .filter.decide import Decider
from .filter.motion import Motion, sample_motion
from .ledger import Line, animation_line, asset_line, turned_away
from .licences import NAMES, is_allowed, short_name
from .open_scene import open_scene
from .packing import PartWriter, commit
from .playback import Playback, Source
from .procedural import RigSource
from .reasons import NotLicensed, Rejection
from .settings import RenderSettings
from .stopwatch import Stopwatch
from .strip import film_strip
from .window import LONGEST_STEP, choose_times

Emit = Callable[[dict[str, Any]], None]
CLIP_FRAMES = 14  # where the order does not render, so does not say
RIG_ATTEMPTS = 12  # rigs built for one seed before it is given up

bpy.ops.wm.read_factory_settings(use_empty=True)


def work(task: dict[str, Any], emit: Emit) -> None:
    """Make one unit and have it count; see `make_unit`. The worker's way in."""
    commit(Path(task["out"]), task["key"], make_unit(task, emit), {"blender": bpy.app.version_string})


def make_unit(task: dict[str, Any], emit: Emit) -> list[Line]:
    """Work off one unit; its clips are handed to a `PartWriter`.

    Args:
        task: see `plan.Unit.task`.
        emit: told of each stage as it begins.

    Returns:
        the unit's ledger lines, the asset's own last.

    Raises:
        OutputError: a clip cannot be written.
        RequirementError: this Blender cannot render what was ordered.
    """
    work = _Work(task, emit)
    try:
        lines = work.rig() if task["kind"] == "procedural" else work.file()
    except Rejection as rejection:
        return [work.own_line(rejection.outcome, **turned_away(rejection))]
    return [*lines, work.own_line("done")]


class _Work:
    """One unit being worked on."""

    def __init__(self, task: dict[str, Any], emit: Emit) -> None:
        self.task, self.order = task, task["order"]
        self.watch = Stopwatch(emit)
        self.settings = RenderSettings.of(self.order, task["threads"]) if task["stage"] == "render" else None
        engine = self.order.get("strips")  # of a filter run: show all animations, to people or to a judge
        self.strips = self.settings or (RenderSettings(engine=engine) if engine else None)
        self.decider = Decider.of(self.order)
        self.parts = PartWriter(Path(task["out"]), task["key"])
        self.window = (self.order.get("frames", CLIP_FRAMES) - 1) * LONGEST_STEP
        self.meta: dict[str, Any] = {}
        self.credit: dict[str, Any] = {name: value for name, value in task["licence"].items() if value}
        self.import_seconds = 0.0

    def file(self) -> list[Line]:
        """Every animation of a file, or a scene as one shot."""
        with self.watch("import"):
            bpy.ops.wm.read_factory_settings(use_empty=True)
            path = Path(self.task["path"])
            shot = self.task["kind"] == "scene"
            source: Source = open_scene(path, self.order["scripts"]) if shot else open_asset(path)
        self._take_up(source)
        names = source.animations()
        wanted = self.order.get("animation")
        chosen = [index for index, name in enumerate(names) if not wanted or name == wanted]
        if not chosen:
            raise Rejection("no animation", f'none is called "{wanted}"' if names else "")
        return [self._animation(source, index, names[index]) for index in chosen]

    def rig(self) -> list[Line]:
        """A procedural rig; one that cannot be filmed is replaced by the next draw of its seed."""
        line: Line = {}
        for attempt in range(RIG_ATTEMPTS):
            with self.watch("import"):
                source = RigSource(self.task["rig"], self.task["seed"], self.order.get("frames", CLIP_FRAMES), attempt)
            self._take_up(source)
            last = attempt == RIG_ATTEMPTS - 1
            line = self._animation(source, 0, source.animations()[0], attempt, keep_rejected=last)
            if line["outcome"] == "accepted":
                break
        return [line]

    def own_line(self, outcome: str, **known: Any) -> Line:
        """The asset's own ledger line."""
        self.watch.seconds["import"] += self.import_seconds
        seconds = self.watch.lap()
        credit = {name: self.credit.get(name) for name in ("licence", "author", "title", "url")}
        return asset_line(
            self.task["key"], self.task["source"], outcome, seconds=seconds, facts=self.meta, **credit, **known
        )

    def _take_up(self, source: Source) -> None:
        self.meta = source.meta
        found = {name: source.meta[name] for name in ("licence", "author", "title", "url") if source.meta.get(name)}
        self.credit = {**found, **self.credit}  # what the user says of a file counts more than what it says
        self.import_seconds += self.watch.lap()["total"]
        stated = short_name(self.credit.get("licence") or "")
        if stated in NAMES and not is_allowed(stated, self.order["licences"]):
            allowed = ", ".join(self.order["licences"])
            raise NotLicensed("licence", f"the file itself says {stated}, which is not one of {allowed}")

    def _animation(
        self, source: Source, index: int, name: str, attempt: int = 0, keep_rejected: bool = True
    ) -> Line:
        """Decide about an animation and film it; gives its ledger line."""
        key = (*key_of(self.task["seed"], self.task["key"], index), attempt)
        known: dict[str, Any] = {}
        clips: list[str] = []
        playback = None
        try:
            playback = source.play(index)
            motion = self._judge(playback, index, name, key, known)
            if self.settings is not None:
                clips, known["views"] = self._film(playback, motion, index, name, key)
        except Rejection as rejection:
            if playback is not None and keep_rejected:
                self._show(playback, index, name, turned_away(rejection))
            return self._line(index, name, "rejected", known, **turned_away(rejection))
        if self.settings is None:
            self._show(playback, index, name, {})
        return self._line(index, name, "accepted", known, clips=clips)

    def _judge(
        self, playback: Playback, index: int, name: str, key: tuple[int, ...], known: dict[str, Any]
    ) -> Motion:
        """Measure the motion and decide; `known` takes up the features.

        Raises:
            Rejection: turned away.
        """
        with self.watch("features"):
            motion = sample_motion(playback, np.random.default_rng(key), self.window)
            features = self.decider.measure(motion)
            known["features"] = features.to_json()
            rejection = self.decider.decide(features, self.task["key"], index)
        if rejection is not None:
            raise rejection
        return motion

    def _film(
        self, playback: Playback, motion: Motion, index: int, name: str, key: tuple[int, ...]
    ) -> tuple[list[str], list[dict[str, Any]]]:
        """All views of an animation: the clips' names, and what became of each view.

        Raises:
            Rejection: no view is worth a clip.
        """
        rng = np.random.default_rng((*key, 1))
        span = (playback.first, playback.last, playback.fps)
        times = choose_times(*span, self.order["frames"], rng, (motion.times, motion.points))
        take = record_take(playback, times.tolist(), rng, self.watch)
        clips: list[str] = []
        views: list[dict[str, Any]] = []
        fault: Rejection | None = None
        count = self.order["views"]
        for view in range(count):
            try:
                clip = film_view(
                    take, key, view, count, self.settings, self.order["passes"], self.decider.decide_view, self.watch
                )
            except Rejection as rejection:
                fault = rejection
                views.append({"view": view, "clip": None, **turned_away(rejection)})
                continue
            clip_name = f"{self._name(index)}_v{view:02d}"
            self._keep(clip_name, clip, index, name)
            clips.append(clip_name)
            views.append({"view": view, "clip": clip_name, "reason": None, "detail": ""})
        if fault is not None and not clips:
            raise fault
        return clips, views

    def _keep(self, clip_name: str, clip: Clip, index: int, name: str) -> None:
        with self.watch("encode"):
            clip.meta.update(self._about(index, name))
            self.parts.add_clip(clip_name, encode_clip(clip))

    def _show(self, playback: Playback, index: int, name: str, why: dict[str, str]) -> None:
        """Keep a small film strip of an animation that gets no clips, for people to look at."""
        if self.strips is None:
            return
        with self.watch("render"):
            strip = film_strip(playback, self.strips)
        if strip is None:
            return
        with self.watch("encode"):
            meta = {**strip.meta, **self._about(index, name), **why}
            members = {FRAMES: encode_strip(strip.frames), META: encode_json(meta)}
            self.parts.add_rejected(self._name(index), members)

    def _name(self, index: int) -> str:
        return f"{self.task['key']}_a{index:03d}"

    def _about(self, index: int, name: str) -> dict[str, Any]:
        """What metadata say of every clip: where it comes from and what may be done with it."""
        return {
            "asset": self.task["key"], "source": Path(self.task["source"]).name, "animation": name,
            "animation_index": index, "seed": self.task["seed"], **self.credit,
        }  # fmt: skip

    def _line(self, index: int, name: str, outcome: str, known: dict[str, Any], **more: Any) -> Line:
        return animation_line(
            self.task["key"], self.task["source"], name, index, outcome, seconds=self.watch.lap(), **known, **more
        )

# SPDX-License-Identifier: GPL-3.0-or-later
"""The same batch on a running Ray cluster: an actor for each place to work, with a model and a Blender of its own.

Everything else is as on one machine: the nodes read the job's files from, and write the previews to, a disk that all of
them see at the same place. What a lost node had at hand is given to another; a preview it had finished has its record
and is not made again. Nodes that join later are taken up.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ... import __version__
from ..errors import InputError, RequirementError, from_wire
from ..workers.cluster import Cluster, made_here, probe
from ..workers.ledger_file import replace_file
from ..workers.slot import Event, Outcome, Program, Slot
from .feed import PREVIEWS, STILLS, Feed, Side, Task
from .layout import WORK, Layout
from .places import TOGETHER, Wanted

TRIES = 10  # of a task whose node is lost
POLL = 0.5  # seconds
START = "start"  # what an actor is at before it has a task
GROWTH = 5.0  # seconds between two looks at the cluster's nodes
ALARM = 30.0  # seconds after the loss of an actor in which nodes are looked at more often


@dataclass
class _Actor:
    """A place to work.

    Attributes:
        handle: Ray's.
        at_hand: tasks it was given, by side: one of each at a time.
        started: whether Ray has found it a node. Until then it gets no task: there may never be one.
    """

    handle: Any
    at_hand: dict[str, Task] = field(default_factory=dict)
    started: bool = False


class RayPlaces:
    """The places of a Ray cluster. See `places.Places`."""

    def __init__(self, address: str, wanted: Wanted, layout: Layout, needs_blender: bool = True) -> None:
        """
        Args:
            address: "auto" or HOST:PORT.
            wanted: `device` says whether places need graphics cards; `workers`: most places; 0: all there are.
            layout: of the batch.
            needs_blender: whether any still has to be rendered.

        Raises:
            RequirementError: Ray is not installed.
            InputError: a device that a cluster cannot give.
        """
        if wanted.device not in ("auto", "cpu", "cuda"):
            raise InputError(f"--device {wanted.device}: Ray chooses the card; give auto, cpu or cuda with --ray")
        self.wanted, self._layout, self._needs_blender = wanted, layout, needs_blender
        self._cluster = Cluster(address, gpus={"auto": None, "cpu": 0, "cuda": 1}[wanted.device])
        self._ray = self._cluster.ray
        self.device, self.threads, self.together = "cpu", 1, wanted.together or 1
        self._token = secrets.token_hex(16)
        self._actors: list[_Actor] = []
        self._running: dict[Any, tuple[_Actor, str]] = {}
        self._tries: dict[str, int] = {}
        self._nodes = 0
        self._looked = self._alarmed_until = 0.0
        self._unable = 0

    def count(self, side: str) -> int:
        """How many workers a side of the feed has: as many as there are, or were, places."""
        return max(1, len(self._actors) + self._unable)

    def results(self, feed: Feed, on_event: Callable[[Event], None]) -> Iterator[Outcome]:
        """See `places.Places.results`; events `nodes` tell of nodes that come and go."""
        replace_file(self._layout.out / WORK / "token", self._token.encode())
        with self._cluster.connected(probe, self._where()):
            if self._cluster.resources["num_gpus"]:
                self.device, self.threads, self.together = "cuda", 0, self.wanted.together or TOGETHER
            while not feed.closed:
                self._grow(on_event)
                self._hand_out(feed)
                if not self._running:
                    time.sleep(POLL)  # all nodes are lost: others may come
                    continue
                done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=POLL)
                for reference in done:
                    yield from self._outcome(reference, feed)

    def _where(self) -> dict[str, Any]:
        out = str(self._layout.out.absolute())
        return {"version": __version__, "out": out, "work": WORK, "token": self._token, "assets": []}

    def _grow(self, on_event: Callable[[Event], None]) -> None:
        """As many actors as the cluster has places; told when nodes come or go."""
        pause = POLL if time.monotonic() < self._alarmed_until else GROWTH
        if time.monotonic() - self._looked < pause and self._actors:
            return
        self._looked = time.monotonic()
        nodes = self._cluster.able_nodes()
        if self._nodes and len(nodes) != self._nodes:
            on_event({"event": "nodes", "nodes": len(nodes), "before": self._nodes})
        self._nodes = len(nodes)
        places = sum(self._cluster.places(node) for node in nodes) - self._unable
        places = min(places, self.wanted.workers or places)
        for actor in [actor for actor in self._actors if not actor.started][: max(0, len(self._actors) - places)]:
            self._dismiss(actor)  # it was meant for a node that is gone
        for _ in range(len(self._actors), places):
            self._add_actor()

    def _add_actor(self) -> None:
        remote = self._ray.remote(actor_class()).options(
            max_restarts=0, max_concurrency=2, scheduling_strategy="SPREAD", **self._cluster.resources
        )
        actor = _Actor(remote.remote(self._where(), self._how()))
        self._actors.append(actor)
        self._running[actor.handle.fault.remote()] = (actor, START)

    def _how(self) -> dict[str, Any]:
        """How workers are started, as plain values: a node may not know our classes yet. See `places.Wanted`."""
        wanted = self.wanted
        programs = {"program": wanted.program, "still_program": wanted.still_program}
        return {
            **{name: program and [*vars(program).values()] for name, program in programs.items()},
            "blender": wanted.blender and str(wanted.blender.absolute()), "time_limit": wanted.time_limit,
            "memory_limit_gb": wanted.memory_limit_gb,
        }  # fmt: skip

    def _hand_out(self, feed: Feed) -> None:
        """A task of each side to every actor that has none."""
        sides: dict[str, Side] = {STILLS: feed.stills, PREVIEWS: feed.previews}
        for name, side in sides.items():
            for actor in self._actors:
                if name in actor.at_hand or not actor.started:
                    continue
                if (task := side.now()) is None:
                    break
                actor.at_hand[name] = task
                self._running[actor.handle.work.remote(name, task)] = (actor, name)

    def _outcome(self, reference: Any, feed: Feed) -> Iterator[Outcome]:
        if reference not in self._running:  # of an actor that was dismissed meanwhile
            return
        actor, side = self._running.pop(reference)
        if side == START:
            self._started(actor, reference)
            return
        task = actor.at_hand.pop(side)
        try:
            found: Outcome | tuple[str, str] = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            yield from self._lost(actor, side, task, feed, error)
            return
        outcome = Outcome(task["key"], stop=found) if isinstance(found, tuple) else found
        if outcome.stop is not None:
            self._dismiss(actor)
            self._unable += 1  # another actor at its place would fare no better
        yield outcome

    def _started(self, actor: _Actor, reference: Any) -> None:
        """Ray has found an actor its node.

        Raises:
            PuppetMasterError: what keeps that node from working, if no other can.
        """
        try:
            fault = self._ray.get(reference)
        except self._ray.exceptions.RayError:  # lost again
            self._dismiss(actor)
            return
        actor.started = fault is None
        if fault:
            self._dismiss(actor)
            self._unable += 1
            if not self._actors:
                raise from_wire(*fault)

    def _lost(self, actor: _Actor, side: str, task: Task, feed: Feed, error: Exception) -> Iterator[Outcome]:
        """A node is gone, or Ray ended the actor: another one does its task."""
        self._dismiss(actor)
        self._alarmed_until = time.monotonic() + ALARM
        key = task["key"]
        self._tries[key] = self._tries.get(key, 0) + 1
        if self._tries[key] < TRIES:
            feed.give_back(task)
        else:
            yield Outcome(key, "crashed", f"Ray gave it up: {str(error).strip().partition(chr(10))[0]}"[:500])

    def _dismiss(self, actor: _Actor) -> None:
        """Give it no more tasks; with its last task it ends."""
        if actor in self._actors:
            self._actors.remove(actor)
        if not actor.started:
            self._ray.kill(actor.handle)
            self._running = {reference: known for reference, known in self._running.items() if known[0] is not actor}


# On the nodes from here on.


def actor_class() -> type:
    """The class that Ray sends to a node; there the package is found as `made_here` finds it."""
    start, call = made_here(start_places), made_here(work_here)

    class BatchActor:
        """One place to work: a process with the model and one with Blender, started when needed."""

        def __init__(self, where: dict[str, Any], how: dict[str, Any]) -> None:
            self._fault = start(where, how)

        def fault(self) -> Any:
            return self._fault

        def work(self, side: str, task: Task) -> Any:
            return call(side, task)

    return BatchActor


_slots: dict[str, Slot] = {}  # of this actor, by side
_wanted: list[Wanted] = []


def start_places(where: dict[str, Any], how: dict[str, Any]) -> tuple[str, str] | None:
    """Find out how this node's workers are started; kind and message of what keeps it from working."""
    if fault := probe(where):
        return fault
    programs = {name: how[name] and Program(*how[name]) for name in ("program", "still_program")}
    _wanted[:] = [Wanted(**{**how, **programs, "blender": how["blender"] and Path(how["blender"])})]
    return None


def work_here(side: str, task: Task) -> Outcome | tuple[str, str]:
    """Have a task done by this actor's worker of a side."""
    try:
        return _slot(side).work(task)
    except RequirementError as error:
        return error.kind, f"node {socket.gethostname()}: {error}"


def _slot(side: str) -> Slot:
    if side not in _slots:
        (wanted,) = _wanted
        program = wanted.program_of(side)
        cards = os.environ.get("CUDA_VISIBLE_DEVICES")  # which Ray has set to what this process may use
        if cards is not None:
            program = replace(program, environment={**program.environment, "CUDA_VISIBLE_DEVICES": cards})
        _slots[side] = Slot(program, wanted.limits)
    return _slots[side]



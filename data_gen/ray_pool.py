# SPDX-License-Identifier: GPL-3.0-or-later
"""The same units on a running Ray cluster: Ray decides where, tries again when a node is lost, and shares the cards.

Each of Ray's worker processes keeps a slot. Everything else is as on one machine: the nodes write into the dataset's
folder, which all of them must see, and the process that asked packs the shards. The nodes need this package (installed,
or at the same place on a shared disk) and Blender.
"""

from __future__ import annotations

import atexit
import os
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

from .. import __version__
from ..backend.errors import RequirementError
from ..backend.workers.cluster import Cluster, made_here, probe
from ..backend.workers.ledger_file import replace_file
from ..backend.workers.pool import Task
from ..backend.workers.slot import Event, Limits, Outcome, Program, Slot
from .options import FilterOrder
from .packing import WORK
from .plan import MAKER

TRIES = 10  # of a unit whose node is lost
AHEAD = 4  # units handed to Ray for each place where one can be worked on; more would only wait there
LEAST_AHEAD = 64  # so that a cluster that grows by itself sees that there is work
POLL = 1.0  # seconds
_slots: dict[tuple[Any, ...], Slot] = {}  # of this process, where it is one of Ray's workers


class RayPool:
    """The places of a Ray cluster."""

    def __init__(self, order: FilterOrder, limits: Limits, program: Program | None = None) -> None:
        """
        Args:
            order: says which cluster, which folder, and whether graphics cards are needed.
            limits: of a unit.
            program: how a slot's process starts on a node; each node finds its own Blender if not given.

        Raises:
            RequirementError: Ray is not installed.
        """
        assert order.out is not None
        self._order, self._limits, self._program = order, limits, program
        self._out = order.out.absolute()
        assert order.ray is not None
        self._cluster = Cluster(order.ray, gpus=1 if order.device == "gpu" else 0)
        self._ray = self._cluster.ray
        self._token = secrets.token_hex(16)
        self._nodes = 0

    def _where(self) -> dict[str, Any]:
        """What a node needs in order to find itself able."""
        assets = [str(path.absolute()) for path in (*self._order.assets, self._order.scene) if path and path.exists()]
        return {"version": __version__, "out": str(self._out), "work": WORK, "token": self._token, "assets": assets}

    def _how(self) -> dict[str, Any]:
        """How a slot is started, as plain values: a node may not know our classes before it has found this package."""
        program = self._program
        return {
            "limits": asdict(self._limits), "blender": self._order.blender and str(self._order.blender.absolute()),
            "program": program and [program.command, program.arguments, dict(program.environment)],
        }  # fmt: skip

    def results(self, tasks: Iterable[Task], on_event: Callable[[Event], None]) -> Iterator[Outcome]:
        """See `pool.Pool.results`; instead of stages, nodes that come and go are told."""
        replace_file(self._out / WORK / "token", self._token.encode())
        with self._cluster.connected(probe, self._where()):
            self._nodes = len(self._cluster.able_nodes())
            remote = self._ray.remote(made_here(_work)).options(max_retries=TRIES, **self._cluster.resources)
            yield from self._work_off(remote, iter(tasks), on_event)

    def _work_off(self, remote: Any, waiting: Iterator[Task], on_event: Callable[[Event], None]) -> Iterator[Outcome]:
        where, how = self._where(), self._how()
        running: dict[Any, str] = {}
        while True:
            for task in islice(waiting, max(0, self._room() - len(running))):
                task = {**task, "threads": self._cluster.resources["num_cpus"]}
                running[remote.remote(where, how, task)] = task["key"]
            if not running:
                return
            self._watch_nodes(on_event)
            done, _ = self._ray.wait(list(running), num_returns=1, timeout=POLL)
            for reference in done:
                yield self._outcome(running.pop(reference), reference)

    def _watch_nodes(self, on_event: Callable[[Event], None]) -> None:
        """Tell when there are more or fewer nodes; Ray itself sees to what a lost one had at hand."""
        count = len(self._cluster.able_nodes())
        if count != self._nodes:
            on_event({"event": "nodes", "nodes": count, "before": self._nodes})
            self._nodes = count

    def _room(self) -> int:
        """How many units Ray is to know of at a time."""
        return max(LEAST_AHEAD, AHEAD * round(self._ray.cluster_resources().get("CPU", 1)))

    def _outcome(self, key: str, reference: Any) -> Outcome:
        try:
            found: Outcome | tuple[str, str] = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            # Its node was lost TRIES times, or Ray's own memory watch ended it.
            reason = str(error).strip().partition("\n")[0]
            return Outcome(key, "crashed", f"Ray gave it up: {reason}"[:500])
        return Outcome(key, stop=found) if isinstance(found, tuple) else found


# On the nodes from here on.


def _work(where: dict[str, Any], how: dict[str, Any], task: Task) -> Outcome | tuple[str, str]:
    """Make a unit in this process's slot."""
    if fault := _probe_once(where):
        return fault
    try:
        found = how["program"]
        program = Program(*found) if found else Program.find(MAKER, how["blender"] and Path(how["blender"]))
    except RequirementError as error:
        return error.kind, f"node {socket.gethostname()}: {error}"
    cards = os.environ.get("CUDA_VISIBLE_DEVICES")  # which Ray has set to what this process may use
    if cards is not None:
        program = replace(program, environment={**program.environment, "CUDA_VISIBLE_DEVICES": cards})
    return _slot(program, Limits(**how["limits"])).work(task)


_able: set[str] = set()


def _probe_once(where: dict[str, Any]) -> tuple[str, str] | None:
    """`probe` at the first unit of a run in this process: nodes may join later."""
    if where["token"] in _able:
        return None
    fault = probe(where)
    if fault is None:
        _able.add(where["token"])
    return fault


def _slot(program: Program, limits: Limits) -> Slot:
    """This process's slot; another program, or another card, takes its place."""
    wanted = (program.command, program.arguments, tuple(sorted(program.environment.items())), limits)
    for known in [known for known in _slots if known != wanted]:
        _slots.pop(known).close()
    if wanted not in _slots:
        _slots[wanted] = Slot(program, limits)
        atexit.register(_slots[wanted].close)
    return _slots[wanted]

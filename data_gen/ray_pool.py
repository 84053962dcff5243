# SPDX-License-Identifier: GPL-3.0-or-later
"""The same units on a running Ray cluster: Ray decides where, tries again when a node is lost, and shares the cards.

Each of Ray's worker processes keeps a slot. Everything else is as on one machine: the nodes write into the dataset's
folder, which all of them must see, and the process that asked packs the shards. The nodes need this package (installed,
or at the same place on a shared disk) and Blender.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from .. import __version__
from ..backend.errors import RequirementError, from_wire
from .ledger import replace_file
from .options import FilterOrder
from .packing import WORK
from .pool import Task
from .slot import Event, Limits, Outcome, Program, Slot

ROOT = Path(__file__).resolve().parents[1]
TRIES = 10  # of a unit whose node is lost
AHEAD = 4  # units handed to Ray for each place where one can be worked on; more would only wait there
LEAST_AHEAD = 64  # so that a cluster that grows by itself sees that there is work
POLL = 1.0  # seconds
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no reports to Ray's makers
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # leave CUDA_VISIBLE_DEVICES alone where no card is asked for
}

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
        self._ray = _import_ray()
        self._resources = {"num_cpus": 1, "num_gpus": 1 if order.device == "gpu" else 0}
        self._token = secrets.token_hex(16)
        self._nodes = 0

    @contextlib.contextmanager
    def _connected(self) -> Iterator[None]:
        """
        Raises:
            RequirementError: no cluster answers there, it has no place for a unit, or a node lacks something.
            OutputError: a node cannot see the dataset's folder.
        """
        replace_file(self._out / WORK / "token", self._token.encode())
        logging.getLogger("ray").setLevel(logging.ERROR)
        # A thread of Ray prints the last lines of a lost node's log, on the stdout that carries our results.
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                self._connect(self._order.ray)
                self._check_nodes()
                yield
            finally:
                self._ray.shutdown()  # which also ends what is still worked on

    def _connect(self, address: str) -> None:
        try:
            self._ray.init(address=address, log_to_driver=False, configure_logging=False, namespace="puppet-master")
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).strip().partition("\n")[0]
            message = f"no Ray cluster answers at {address!r}: {reason}; start one with: ray start --head"
            raise RequirementError(message) from error

    def _able_nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"] and self._has_place(node["Resources"])]

    def _check_nodes(self) -> None:
        """Ask every node that can work whether it can."""
        nodes = self._able_nodes()
        self._nodes = len(nodes)
        if not nodes:
            wanted = "graphics card" if self._resources["num_gpus"] else "processor"
            raise RequirementError(f"the Ray cluster at {self._order.ray!r} has no node with a {wanted}")
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        probe = self._ray.remote(_made_here(_probe))
        asked = [
            probe.options(num_cpus=0, scheduling_strategy=strategy(node["NodeID"], soft=False)).remote(self._where())
            for node in nodes
        ]
        for reference in asked:
            try:
                fault = self._ray.get(reference)
            except self._ray.exceptions.RayError:  # lost at this very moment: as if it had not been there
                continue
            if fault:
                raise from_wire(*fault)

    def _has_place(self, resources: dict[str, float]) -> bool:
        needed = {"CPU": self._resources["num_cpus"], "GPU": self._resources["num_gpus"]}
        return all(resources.get(name, 0) >= count for name, count in needed.items())

    def _where(self) -> dict[str, Any]:
        """What a node needs in order to find itself able."""
        assets = [str(path.absolute()) for path in (*self._order.assets, self._order.scene) if path and path.exists()]
        return {"version": __version__, "out": str(self._out), "token": self._token, "assets": assets}

    def _how(self) -> dict[str, Any]:
        """How a slot is started, as plain values: a node may not know our classes before it has found this package."""
        program = self._program
        return {
            "limits": asdict(self._limits), "blender": self._order.blender and str(self._order.blender.absolute()),
            "program": program and [program.command, program.arguments, dict(program.environment)],
        }  # fmt: skip

    def results(self, tasks: Iterable[Task], on_event: Callable[[Event], None]) -> Iterator[Outcome]:
        """See `pool.Pool.results`; instead of stages, nodes that come and go are told."""
        with self._connected():
            remote = self._ray.remote(_made_here(_work)).options(max_retries=TRIES, **self._resources)
            yield from self._work_off(remote, iter(tasks), on_event)

    def _work_off(self, remote: Any, waiting: Iterator[Task], on_event: Callable[[Event], None]) -> Iterator[Outcome]:
        where, how = self._where(), self._how()
        running: dict[Any, str] = {}
        while True:
            for task in islice(waiting, max(0, self._room() - len(running))):
                task = {**task, "threads": self._resources["num_cpus"]}
                running[remote.remote(where, how, task)] = task["key"]
            if not running:
                return
            self._watch_nodes(on_event)
            done, _ = self._ray.wait(list(running), num_returns=1, timeout=POLL)
            for reference in done:
                yield self._outcome(running.pop(reference), reference)

    def _watch_nodes(self, on_event: Callable[[Event], None]) -> None:
        """Tell when there are more or fewer nodes; Ray itself sees to what a lost one had at hand."""
        count = len(self._able_nodes())
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


def _import_ray() -> ModuleType:
    """Ray, with everything off that reaches out."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError as error:
        command = f'{sys.executable} -m pip install "puppet-master[ray]"'
        raise RequirementError(f"--ray needs Ray, which cannot be imported ({error}); install it: {command}") from error
    try:
        import pyarrow  # noqa: F401 - Ray does the same, and fails at every unit where it is there but cannot be loaded
    except ModuleNotFoundError:
        return ray
    except ImportError as error:
        message = f"Ray cannot work with the pyarrow that is installed here ({error}); install another or remove it"
        raise RequirementError(message) from error
    return ray


def _made_here(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function for Ray that calls `function` on a node.

    Ray sends it as it is, being a function within a function, so that it runs where this package is not installed
    too: there the package is found by its place, on a shared disk.
    """
    module, name, root = __name__, function.__name__, str(ROOT)

    def run(*arguments: Any) -> Any:
        import importlib
        import pathlib
        import runpy
        import socket

        try:
            loaded = importlib.import_module(module)
        except ModuleNotFoundError as error:
            try:
                register = runpy.run_path(f"{root}/backend/launch.py")["register_package"]
                register(pathlib.Path(root))
                loaded = importlib.import_module(module)
            except OSError:
                fix = f"install this package there, or share {root}"
                return "requirement", f"node {socket.gethostname()}: {error}; {fix}"
        return getattr(loaded, name)(*arguments)

    return run


# On the nodes from here on.


def _probe(where: dict[str, Any]) -> tuple[str, str] | None:
    """What keeps this node from working: kind and message of an error, or None."""
    host, out = socket.gethostname(), Path(where["out"])
    if where["version"] != __version__:
        return "requirement", f"node {host} has version {__version__} of this package, not {where['version']}; renew it"
    try:
        seen = (out / WORK / "token").read_text("utf-8")
    except OSError:
        seen = ""
    if seen != where["token"]:
        return "output", f"node {host} does not see {out}; put --out on a disk that all nodes share at the same place"
    mark = out / WORK / f"token-{host}-{os.getpid()}"
    try:
        mark.write_text(seen, "utf-8")
        mark.unlink()
    except OSError as error:
        return "output", f"node {host} cannot write in {out}: {error.strerror or error}"
    missing = [path for path in where["assets"] if not Path(path).exists()]
    if missing:
        return "requirement", f"node {host} does not see {missing[0]}; put ASSETS on a disk that all nodes share"
    return None


def _work(where: dict[str, Any], how: dict[str, Any], task: Task) -> Outcome | tuple[str, str]:
    """Make a unit in this process's slot."""
    if fault := _probe_once(where):
        return fault
    try:
        program = Program(*how["program"]) if how["program"] else Program.find(how["blender"] and Path(how["blender"]))
    except RequirementError as error:
        return error.kind, f"node {socket.gethostname()}: {error}"
    cards = os.environ.get("CUDA_VISIBLE_DEVICES")  # which Ray has set to what this process may use
    if cards is not None:
        program = replace(program, environment={**program.environment, "CUDA_VISIBLE_DEVICES": cards})
    return _slot(program, Limits(**how["limits"])).work(task)


_able: set[str] = set()


def _probe_once(where: dict[str, Any]) -> tuple[str, str] | None:
    """`_probe` at the first unit of a run in this process: nodes may join later."""
    if where["token"] in _able:
        return None
    fault = _probe(where)
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

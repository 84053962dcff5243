# SPDX-License-Identifier: GPL-3.0-or-later
"""A running Ray cluster: connecting to it, asking its nodes whether they can work, and running our functions there.

The nodes need this package, installed or at the same place on a shared disk. stdlib and Ray only.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ... import __version__
from ..errors import RequirementError, from_wire

ROOT = Path(__file__).resolve().parents[2]
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no reports to Ray's makers
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # leave CUDA_VISIBLE_DEVICES alone where no card is asked for
}


class Cluster:
    """A Ray cluster.

    Attributes:
        ray: the module.
        resources: what a place to work needs, in Ray's words: `num_cpus`, `num_gpus`; settled once connected.
    """

    def __init__(self, address: str, cpus: int = 1, gpus: int | None = 0) -> None:
        """
        Args:
            address: "auto" or HOST:PORT.
            cpus: processors that a place to work needs.
            gpus: graphics cards that it needs; None: one, if the cluster has any.

        Raises:
            RequirementError: Ray is not installed.
        """
        self.address = address
        self.ray = import_ray()
        self.resources = {"num_cpus": cpus, "num_gpus": gpus or 0}
        self._cards_if_any = gpus is None

    @contextlib.contextmanager
    def connected(self, asked: Callable[..., Any], where: Mapping[str, Any]) -> Iterator[None]:
        """Connect, and ask every node that can work whether it can.

        Args:
            asked: called on each node with `where`; gives kind and message of an error, or None.
            where: plain values.

        Raises:
            RequirementError: no cluster answers there, it has no place to work, or a node lacks something.
            PuppetMasterError: what `asked` found.
        """
        logging.getLogger("ray").setLevel(logging.ERROR)
        # A thread of Ray prints the last lines of a lost node's log, on the stdout that carries our results.
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                self._connect()
                self._check_nodes(asked, where)
                yield
            finally:
                self.ray.shutdown()  # which also ends what is still worked on

    def able_nodes(self) -> list[dict[str, Any]]:
        """The nodes that are there now and have a place to work."""
        return [node for node in self.ray.nodes() if node["Alive"] and self.places(node)]

    def places(self, node: Mapping[str, Any]) -> int:
        """How many places to work a node has."""
        needed = {"CPU": self.resources["num_cpus"], "GPU": self.resources["num_gpus"]}
        return min(int(node["Resources"].get(name, 0) // count) for name, count in needed.items() if count)

    def _connect(self) -> None:
        try:
            self.ray.init(
                address=self.address, log_to_driver=False, configure_logging=False, namespace="puppet-master"
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).strip().partition("\n")[0]
            message = f"no Ray cluster answers at {self.address!r}: {reason}; start one with: ray start --head"
            raise RequirementError(message) from error
        if self._cards_if_any:
            self.resources["num_gpus"] = 1 if self.ray.cluster_resources().get("GPU", 0) >= 1 else 0

    def _check_nodes(self, asked: Callable[..., Any], where: Mapping[str, Any]) -> None:
        nodes = self.able_nodes()
        if not nodes:
            wanted = "graphics card" if self.resources["num_gpus"] else "processor"
            raise RequirementError(f"the Ray cluster at {self.address!r} has no node with a {wanted}")
        strategy = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        remote = self.ray.remote(made_here(asked))
        references = [
            remote.options(num_cpus=0, scheduling_strategy=strategy(node["NodeID"], soft=False)).remote(where)
            for node in nodes
        ]
        for reference in references:
            try:
                fault = self.ray.get(reference)
            except self.ray.exceptions.RayError:  # lost at this very moment: as if it had not been there
                continue
            if fault:
                raise from_wire(*fault)


def import_ray() -> ModuleType:
    """Ray, with everything off that reaches out. Raises `RequirementError`."""
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


def made_here(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function for Ray that calls `function`, of one of our modules, on a node.

    Ray sends it as it is, being a function within a function, so that it runs where this package is not installed
    too: there the package is found by its place, on a shared disk.
    """
    module, name, root = function.__module__, function.__name__, str(ROOT)

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


def probe(where: dict[str, Any]) -> tuple[str, str] | None:
    """What keeps this node from working: kind and message of an error, or None.

    Args:
        where: `version` of this package; `out`, the folder to write to, in whose folder `work` the file `token` holds
            `token`; `assets`: paths that have to be there.
    """
    host, out = socket.gethostname(), Path(where["out"])
    if where["version"] != __version__:
        return "requirement", f"node {host} has version {__version__} of this package, not {where['version']}; renew it"
    try:
        seen = (out / where["work"] / "token").read_text("utf-8")
    except OSError:
        seen = ""
    if seen != where["token"]:
        return "output", f"node {host} does not see {out}; put --out on a disk that all nodes share at the same place"
    mark = out / where["work"] / f"token-{host}-{os.getpid()}"
    try:
        mark.write_text(seen, "utf-8")
        mark.unlink()
    except OSError as error:
        return "output", f"node {host} cannot write in {out}: {error.strerror or error}"
    missing = [path for path in where["assets"] if not Path(path).exists()]
    if missing:
        return "requirement", f"node {host} does not see {missing[0]}; put it on a disk that all nodes share"
    return None

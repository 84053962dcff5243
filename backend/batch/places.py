# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a batch is worked on: workers side by side on this machine, some in Blender, some with the model."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..errors import InputError, RequirementError
from ..workers.pool import graphics_cards, on_card, side_by_side
from ..workers.slot import Event, Limits, Outcome, Program, Slot
from .feed import PREVIEWS, STILLS, Feed

MAKER = "puppet_master.backend.batch.maker"
STILL_MAKER = "puppet_master.addon.still_maker"  # by name: the backend imports no other room
NEVER = 1_000_000  # units after which a worker with a model is replaced
PROBE_S = 120.0
LIBRARIES_BYTES = 1_000_000_000  # that a worker holds beside its model
MEMORY_SHARE = 0.8  # of the free memory that workers may take
TOGETHER = 4  # previews in one forward pass on a graphics card, where nothing else is said


@dataclass(frozen=True)
class Wanted:
    """How a batch is to be worked on.

    Attributes:
        device: "auto", "cpu", "cuda" or "cuda:N".
        workers: processes with the model; 0: one for each graphics card, or as suits the processors.
        still_workers: processes with Blender; 0: as suits the processors.
        blender: Blender's program file; its Python module if not given.
        together: most previews in one forward pass; 0: as suits the device.
        time_limit: seconds for one still, or for one group of previews.
        memory_limit_gb: resident memory of one worker; 0 for no limit.
        program, still_program: other workers than ours.
        model_bytes: of the largest model's files: what a worker holds at least.
        memory, acceleration: how diffusion models run, see `option_values`.
    """

    device: str = "auto"
    workers: int = 0
    still_workers: int = 0
    blender: Path | None = None
    together: int = 0
    time_limit: float = 1800.0
    memory_limit_gb: float = 0.0
    program: Program | None = None
    still_program: Program | None = None
    model_bytes: int = 0
    memory: str = "auto"
    acceleration: str = "auto"

    @property
    def limits(self) -> Limits:
        """Of a worker."""
        return Limits(self.time_limit, self.memory_limit_gb, NEVER)

    def program_of(self, side: str) -> Program:
        """How a worker of a side of the feed is started here.

        Raises:
            RequirementError: there is no Blender.
        """
        if side == STILLS:
            return self.still_program or Program.find(STILL_MAKER, self.blender)
        return self.program or Program.of_python(MAKER, "the model's process")


class Places(Protocol):
    """Where the work is done.

    Attributes:
        wanted: how.
        device, threads: what `maker.work` is told.
        together: most previews in one forward pass.
    """

    wanted: Wanted
    device: str
    threads: int
    together: int

    def results(self, feed: Feed, on_event: Callable[[Event], None]) -> Iterator[Outcome]:
        """Work off a feed until it is closed; give each task's outcome. Closing the iterator ends the work."""
        ...

    def count(self, side: str) -> int:
        """How many workers a side of the feed has."""
        ...


class LocalPlaces:
    """Workers of this machine."""

    def __init__(self, wanted: Wanted, needs_blender: bool = True) -> None:
        """
        Args:
            wanted: see there.
            needs_blender: whether any still has to be rendered.

        Raises:
            RequirementError: there is no Blender, and it is needed.
            InputError: no graphics card may be used, and one is asked for.
        """
        self.wanted = wanted
        cores = os.cpu_count() or 1
        self.device, cards = choose_device(wanted.device)
        workers = wanted.workers or len(cards) or workers_for(cores, wanted.model_bytes)
        stills = (wanted.still_workers or max(1, cores // 4)) if needs_blender else 0
        self.threads = 0 if cards else max(1, cores // workers)
        self.together = wanted.together or (TOGETHER if cards else 1)
        # A slot's environment has one thread for each library, as suits Blender; the maker sets torch's.
        program = wanted.program_of(PREVIEWS)
        self._makers = [Slot(on_card(program, cards, number), wanted.limits) for number in range(workers)]
        blender = wanted.program_of(STILLS) if stills else program
        self._stills = [Slot(blender, wanted.limits) for _ in range(stills)]

    def count(self, side: str) -> int:
        """See `Places.count`."""
        return len(self._stills if side == STILLS else self._makers)

    def results(self, feed: Feed, on_event: Callable[[Event], None]) -> Iterator[Outcome]:
        """See `Places.results`."""
        stills = [(slot, feed.stills) for slot in self._stills]
        return side_by_side([*stills, *((slot, feed.previews) for slot in self._makers)], on_event)


def workers_for(cores: int, model_bytes: int) -> int:
    """How many processes with the model suit this machine's processors and memory.

    One for each core, with one thread: side by side they make more previews a minute than one after another with all
    threads, which wait for each other at every operation. Where memory holds fewer models there are fewer.
    """
    import psutil

    each = LIBRARIES_BYTES + 2 * model_bytes  # the weights, and what a forward pass needs besides
    return max(1, min(cores, int(psutil.virtual_memory().available * MEMORY_SHARE // each)))


def choose_device(device: str) -> tuple[str, tuple[str, ...]]:
    """The device that workers are told, and what CUDA calls the cards that they share.

    A worker sees one card alone and so is told "cuda". "auto" is settled here, once: a card that is lost in mid-run
    must not have the rest made on the CPU, a hundred times slower and with other bits.
    """
    if device == "cpu":
        return "cpu", ()
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cuda"):
        raise InputError(f"--device must be auto, cpu, cuda or cuda:N, not {device!r}")
    try:
        cards = graphics_cards()
    except InputError:  # CUDA_VISIBLE_DEVICES is empty: this is how others are told to use the CPU, too
        if kind != "auto":
            raise
        return "cpu", ()
    if number:
        if not number.isdecimal() or (cards and int(number) >= len(cards)):
            raise InputError(f"--device {device}: there are {len(cards)} graphics cards, counted from 0")
        return "cuda", (cards[int(number)] if cards else number,)
    if device == "auto" and not (cards and _torch_has_cuda()):
        return "cpu", ()
    return "cuda", cards or ("0",)


def _torch_has_cuda() -> bool:
    """Asked of another process: this one stays free of torch."""
    script = "import torch; raise SystemExit(not torch.cuda.is_available())"
    try:
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=PROBE_S, check=False)
    except subprocess.TimeoutExpired as error:
        message = f"torch did not say in {PROBE_S:g} s whether it can use the graphics card; give --device cuda or cpu"
        raise RequirementError(message) from error
    return done.returncode == 0

# SPDX-License-Identifier: GPL-3.0-or-later
"""Several slots side by side on this machine. stdlib only."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from ..errors import InputError, RequirementError
from .slot import Event, Limits, Outcome, Program, Slot

DRIVER_S = 60.0  # in which NVIDIA's driver says what cards there are

Task = dict[str, Any]


class Pool(Protocol):
    """Where units are made."""

    def results(self, tasks: Iterable[Task], on_event: Callable[[Event], None]) -> Iterator[Outcome]:
        """Work on the tasks, beginning with the first; give each outcome as it comes, in any order.

        Closing the iterator ends the work: what is at hand is given up.
        """
        ...


class LocalPool:
    """Slots side by side on this machine."""

    def __init__(self, program: Program, limits: Limits, workers: int, device: str = "cpu") -> None:
        """
        Args:
            program: how a slot's process starts.
            limits: of a unit.
            workers: number of slots.
            device: "gpu" shares the machine's graphics cards among them.
        """
        cards = graphics_cards() if device == "gpu" else ()
        self._slots = [Slot(on_card(program, cards, number), limits) for number in range(workers)]

    def results(self, tasks: Iterable[Task], on_event: Callable[[Event], None]) -> Iterator[Outcome]:
        """See `Pool.results`; `on_event` is called in the caller's thread."""
        waiting = _Shared(tasks)
        yield from side_by_side([(slot, waiting) for slot in self._slots], on_event)


class Waiting(Protocol):
    """Tasks that several slots take from; the iterator may block until there is one."""

    def __iter__(self) -> Iterator[Task]: ...

    def __next__(self) -> Task: ...

    def end(self) -> None:
        """Give out no more; those who wait for a task are told so."""


def side_by_side(slots: Sequence[tuple[Slot, Waiting]], on_event: Callable[[Event], None]) -> Iterator[Outcome]:
    """Have each slot work on its tasks; give each outcome as it comes.

    A slot that met something which keeps it from any further work (`Outcome.stop`) takes no more tasks. Closing the
    iterator ends the work.

    Args:
        slots: each with where its tasks come from.
        on_event: called in the caller's thread.
    """
    news: queue.Queue[Event | Outcome | Exception | None] = queue.Queue()
    threads = [threading.Thread(target=_serve, args=(*slot, news), daemon=True) for slot in slots]
    for thread in threads:
        thread.start()
    try:
        for _ in threads:
            while (item := news.get()) is not None:
                if isinstance(item, Outcome):
                    yield item
                elif isinstance(item, Exception):
                    raise item
                else:
                    on_event(item)
    finally:
        for slot, waiting in slots:
            waiting.end()
            slot.interrupt()
        for thread in threads:
            thread.join()


def _serve(slot: Slot, waiting: Waiting, news: queue.Queue[Event | Outcome | Exception | None]) -> None:
    """A thread's life: its slot's process must be started, used and ended by one and the same thread."""
    try:
        for task in waiting:
            key = task["key"]
            outcome = slot.work(task, lambda event, key=key: news.put({**event, "key": key}))
            news.put(outcome)
            if outcome.stop is not None:
                break
    except Exception as error:  # noqa: BLE001 - raised anew in the thread that asked for the work
        news.put(error)
    finally:
        slot.close()
        news.put(None)


class _Shared:
    """Tasks that several threads take from."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = iter(tasks)
        self._lock = threading.Lock()
        self._ended = False

    def __iter__(self) -> _Shared:
        return self

    def __next__(self) -> Task:
        with self._lock:
            if self._ended:
                raise StopIteration
            return next(self._tasks)

    def end(self) -> None:
        """Give out no more."""
        self._ended = True


def graphics_cards() -> tuple[str, ...]:
    """What CUDA calls the graphics cards this process may use; none where there is no NVIDIA driver.

    Raises:
        InputError: CUDA_VISIBLE_DEVICES allows none.
        RequirementError: the driver does not answer.
    """
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        if cards := tuple(card.strip() for card in allowed.split(",") if card.strip()):
            return cards
        message = "CUDA_VISIBLE_DEVICES is empty, so no graphics card may be used; unset it, or give --device cpu"
        raise InputError(message)
    if (program := shutil.which("nvidia-smi")) is None:
        return ()
    query = [program, "--query-gpu=index", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=DRIVER_S, check=False)
    except subprocess.TimeoutExpired as error:  # as where a card has fallen off its bus
        message = f"nvidia-smi did not answer in {DRIVER_S:g} s: the driver hangs; restart it, or give --device cpu"
        raise RequirementError(message) from error
    return tuple(done.stdout.split()) if done.returncode == 0 else ()


def on_card(program: Program, cards: tuple[str, ...], number: int) -> Program:
    """The program confined to its slot's card; without NVIDIA's driver Cycles finds its device itself."""
    if not cards:
        return program
    return replace(program, environment={**program.environment, "CUDA_VISIBLE_DEVICES": cards[number % len(cards)]})

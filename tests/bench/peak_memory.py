# SPDX-License-Identifier: GPL-3.0-or-later
"""The most memory a process and its children hold together, seen by looking often."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import TracebackType

import psutil

INTERVAL_S = 0.02


class PeakMemory:
    """Watches a process tree while the `with` block runs.

    Attributes:
        mib: highest sum over the tree so far, MiB. Memory that processes share is counted once where the
            system tells (proportional set size on Linux), else in each of them.

    Args:
        pid: root of the tree.
        interval_s: between two looks. A look at a large process takes milliseconds that it may miss itself.
    """

    def __init__(self, pid: int, interval_s: float = INTERVAL_S) -> None:
        self.mib, self._interval_s = 0.0, interval_s
        self._root = psutil.Process(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(self._interval_s):
            self.mib = max(self.mib, sum(self._sizes()) / 2**20)

    def _sizes(self) -> Iterator[int]:
        try:
            tree = [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for process in tree:
            try:
                yield getattr(memory := process.memory_full_info(), "pss", memory.rss)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue  # ended between listing and looking, or a system process

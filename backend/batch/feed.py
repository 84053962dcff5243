# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done next: stills to render, and previews whose still is there. For several threads at a time."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from .plan import Prepared

Task = dict[str, Any]
STILLS, PREVIEWS = "still", "previews"  # sides of a feed, and what their tasks' keys begin with


class Feed:
    """Two queues: stills wait from the beginning, previews come as their stills are made.

    Attributes:
        stills, previews: the sides; see `Side`.
    """

    def __init__(
        self, stills: Iterable[Task], task_of: Callable[[Sequence[Prepared]], Task], together: Callable[[], int]
    ) -> None:
        """
        Args:
            stills: tasks for workers in Blender.
            task_of: the task of a group of previews.
            together: gives the most previews of a group; one group has previews of one shape.
        """
        self._stills = deque(stills)
        self._ready: deque[Prepared] = deque()
        self._given_back: deque[Task] = deque()
        self._task_of, self._together = task_of, together
        self._changed = threading.Condition()
        self._closed = False
        self.stills = Side(self, self._take_still)
        self.previews = Side(self, self._take_previews)

    def add(self, prepared: Iterable[Prepared]) -> None:
        """Previews that can be made from now on."""
        with self._changed:
            self._ready.extend(prepared)
            self._changed.notify_all()

    def give_back(self, task: Task) -> None:
        """A task that has to be done by another worker."""
        with self._changed:
            (self._stills if task["key"].startswith(STILLS) else self._given_back).appendleft(task)
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether there will be no more of anything."""
        return self._closed

    def close(self) -> None:
        """There will be no more of anything."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _take_still(self) -> Task | None:
        return self._stills.popleft() if self._stills else None

    def _take_previews(self) -> Task | None:
        if self._given_back:
            return self._given_back.popleft()
        if not self._ready:
            return None
        group = [self._ready.popleft()]
        alike = (other for other in self._ready if other.shape == group[0].shape)
        for other in list(itertools.islice(alike, self._together() - 1)):  # no look at all of a long queue
            self._ready.remove(other)
            group.append(other)
        return self._task_of(group)

    def _wait(self, side: Side) -> Task:
        with self._changed:
            while not self._closed:
                if (task := side.take()) is not None:
                    return task
                if side.finished:
                    break
                self._changed.wait()
        raise StopIteration

    def _now(self, side: Side) -> Task | None:
        with self._changed:
            return None if self._closed else side.take()

    def _finish(self, side: Side) -> None:
        with self._changed:
            side.finished = True
            self._changed.notify_all()


class Side:
    """One side of a feed; its iterator blocks until there is a task. See `workers.pool.Waiting`.

    Attributes:
        take: gives the next task, if there is one.
        finished: no more tasks will come to this side.
    """

    def __init__(self, feed: Feed, take: Callable[[], Task | None]) -> None:
        self._feed, self.take, self.finished = feed, take, False

    def __iter__(self) -> Iterator[Task]:
        return self

    def __next__(self) -> Task:
        return self._feed._wait(self)

    def now(self) -> Task | None:
        """A task, if one waits."""
        return self._feed._now(self)

    def finish(self) -> None:
        """There will be no more tasks on this side: its workers may go."""
        self._feed._finish(self)

    def end(self) -> None:
        """See `Feed.close`."""
        self._feed.close()


def still_task(still: Mapping[str, Any], folder: str) -> Task:
    """What a worker in Blender is told."""
    return {**still, "name": still["key"], "key": f"{STILLS} {still['key']}", "folder": folder}

# SPDX-License-Identifier: GPL-3.0-or-later
"""One preview on its way: a worker thread talks to the backend, the main thread takes in the news.

No bpy in this file: the thread posts updates to a queue, and `pump` applies them where it is called.
"""

from __future__ import annotations

import base64
import itertools
import json
import queue
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from ..backend.client import BackendClient
from ..backend.errors import (
    BackendError,
    Cancelled,
    OutputError,
    PuppetMasterError,
    RequirementError,
    from_wire,
)
from ..backend.protocol import PreviewRequest, drags_to_json

PUMP_BUDGET_S = 0.005
POLL_S = 0.05
ATTEMPTS = 2

Connect = Callable[[Callable[[], bool]], BackendClient]


class State(Enum):
    """Where a job is; the value is the word shown to the user."""

    STARTING = "Starting the backend"
    QUEUED = "Queued"
    RUNNING = "Generating"
    FETCHING = "Fetching frames"
    DONE = "Done"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self in (State.DONE, State.FAILED, State.CANCELLED)


@dataclass(frozen=True)
class Estimate:
    """What the preview looks like so far: a PNG with all frames side by side."""

    strip_png: bytes
    frames: int


@dataclass(frozen=True)
class Update:
    """News from the worker thread."""

    state: State
    progress: float = 0.0
    detail: str = ""
    error: PuppetMasterError | None = None
    estimate: Estimate | None = None


_serials = itertools.count(1)


class PreviewJob:
    """One preview, from its request to a folder with `frames/`, `preview.mp4` and `preview.json`.

    Create it, `start` it, then call `pump` on the main thread until it returns True.

    Attributes:
        serial: a number of its own in this session.
        request: what was asked.
        folder: where the result goes; it appears only when it is complete.
        label: what tells it from others, for the user.
        state, progress (0 to 1), detail: as of the last `pump`.
        estimate: the newest one; None before the first and after the end.
        error: why the job failed; None otherwise.
        seconds: how long it took; None while it is under way.

    Args:
        connect: gives a client, starting the backend if need be; called on the worker thread with a
            function that says whether to stop.
        on_done: called by `pump` once, on the main thread, when the result is complete. A
            `PuppetMasterError` it raises makes the job a failed one; what it returns is told beside the result.
        wants_estimates: whether somebody looks on; the backend then spends some time on estimates.
    """

    def __init__(
        self,
        request: PreviewRequest,
        folder: Path,
        connect: Connect,
        on_done: Callable[[PreviewJob], str | None] | None = None,
        label: str = "",
        wants_estimates: bool = True,
    ) -> None:
        self.serial = next(_serials)
        self.request = request
        self.folder = folder
        self.label = label or f"seed {request.seed}"
        self.state = State.STARTING
        self.progress = 0.0
        self.detail = ""
        self.estimate: Estimate | None = None
        self.error: PuppetMasterError | None = None
        self.seconds: float | None = None
        self._connect = connect
        self._on_done = on_done
        self._wants_estimates = wants_estimates
        self._began = self._ended = time.monotonic()
        self._updates: queue.Queue[Update] = queue.Queue()
        self._cancel = threading.Event()
        self._wake = threading.Event()  # set when there is something to cancel, and when there no longer is
        self._was_run = False
        self._after: PreviewJob | None = None
        self._asked = threading.Event()  # the backend knows of it, or it came to an end before
        self._thread = threading.Thread(target=self._work, name="puppet-master-job", daemon=True)

    def start(self, after: PreviewJob | None = None) -> None:
        """Start the worker thread; the backend is asked only once it was asked for the job `after`."""
        self._after = after
        self._began = time.monotonic()
        self._thread.start()

    def cancel(self) -> None:
        """Ask the job to stop; it is over when its state says so."""
        self._cancel.set()
        self._wake.set()

    def join(self, timeout: float) -> None:
        """Wait for the worker thread to end, at most `timeout` seconds."""
        self._thread.join(timeout)

    def again(self, folder: Path, frames: int | None = None) -> PreviewJob:
        """A new job for the same preview, or one of fewer frames, which take less memory."""
        request, label = self.request, self.label
        if frames is not None:
            request, label = replace(request, frames=frames), f"{label}, {frames} frames"
        return PreviewJob(request, folder, self._connect, self._on_done, label, self._wants_estimates)

    @property
    def lacked_memory(self) -> bool:
        """Whether it failed for want of memory, so that a cheaper one may work."""
        return isinstance(self.error, RequirementError) and "out of memory" in str(self.error)

    @property
    def never_began(self) -> bool:
        """Whether the backend ended, or was not to be had, before this preview's turn came."""
        return isinstance(self.error, BackendError) and not self._was_run

    def explains(self, other: PreviewJob) -> bool:
        """Whether this one's error tells why another, which was under way at the same time, never began."""
        if other is self or not other.never_began or not isinstance(self.error, BackendError):
            return False
        meets = max(self._began, other._began) <= min(self._ended, other._ended)
        return meets and (self._was_run or self.serial < other.serial)

    @property
    def cancelling(self) -> bool:
        """Whether it was asked to stop and has not ended yet."""
        return self._cancel.is_set() and not self.state.final

    def pump(self, budget: float = PUMP_BUDGET_S) -> bool:
        """Take in the thread's updates for at most `budget` seconds; True when the job is over."""
        # Asked before the queue is read: what a dead thread has posted is all there.
        alive = self._thread.is_alive()
        deadline = time.monotonic() + budget
        while not self.state.final:
            try:
                update = self._updates.get_nowait()
            except queue.Empty:
                if not alive:
                    self._apply(_failed(BackendError("the preview's thread broke off; see the terminal")))
                break
            self._apply(update)
            if time.monotonic() > deadline:
                break
        return self.state.final

    def text(self) -> str:
        """The state in words, e.g. "Generating: step 3 of 25, 12 s left"."""
        if self.cancelling:
            return "Cancelling"
        detail = str(self.error) if self.error is not None else self.detail
        return f"{self.state.value}: {detail}" if detail else self.state.value

    def _apply(self, update: Update) -> None:
        if update.state is State.DONE and self._on_done is not None:
            try:
                note = self._on_done(self)
                update = replace(update, detail="; ".join(filter(None, (update.detail, note))))
            except PuppetMasterError as error:
                update = _failed(error)
            except RuntimeError as error:  # Blender's own refusal; an escape would end the timer of all jobs
                words = f"Blender cannot show it ({' '.join(str(error).split())}); its files are in {self.folder}"
                update = replace(update, detail=words)
        if update.estimate is not None:
            self.estimate = update.estimate
            return
        self.state, self.progress = update.state, update.progress
        self.detail, self.error = update.detail, update.error
        if self.state.final:
            self._ended = time.monotonic()
            self.seconds = self._ended - self._began
            self.estimate = None

    # On the worker thread from here on.

    def _work(self) -> None:
        try:
            client, status = self._make()
            self._post(Update(State.FETCHING, 1.0))
            self._fetch(client, status)
            self._post(Update(State.DONE, 1.0, "; ".join(status["result"]["notes"])))
        except Cancelled:
            self._post(Update(State.CANCELLED))
        except PuppetMasterError as error:
            self._post(_failed(error))
        finally:
            self._asked.set()

    def _make(self) -> tuple[BackendClient, dict[str, Any]]:
        """The client and the finished preview's status.

        A backend that went away while this preview only waited its turn has said nothing against it: it
        is asked for once more, of the next backend.
        """
        for attempt in range(1, ATTEMPTS + 1):
            client = self._connect(self._cancel.is_set)
            self._wait_turn()
            try:
                preview = client.submit(self.request)
                self._asked.set()
                return client, self._follow(client, preview)
            except BackendError:
                if self._was_run or self._cancel.is_set() or attempt == ATTEMPTS:
                    raise
                self._post(Update(State.STARTING))
        raise AssertionError("the loop returns or raises")

    def _wait_turn(self) -> None:
        while self._after is not None and not self._after._asked.wait(POLL_S):
            if self._cancel.is_set():
                raise Cancelled("cancelled")
        self._after = None  # or a chain of jobs would stay in memory

    def _follow(self, client: BackendClient, preview: str) -> dict[str, Any]:
        """The status of the finished preview; raises what made it fail."""
        self._post(Update(State.QUEUED))
        over = threading.Event()
        watch = threading.Thread(target=self._cancel_when_asked, args=(client, preview, over), daemon=True)
        watch.start()
        try:
            for event in client.events(preview, self._wants_estimates):
                if event.kind == "estimate":
                    self._tell_estimate(event.data)
                elif (status := self._tell_status(event.data)) is not None:
                    return status
            raise BackendError("the backend stopped telling about the preview; make it again")
        finally:
            over.set()
            self._wake.set()
            watch.join()
            if not self._cancel.is_set():
                self._wake.clear()

    def _cancel_when_asked(self, client: BackendClient, preview: str, over: threading.Event) -> None:
        self._wake.wait()
        if not over.is_set():
            with suppress(PuppetMasterError):  # a backend that is gone makes the preview fail by itself
                client.cancel(preview)

    def _tell_status(self, status: dict[str, Any]) -> dict[str, Any] | None:
        """Post the news in a status; gives it back if it is that of a finished preview."""
        match status["state"]:
            case "done":
                return status
            case "failed":
                raise from_wire(status["error"]["kind"], status["error"]["message"])
            case "cancelled":
                raise Cancelled("cancelled")
            case "running":
                self._was_run = True
                self._post(Update(State.RUNNING, status["progress"], _detail(status)))
            case "queued":
                self._post(Update(State.QUEUED))
        return None

    def _tell_estimate(self, data: dict[str, Any]) -> None:
        estimate = Estimate(base64.b64decode(data["frames_png"]), data["frames"])
        self._post(Update(State.RUNNING, estimate=estimate))

    def _fetch(self, client: BackendClient, status: dict[str, Any]) -> None:
        """Bring the result into `folder`, whole or not at all."""
        part = self.folder.with_name(self.folder.name + ".part")
        try:
            (part / "frames").mkdir(parents=True)
            for index in range(status["result"]["frames"]):
                if self._cancel.is_set():
                    raise Cancelled("cancelled")
                png = client.frame_png(status["id"], index)
                (part / "frames" / f"{index:04d}.png").write_bytes(png)
            (part / "preview.mp4").write_bytes(client.mp4(status["id"]))
            (part / "still.png").write_bytes(self.request.still_png)
            _write_json(part / "drags.json", drags_to_json(self.request.drags))
            _write_json(part / "preview.json", status["result"])
            part.replace(self.folder)
        except OSError as error:
            raise OutputError(
                f"cannot write the preview to {self.folder}: {error.strerror}; "
                "make room there or choose another Output Folder in the add-on's preferences"
            ) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _post(self, update: Update) -> None:
        self._updates.put(update)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _failed(error: PuppetMasterError) -> Update:
    return Update(State.FAILED, error=error)


def _detail(status: dict[str, Any]) -> str:
    if status["stage"] != "sampling" or not status["step"]:
        return status["stage"]
    left = "" if status["eta_s"] is None else f", {_span(status['eta_s'])} left"
    return f"step {status['step']} of {status['steps']}{left}"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"

# SPDX-License-Identifier: GPL-3.0-or-later
"""Previews on their way: a worker thread talks to the backend, Blender's main thread takes in the news.

The thread never touches bpy. It posts updates to a queue; `tick`, a timer, drains that queue on the main
thread within a time budget. Scripts drain the same queue in a loop (`run_blocking`).
"""

from __future__ import annotations

import json
import queue
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import bpy

from ..backend.client import BackendClient
from ..backend.errors import BackendError, Cancelled, InputError, OutputError, PuppetMasterError, from_wire
from ..backend.protocol import PreviewRequest
from . import backend_link

POLL_S = 0.2
TICK_S = 0.1
TICK_BUDGET_S = 0.005
JOIN_TIMEOUT_S = 5.0


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
class Update:
    """News from the worker thread."""

    state: State
    progress: float = 0.0
    detail: str = ""
    error: PuppetMasterError | None = None


class PreviewJob:
    """One preview, from its request to a folder with `frames/`, `preview.mp4` and `preview.json`.

    Create it, `start` it, then call `pump` on the main thread until it returns True.

    Attributes:
        request: what was asked.
        folder: where the result goes; it appears only when it is complete.
        state, progress (0 to 1), detail: as of the last `pump`.
        error: why the job failed; None otherwise.

    Args:
        connect: gives a client, starting the backend if need be; called on the worker thread with a
            function that says whether to stop.
        on_done: called by `pump` once, on the main thread, when the result is complete. A
            `PuppetMasterError` it raises makes the job a failed one.
    """

    def __init__(
        self,
        request: PreviewRequest,
        folder: Path,
        connect: Callable[[Callable[[], bool]], BackendClient],
        on_done: Callable[[PreviewJob], None] | None = None,
    ) -> None:
        self.request = request
        self.folder = folder
        self.state = State.STARTING
        self.progress = 0.0
        self.detail = ""
        self.error: PuppetMasterError | None = None
        self._connect = connect
        self._on_done = on_done
        self._updates: queue.Queue[Update] = queue.Queue()
        self._cancel = threading.Event()
        self._thread = threading.Thread(target=self._work, name="puppet-master-job", daemon=True)

    def start(self) -> None:
        """Start the worker thread."""
        self._thread.start()

    def cancel(self) -> None:
        """Ask the job to stop; it is over when its state says so."""
        self._cancel.set()

    def join(self, timeout: float) -> None:
        """Wait for the worker thread to end, at most `timeout` seconds."""
        self._thread.join(timeout)

    def pump(self, budget: float = TICK_BUDGET_S) -> bool:
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
        detail = str(self.error) if self.error is not None else self.detail
        return f"{self.state.value}: {detail}" if detail else self.state.value

    def _apply(self, update: Update) -> None:
        if update.state is State.DONE and self._on_done is not None:
            try:
                self._on_done(self)
            except PuppetMasterError as error:
                update = _failed(error)
        self.state, self.progress = update.state, update.progress
        self.detail, self.error = update.detail, update.error

    # On the worker thread from here on.

    def _work(self) -> None:
        try:
            client = self._connect(self._cancel.is_set)
            status = self._follow(client, client.submit(self.request))
            self._post(Update(State.FETCHING, 1.0))
            self._fetch(client, status)
            self._post(Update(State.DONE, 1.0, "; ".join(status["result"]["notes"])))
        except Cancelled:
            self._post(Update(State.CANCELLED))
        except PuppetMasterError as error:
            self._post(_failed(error))

    def _follow(self, client: BackendClient, preview: str) -> dict[str, Any]:
        """The status of the finished preview; raises what made it fail."""
        while True:
            status = client.cancel(preview) if self._cancel.is_set() else client.status(preview)
            match status["state"]:
                case "done":
                    return status
                case "failed":
                    raise from_wire(status["error"]["kind"], status["error"]["message"])
                case "cancelled":
                    raise Cancelled("cancelled")
                case "running":
                    self._post(Update(State.RUNNING, status["progress"], _detail(status)))
                case "queued":
                    self._post(Update(State.QUEUED))
            # Not Event.wait: a cancelled job still waits here for the backend to say that it has ended.
            time.sleep(POLL_S)

    def _fetch(self, client: BackendClient, status: dict[str, Any]) -> None:
        """Bring the result into `folder`, whole or not at all."""
        part = self.folder.with_name(self.folder.name + ".part")
        try:
            (part / "frames").mkdir(parents=True)
            for index in range(status["result"]["frames"]):
                png = client.frame_png(status["id"], index)
                (part / "frames" / f"{index:04d}.png").write_bytes(png)
            (part / "preview.mp4").write_bytes(client.mp4(status["id"]))
            (part / "still.png").write_bytes(self.request.still_png)
            settings = json.dumps(status["result"], indent=2) + "\n"
            (part / "preview.json").write_text(settings, encoding="utf-8")
            part.replace(self.folder)
        except OSError as error:
            raise OutputError(f"cannot write the preview to {self.folder}: {error.strerror}") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _post(self, update: Update) -> None:
        self._updates.put(update)


def _failed(error: PuppetMasterError) -> Update:
    return Update(State.FAILED, error=error)


def _detail(status: dict[str, Any]) -> str:
    if status["stage"] != "sampling" or not status["step"]:
        return status["stage"]
    left = "" if status["eta_s"] is None else f", {status['eta_s']:.0f} s left"
    return f"step {status['step']} of {status['steps']}{left}"


_current: PreviewJob | None = None


def current() -> PreviewJob | None:
    """The job started last, running or over; None before the first."""
    return _current


def running() -> bool:
    """Whether a job is under way."""
    return _current is not None and not _current.state.final


def check_idle() -> None:
    """Raises `InputError` while a job is under way."""
    if running():
        raise InputError("a preview is already running; wait for it or cancel it first")


def start(job: PreviewJob) -> None:
    """Start a job and let a timer take in its news; returns at once.

    Raises:
        InputError: another one is running.
    """
    _begin(job)
    # Persistent: opening another file must not leave the job without its pump.
    bpy.app.timers.register(tick, first_interval=TICK_S, persistent=True)


def run_blocking(job: PreviewJob) -> None:
    """Run a job to its end. Ctrl-C in the terminal cancels it.

    Raises:
        PuppetMasterError: what made it fail, or `Cancelled`.
    """
    _begin(job)
    while not job.pump():
        try:
            time.sleep(POLL_S / 4)
        except KeyboardInterrupt:
            job.cancel()
    if job.error is not None:
        raise job.error
    if job.state is State.CANCELLED:
        raise Cancelled("the preview was cancelled")


def tick() -> float | None:
    """The timer: take in news, redraw if there was any; seconds until the next call, None at the end."""
    if _current is None:
        return None
    before = _current.text(), _current.progress
    over = _current.pump()
    if before != (_current.text(), _current.progress):
        redraw_panels()
    return None if over else TICK_S


def redraw_panels() -> None:
    """Ask every 3D viewport to draw again."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


def _begin(job: PreviewJob) -> None:
    global _current
    check_idle()
    _current = job
    job.start()


def register() -> None:
    """Nothing to register: the timer comes and goes with jobs."""


def unregister() -> None:
    """Cancel the running job, so that its thread ends before the backend does."""
    global _current
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    if _current is not None and running():
        _current.cancel()
        _current.join(JOIN_TIMEOUT_S)
    _current = None


def connector(python: str) -> Callable[[Callable[[], bool]], BackendClient]:
    """A job's `connect` for the backend run by this Python."""

    def connect(should_stop: Callable[[], bool]) -> BackendClient:
        return backend_link.connect(python, None, should_stop)

    return connect

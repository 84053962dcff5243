# SPDX-License-Identifier: GPL-3.0-or-later
"""A `data` command on its way in a Blender of its own, and what the panel knows of it.

A thread reads the JSON lines that the process prints and never touches bpy; it posts updates to a queue. `tick`, a
timer, drains that queue on the main thread within a time budget.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import bpy

from ...backend.errors import Cancelled, InputError, PuppetMasterError
from .progress import Progress

PROGRAM = Path(__file__).with_name("background.py")
TICK_S = 0.1
TICK_BUDGET_S = 0.005
POLITE_S = 15.0  # for the process to end in order, its workers with it
STDERR_KEPT = 4000  # bytes
PARTLY_DONE = 3


class State(Enum):
    """Where a run is; the value is the word shown to the user."""

    STARTING = "Starting Blender"
    RUNNING = "At work"
    CANCELLING = "Cancelling"
    DONE = "Done"
    PARTLY = "Done, with failures"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self in (State.DONE, State.PARTLY, State.FAILED, State.CANCELLED)


@dataclass(frozen=True)
class Update:
    """News from the thread: an event of the process, or its end."""

    event: dict[str, Any] = field(default_factory=dict)
    end: State | None = None
    error: str = ""


def program() -> list[str]:
    """How to start a command: with the Blender this is, or with the Python that has its module."""
    if bpy.app.binary_path:
        options = ("--background", "--factory-startup", "--python-exit-code", "1", "--python")
        return [bpy.app.binary_path, *options, str(PROGRAM), "--"]
    return [sys.executable, str(PROGRAM), "--"]


class Run:
    """One command. Create it, `start` it, then call `pump` on the main thread until it returns True.

    Attributes:
        folder: of the dataset.
        notes: what the user should know about the result.
        state, progress, error: as of the last `pump`.

    Args:
        arguments: of the `data` command.
        folder: of the dataset.
        workplace: a temporary folder that the process works in; removed at the end.
        views: clips that an animation gives.
        prepare: called on the thread before the process starts; may raise `PuppetMasterError`.
        on_done: called by `pump` once, on the main thread, when the command has done its work.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        workplace: Path,
        views: int = 1,
        prepare: Callable[[], None] | None = None,
        on_done: Callable[[Run], None] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.folder, self.notes = folder, tuple(notes)
        self.state = State.STARTING
        self.progress = Progress(views)
        self.error = ""
        self._command = [*program(), *arguments]
        self._workplace, self._prepare, self._on_done = workplace, prepare, on_done
        self._updates: queue.Queue[Update] = queue.Queue()
        self._cancel = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._work, name="puppet-master-clips", daemon=True)

    def start(self) -> None:
        """Start the thread, which starts the process."""
        self._thread.start()

    def cancel(self) -> None:
        """Ask the process to end in order; it is over when the state says so. What is whole stays."""
        if not self.state.final:
            self._cancel.set()
            self.state = State.CANCELLING

    def join(self, timeout: float) -> None:
        """Wait for the thread to end, at most `timeout` seconds."""
        self._thread.join(timeout)

    def pump(self, budget: float = TICK_BUDGET_S) -> bool:
        """Take in the thread's news for at most `budget` seconds; True when the run is over."""
        deadline = time.monotonic() + budget
        while not self.state.final and time.monotonic() < deadline:
            try:
                self._apply(self._updates.get_nowait())
            except queue.Empty:
                break
        return self.state.final

    def text(self) -> str:
        """The state in words, e.g. "Done: 4 clips"."""
        detail = self.progress.text() if self.state is State.RUNNING else self.error or self.progress.result()
        return f"{self.state.value}: {detail}" if detail else self.state.value

    def _apply(self, update: Update) -> None:
        if update.end is not None:
            self.state, self.error = update.end, update.error
            if self.state in (State.DONE, State.PARTLY) and self._on_done is not None:
                self._on_done(self)
        else:
            self.progress.take_in(update.event)
            if self.state is State.STARTING:
                self.state = State.RUNNING

    # On the thread from here on.

    def _work(self) -> None:
        try:
            end = self._run()
        except Cancelled:
            end = Update(end=State.CANCELLED)
        except PuppetMasterError as error:
            end = Update(end=State.FAILED, error=str(error))
        except OSError as error:
            end = Update(end=State.FAILED, error=f"cannot start {self._command[0]}: {error.strerror or error}")
        shutil.rmtree(self._workplace, ignore_errors=True)
        self._updates.put(end)

    def _run(self) -> Update:
        if self._prepare is not None:
            self._prepare()
        log = self._workplace / "stderr.log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, cwd=self._workplace,
                **_own_group(),
            )  # fmt: skip
        watch = threading.Thread(target=self._end_when_cancelled, args=(process,), daemon=True)
        watch.start()
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self._read(line)
        code = process.wait()
        cancelled = self._cancel.is_set()
        self._cancel.set()  # lets the watch end
        watch.join()
        return _ending(code, cancelled, log)

    def _read(self, line: bytes) -> None:
        """Post an event; what else Blender prints is none."""
        if line.startswith(b'{"event"'):
            with contextlib.suppress(ValueError):
                self._updates.put(Update(json.loads(line)))

    def _end_when_cancelled(self, process: subprocess.Popen[bytes]) -> None:
        self._cancel.wait()
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(POLITE_S)
        except subprocess.TimeoutExpired:
            _kill_group(process)


def _ending(code: int, cancelled: bool, log: Path) -> Update:
    """What a process's exit code means; once cancelled, however it ended, it was cancelled."""
    if code in (0, PARTLY_DONE):
        return Update(end=State.DONE if code == 0 else State.PARTLY)
    if cancelled or code == Cancelled.exit_code:
        return Update(end=State.CANCELLED)
    return Update(end=State.FAILED, error=_last_words(log, code))


def _last_words(log: Path, code: int) -> str:
    """The error that a process ended with: the line that says so, or else the last one it wrote."""
    lines = [line.strip() for line in log.read_bytes()[-STDERR_KEPT:].decode("utf-8", "replace").splitlines()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    words = [line for line in lines if line]
    if errors:
        return errors[-1]
    return f"the process ended with exit code {code}" + (f": {words[-1]}" if words else "")


def _own_group() -> dict[str, Any]:
    """A group of its own, so that Ctrl-C in Blender's terminal does not reach it and a kill reaches its workers."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


_current: Run | None = None


def current() -> Run | None:
    """The run started last, under way or over; None before the first."""
    return _current


def running() -> bool:
    """Whether a run is under way."""
    return _current is not None and not _current.state.final


def check_idle() -> None:
    """Raises `InputError` while a run is under way."""
    if running():
        raise InputError("training clips are already being made; wait for them or cancel them first")


def new_workplace() -> Path:
    """A fresh temporary folder for a run."""
    return Path(tempfile.mkdtemp(prefix="puppet-master-clips-"))


def start(run: Run) -> None:
    """Start a run and let a timer take in its news; returns at once.

    Raises:
        InputError: another one is under way.
    """
    _begin(run)
    # Persistent: opening another file must not leave the run without its pump.
    bpy.app.timers.register(tick, first_interval=TICK_S, persistent=True)


def run_blocking(run: Run) -> None:
    """Run to the end. Ctrl-C in the terminal cancels.

    Raises:
        InputError: another one is under way, or this one failed; the message says why.
        Cancelled: it was cancelled.
    """
    _begin(run)
    while not run.pump():
        try:
            time.sleep(TICK_S)
        except KeyboardInterrupt:
            run.cancel()
    if run.state is State.CANCELLED:
        raise Cancelled("the run was cancelled")
    if run.state is State.FAILED:
        raise InputError(run.error)


def tick() -> float | None:
    """The timer: take in news, redraw if there was any; seconds until the next call, None at the end."""
    run = _current
    if run is None:
        return None
    before = run.text(), run.progress.share
    over = run.pump()
    if before != (run.text(), run.progress.share):
        redraw_panels()
    return None if over else TICK_S


def redraw_panels() -> None:
    """Ask every 3D viewport's sidebar to draw again."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


def _begin(run: Run) -> None:
    global _current
    check_idle()
    _current = run
    run.start()


def _stop() -> None:
    """Cancel what runs and wait for it."""
    global _current
    if _current is not None and running():
        _current.cancel()
        _current.join(POLITE_S + 1)
    _current = None


def register() -> None:
    """Make sure that a run ends with Blender."""
    atexit.register(_stop)


def unregister() -> None:
    """Stop a running process."""
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    atexit.unregister(_stop)
    _stop()

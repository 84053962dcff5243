# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that run beside Blender and print JSON lines, followed by a timer: no thread, nothing that waits.

What a program prints goes to a file that the timer reads on from where it was. The program's stdin stays open
as long as this Blender lives and does not cancel: its end tells the program to stop.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import bpy

from ..backend.errors import BackendError, Cancelled, PuppetMasterError, from_wire
from . import jobs, pace

TICK_S = 0.2
POLITE_S = 12.0  # for a program to end after its stdin did

Event = dict[str, Any]


class Task:
    """One program. Create it, `start` it; then `poll` until it is over, or let the timer.

    Attributes:
        title: what it does, for the user.
        stage, share (0 to 1), detail: how far it is, from its events.
        notes: what it wants the user to know.
        result: the last JSON object that it printed, once it is over.
        error: why it failed; None otherwise.
        over: whether it has ended.

    Args:
        command: the program and its arguments.
        on_end: called once when it is over, on the main thread.
        environment: variables to set.
    """

    def __init__(
        self,
        title: str,
        command: Sequence[str],
        on_end: Callable[[Task], None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.title = title
        self.stage, self.share, self.detail = "", 0.0, ""
        self.notes: list[str] = []
        self.result: Event = {}
        self.error: PuppetMasterError | None = None
        self.over = False
        self._command = list(command)
        self._on_end = on_end
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
        self._child: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._read = 0
        self._left = b""
        self._kill_at: float | None = None

    @property
    def cancelling(self) -> bool:
        """Whether it was asked to stop and has not ended yet."""
        return self._kill_at is not None and not self.over

    def start(self) -> None:
        """Start the program. Raises `BackendError` when that is not possible."""
        for name in ("PYTHONHOME", "PYTHONPATH"):  # those of Blender's Python would break another one
            self._environment.pop(name, None)
        self._folder = Path(tempfile.mkdtemp(prefix="puppet-master-task-"))
        try:
            with (self._folder / "out").open("wb") as out, (self._folder / "err").open("wb") as err:
                self._child = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=out, stderr=err, env=self._environment,
                    **_own_group(),
                )  # fmt: skip
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise BackendError(f"cannot start {self._command[0]}: {error.strerror or error}") from error

    def cancel(self) -> None:
        """Ask the program to stop; it is over when `over` says so."""
        if self._child is not None and not self.over and self._kill_at is None:
            self._kill_at = time.monotonic() + POLITE_S
            assert self._child.stdin is not None
            with contextlib.suppress(OSError):
                self._child.stdin.close()

    def poll(self) -> bool:
        """Take in what the program printed since; True when it is over."""
        if self.over or self._child is None:
            return self.over
        code = self._child.poll()
        self._take_in()
        if code is not None:
            self._end(code)
        elif self._kill_at is not None and time.monotonic() > self._kill_at:
            self._child.kill()
        return self.over

    def wait(self) -> None:
        """Wait for the end, as scripts do. Ctrl-C cancels. Raises what made it fail."""
        while not self.poll():
            try:
                time.sleep(0.05)
            except KeyboardInterrupt:
                self.cancel()
        if self.error is not None:
            raise self.error

    def kill(self) -> None:
        """End the program now; for Blender's own end."""
        if self._child is not None and not self.over:
            self.cancel()
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(2.0)
            self._child.kill()
            self._end(self._child.wait())

    def text(self) -> str:
        """How far it is in words, e.g. "Installing: torch, 120 of 190 MB"."""
        if self.error is not None:
            return f"{self.title}: {self.error}"
        if self.cancelling:
            return f"{self.title}: cancelling"
        return f"{self.title}: {self.detail or self.stage}" if self.detail or self.stage else self.title

    def _take_in(self) -> None:
        assert self._folder is not None
        with (self._folder / "out").open("rb") as file:
            file.seek(self._read)
            data = file.read()
        self._read += len(data)
        *lines, self._left = (self._left + data).split(b"\n")
        for line in lines:
            if line.startswith(b"{"):
                with contextlib.suppress(ValueError):
                    self._apply(json.loads(line))

    def _apply(self, event: Event) -> None:
        match event.get("event"):
            case "stage":
                self.stage, self.share, self.detail = event["stage"], event["share"], ""
            case "progress":
                self.share, self.detail = event["share"], event["detail"]
            case "note":
                self.notes.append(event["text"])
            case _:
                self.result = event

    def _end(self, code: int) -> None:
        assert self._folder is not None and self._child is not None and self._child.stdin is not None
        self._take_in()
        with contextlib.suppress(OSError):
            self._child.stdin.close()
        if code:
            self.error = self._why(code)
        self.over = True
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._on_end is not None:
            self._on_end(self)

    def _why(self, code: int) -> PuppetMasterError:
        """The error that it printed; else one made of its last words."""
        told = self.result.get("error", self.result)
        if isinstance(told, dict) and "kind" in told and "message" in told:
            return from_wire(told["kind"], told["message"])
        if self._kill_at is not None:
            return Cancelled("cancelled")
        assert self._folder is not None
        words = [line.strip() for line in (self._folder / "err").read_text("utf-8", "replace").splitlines()]
        last = next((word for word in reversed(words) if word), "")
        return BackendError(f"the program ended with exit code {code}" + (f": {last}" if last else ""))


_tasks: list[Task] = []


def run(task: Task) -> None:
    """Start a task and let the timer follow it; returns at once. Raises `BackendError` if it cannot start."""
    task.start()
    _tasks.append(task)
    if not bpy.app.timers.is_registered(tick):
        # Persistent: opening another file must not leave a program without its follower.
        bpy.app.timers.register(tick, first_interval=TICK_S, persistent=True)


def tick() -> float | None:
    """The timer: seconds until the next call, None when no program is left."""
    with pace.measured("following programs"):
        before = [(task.text(), task.share) for task in _tasks]
        under_way = list(_tasks)
        for task in under_way:
            if task.poll():
                _tasks.remove(task)
        if before != [(task.text(), task.share) for task in _tasks]:
            jobs.redraw_panels()
        return TICK_S if _tasks else None


def _own_group() -> dict[str, Any]:
    """Ctrl-C in Blender's terminal is for Blender."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def register() -> None:
    """Nothing to register: the timer comes and goes with programs."""


def unregister() -> None:
    """End the programs that run."""
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    while _tasks:
        _tasks.pop().kill()

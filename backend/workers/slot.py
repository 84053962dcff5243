# SPDX-License-Identifier: GPL-3.0-or-later
"""A slot: a worker in a process of its own, given one unit of work after another and replaced when that is wise.

Whatever a unit does to its process (crash, hang, eat the memory) costs that unit alone. The process ends
when the slot's owner does. stdlib only.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import OutputError, RequirementError
from ..requirements import explain_missing_bpy

WORKER = Path(__file__).with_name("worker.py")
START_LIMIT = 180.0  # seconds for Blender to start
STDERR_KEPT = 4000  # characters
POLL = 0.25  # seconds between two looks at the memory
POLITE = 5.0  # seconds to end by itself
TRIES = 2  # a crash in a process may be the fault of what it did before: once more, in a fresh one
CRASH_KEPT = STDERR_KEPT // 2  # characters
LOG_LIMIT = 32 * 1024**2  # bytes; Blender repeats some warnings without end
GIGABYTE = 1024**3
# Sets in one order, sums in one order (and one thread a slot for what is not the renderer).
SAME_EVERYWHERE = {
    "PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1", "LP_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
}  # fmt: skip

Event = dict[str, Any]


@dataclass(frozen=True)
class Limits:
    """What a unit may take.

    Attributes:
        seconds: of one stage.
        memory_gb: resident memory of the process; 0 for no limit.
        recycle: units after which the process is replaced.
    """

    seconds: float = 600.0
    memory_gb: float = 8.0
    recycle: int = 50


@dataclass(frozen=True)
class Program:
    """How to start a worker.

    Attributes:
        command: the arguments; a Python or a Blender, and the worker's file.
        arguments: of the worker: the module that does the work, see `worker`.
        environment: added to this process's own.
        title: what messages call it.
    """

    command: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    title: str = "Blender"

    @classmethod
    def find(cls, maker: str, blender: Path | None = None) -> Program:
        """The Blender named, the one this runs in, or Blender's module in this Python.

        Args:
            maker: the module that does the work inside.
            blender: Blender's program file.

        Raises:
            RequirementError: there is none.
        """
        inside = getattr(getattr(sys.modules.get("bpy"), "app", None), "binary_path", "")
        if blender or inside:
            return cls.of_blender(maker, Path(blender or inside))
        if importlib.util.find_spec("bpy") is None:
            raise explain_missing_bpy(ModuleNotFoundError("no bpy", name="bpy"))
        return cls.of_python(maker)

    @classmethod
    def of_python(cls, maker: str, title: str = "Blender") -> Program:
        """This Python."""
        return cls((sys.executable, str(WORKER)), (maker,), title=title)

    @classmethod
    def of_blender(cls, maker: str, blender: Path) -> Program:
        """A Blender program, without the user's own settings and add-ons.

        Raises:
            RequirementError: it is not there.
        """
        if not blender.is_file():
            raise RequirementError(f"--blender {blender} does not exist; name Blender's program file")
        options = ("--background", "--factory-startup", "--python-exit-code", "1", "--python")
        return cls((str(blender), *options, str(WORKER)), (maker,))


@dataclass(frozen=True)
class Outcome:
    """What became of a unit that was handed to a slot.

    Attributes:
        key: the unit's.
        reason: None where it is done; else "crashed", "time limit" or "memory limit".
        detail: what happened, in one line.
        stderr: the end of what the process printed.
        stop: kind and message of an error that ends the whole run.
        seconds: how long it took.
        memory_gb: most memory seen.
    """

    key: str
    reason: str | None = None
    detail: str = ""
    stderr: str = ""
    stop: tuple[str, str] | None = None
    seconds: float = 0.0
    memory_gb: float = 0.0


class _Over(Exception):
    """The unit is over, in another way than by being done."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class _Stop(Exception):
    """The worker met something that ends the whole run."""


class Slot:
    """One process, started when needed. Not for several threads at a time.

    Attributes:
        pid: of the process; None where none runs.
    """

    def __init__(self, program: Program, limits: Limits) -> None:
        self._program, self._limits = program, limits
        try:
            # Nameless: nothing is left behind.
            self._log = tempfile.TemporaryFile("w+b", buffering=0)  # noqa: SIM115 - `close` closes it
            # Blender leaves a folder there when it is killed; this one is emptied with every process.
            self._scratch = Path(tempfile.mkdtemp(prefix="puppet-master-slot-"))
        except OSError as error:
            raise OutputError(f"cannot write in {tempfile.gettempdir()}: {error.strerror}; make room there") from error
        self._crash_report = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._events: queue.Queue[Event | None] = queue.Queue()
        self._units = 0
        self._peak = 0
        self._looked = 0.0
        self._stopping = threading.Event()

    @property
    def pid(self) -> int | None:
        """Process id of the worker."""
        return self._process.pid if self._process else None

    def work(self, task: Mapping[str, Any], on_event: Callable[[Event], None] | None = None) -> Outcome:
        """Have a unit made; a crash in a used process, or by a kill from outside, is tried once more.

        Args:
            task: JSON values, with a `key`; the rest is the maker's business.
            on_event: told what stage it is at.
        """
        began = time.monotonic()
        for tries_left in reversed(range(TRIES)):
            try:
                self._make(task, on_event or _ignore)
            except _Stop as error:
                self.stop()
                return Outcome(task["key"], stop=error.args[0])
            except _Over as over:
                self.stop(polite=over.reason == "failed")
                stderr = self._last_words()
                again = tries_left and over.reason in ("crashed", "memory limit") and not self._stopping.is_set()
                if again:
                    continue
                reason = "crashed" if over.reason == "failed" else over.reason
                return Outcome(
                    task["key"], reason, over.detail, stderr, seconds=time.monotonic() - began,
                    memory_gb=self._peak / GIGABYTE,
                )  # fmt: skip
            break
        outcome = Outcome(task["key"], seconds=time.monotonic() - began, memory_gb=self._peak / GIGABYTE)
        self._units += 1
        if self._units >= self._limits.recycle:
            self.stop()
        return outcome

    def _make(self, task: Mapping[str, Any], on_event: Callable[[Event], None]) -> None:
        self._peak = 0
        if self._process is None or self._process.poll() is not None:
            self.stop()
            self._start()
        self._clear_log()
        self._tell(task)
        stage = "start"
        while True:
            event = self._next(stage, self._limits.seconds)
            kind = event.get("event")
            if kind == "done":
                return
            if kind == "failed":
                raise _Over("failed", event["detail"])
            if kind == "stop":
                raise _Stop((event["kind"], event["message"]))
            stage = str(event.get("stage", stage))
            on_event(event)

    def _tell(self, task: Mapping[str, Any]) -> None:
        assert self._process is not None and self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has just died; its silence will say so
            self._process.stdin.write(json.dumps(task).encode() + b"\n")
            self._process.stdin.flush()

    def _next(self, stage: str, seconds: float) -> Event:
        """The worker's next event, within the limits."""
        deadline = time.monotonic() + seconds
        while True:
            self._look(stage)
            try:
                event = self._events.get(timeout=POLL)
            except queue.Empty:
                if time.monotonic() > deadline:
                    raise _Over("time limit", f"{stage} took over {seconds:g} s") from None
                continue
            if event is None:
                raise _Over("crashed", self._epitaph(stage))
            return event

    def _look(self, stage: str) -> None:
        """Every now and then: is it to stop, is it too large, is its log?"""
        if self._stopping.is_set():
            raise _Over("crashed", "stopped")
        if time.monotonic() - self._looked < POLL:
            return
        self._looked = time.monotonic()
        if os.fstat(self._log.fileno()).st_size > LOG_LIMIT:
            self._clear_log()
        assert self._process is not None
        used = resident_memory(self._process.pid)
        self._peak = max(self._peak, used)
        limit = self._limits.memory_gb * GIGABYTE
        if limit and used > limit:
            raise _Over("memory limit", f"{stage} took over {self._limits.memory_gb:g} GB of memory")

    def _epitaph(self, stage: str) -> str:
        """How the process ended, in words."""
        assert self._process is not None
        title = self._program.title
        try:
            code = self._process.wait(POLITE)
        except subprocess.TimeoutExpired:
            return f"{title} stopped answering at {stage}"
        if code >= 0:
            return f"{title} ended at {stage} with exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        hint = ", often because the machine ran out of memory" if name == "SIGKILL" else ""
        return f"{title} was ended at {stage} by {name}{hint}"

    def _start(self) -> None:
        """Start the process; one that is killed at its start is started once more."""
        try:
            self._start_once()
        except _Over:
            self.stop()
            try:
                self._start_once()
            except _Over as over:
                self.stop()
                last = self._last_words().rpartition("\n")[2]
                message = f"{self._program.title} does not start: {over.detail}" + (f" ({last})" if last else "")
                raise _Stop(("requirement", message)) from over

    def _start_once(self) -> None:
        self._events = queue.Queue()
        self._units = 0
        scratch = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(self._scratch))
        environment = {**os.environ, **SAME_EVERYWHERE, **scratch, **self._program.environment}
        self._clear_log()
        try:
            self._process = subprocess.Popen(
                [*self._program.command, "--", *self._program.arguments], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=self._log, env=environment, **_own_group(),
            )  # fmt: skip
        except OSError as error:
            message = f"cannot start {self._program.command[0]}: {error.strerror or error}"
            raise _Stop(("requirement", message)) from error
        threading.Thread(target=_listen, args=(self._process.stdout, self._events), daemon=True).start()
        event = self._next("start", START_LIMIT)
        if event.get("event") == "stop":
            raise _Stop((event["kind"], event["message"]))

    def _clear_log(self) -> None:
        """The process writes through the same file description: with its place set back, it goes on from there."""
        self._log.seek(0)
        self._log.truncate(0)

    def _last_words(self) -> str:
        """The end of the log of a process that has ended, and of the report that Blender writes when it crashes."""
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - STDERR_KEPT))
        words = [self._log.read().decode("utf-8", "replace").strip(), self._crash_report]
        return "\n".join(word for word in words if word)[-STDERR_KEPT:]

    def interrupt(self) -> None:
        """From another thread: give up the unit at hand and end the process."""
        self._stopping.set()

    def stop(self, polite: bool = True) -> None:
        """End the process, by force if it does not end by itself. Safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        if polite and not self._stopping.is_set():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(POLITE)
        if process.poll() is None:
            process.kill()
        process.wait()
        self._clear_scratch()

    def _clear_scratch(self) -> None:
        """Remove what the process has left; a crash report is remembered."""
        self._crash_report = ""
        for left in self._scratch.iterdir():
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
                continue
            if left.name.endswith(".crash.txt"):
                self._crash_report = left.read_text("utf-8", "replace")[-CRASH_KEPT:].strip()
            left.unlink(missing_ok=True)

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        self._log.close()
        shutil.rmtree(self._scratch, ignore_errors=True)


def _ignore(event: Event) -> None:
    """For callers that do not ask for events."""


def _listen(stream: Any, events: queue.Queue[Event | None]) -> None:
    """Pass a worker's events on; None when it has ended. What Blender prints at its start is no event."""
    with stream:
        for line in stream:
            if line.startswith(b'{"event"'):
                events.put(json.loads(line))
    events.put(None)


def _own_group() -> dict[str, Any]:
    """Ctrl-C in a terminal must reach the parent alone: it ends the run in order."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def resident_memory(pid: int) -> int:
    """Bytes of memory that a process holds now; 0 where the system cannot be asked."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
        found = re.search(r"^VmRSS:\s*(\d+) kB", status, re.MULTILINE)
        return int(found[1]) * 1024 if found else 0
    except OSError:
        pass  # no /proc here
    try:
        import psutil
    except ImportError:
        return 0
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0

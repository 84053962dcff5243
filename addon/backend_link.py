# SPDX-License-Identifier: GPL-3.0-or-later
"""The one backend process of this Blender: started when first needed, ended with the add-on or Blender.

No bpy in this file: `connect` runs on the worker thread of a job. A backend that ends by itself is started
again by itself only once; from then on the user has to ask (`forgive`), or a preview has to succeed in between.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..backend.client import BackendClient
from ..backend.errors import BackendError, Cancelled
from ..backend.process import BackendProcess
from . import installer

START_TIMEOUT_S = 60.0
POLL_S = 0.05
MAX_RESTARTS = 1


@dataclass(frozen=True)
class Settings:
    """How to start the backend.

    Attributes:
        python: interpreter that has its libraries.
        arguments: of `puppet-master serve`.
        log_folder: where its log goes; the user's own place for logs if None.
        root: folder of the add-on's own environment, if `python` is its: other Blenders are told that it is in use.
    """

    python: str
    arguments: tuple[str, ...] = ()
    log_folder: Path | None = None
    root: Path | None = None


class Phase(Enum):
    """Where the process is."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"


_lock = threading.Lock()
_process: BackendProcess | None = None
_settings: Settings | None = None
_log: Path | None = None
_note: Path | None = None
_crashes = 0
_why = ""
_stop_wanted = threading.Event()


def connect(settings: Settings, should_stop: Callable[[], bool]) -> BackendClient:
    """A client of the running backend; starts one if there is none, or an idle one that is set up otherwise.

    Safe to call from any thread. Waits for the backend to answer, looking at `should_stop` meanwhile.

    Raises:
        BackendError: it does not start, or ended by itself too often; the message says why.
        Cancelled: `should_stop` said so.
    """
    with _lock:
        _stop_wanted.clear()
        _notice_death()
        if _process is not None and _settings != settings and not _is_busy(_process):
            _end()
        if _settings is not None and _settings.python != settings.python:
            _forgive()
        if _process is None:
            _spawn(settings)
        assert _process is not None
        _wait(_process, should_stop)
        return _process.client()


def phase() -> tuple[Phase, str]:
    """Where the process is, and why it failed. Never waits."""
    process = _process
    if process is None:
        return (Phase.FAILED, _why) if _why else (Phase.STOPPED, "")
    if process.handshake is not None and (why := process.why_stopped()):
        return Phase.FAILED, why
    return (Phase.READY if process.handshake is not None else Phase.STARTING), ""


def client() -> BackendClient | None:
    """A client of the backend if one is ready; never starts or waits."""
    process = _process
    if process is None or process.handshake is None:
        return None
    return BackendClient(process.handshake.port, process.handshake.token)


def log() -> Path | None:
    """The log of the backend started last; None before the first."""
    return _log


def pid() -> int | None:
    """Process id of the backend; None if there is none."""
    process = _process
    return process.pid if process is not None else None


def note_success() -> None:
    """A preview was made: the backend works, and may be started again by itself once more."""
    global _crashes
    _crashes = 0


def forgive() -> None:
    """The user asks for another try: forget how often the backend ended by itself, and why."""
    with _lock:
        _notice_death()
        _forgive()


def stop() -> None:
    """End the backend process if one runs, also one that is starting. Safe to call twice; takes up to seconds."""
    _stop_wanted.set()
    with _lock:
        _end()


def in_background(action: Callable[[], object]) -> threading.Thread:
    """Do something that takes long, such as `stop`, on a thread; its errors show in `phase`."""

    def work() -> None:
        with contextlib.suppress(BackendError, Cancelled):
            action()

    thread = threading.Thread(target=work, name="puppet-master-backend", daemon=True)
    thread.start()
    return thread


def _spawn(settings: Settings) -> None:
    global _process, _settings, _log, _note, _why
    if _crashes > MAX_RESTARTS:
        raise BackendError(
            f"{_why}; it ended {_crashes} times in a row, so it is not started again by itself: "
            "press Restart Backend when the cause is mended"
        )
    try:
        _process = BackendProcess.spawn(
            settings.python, log_folder=settings.log_folder, arguments=settings.arguments
        )
    except BackendError as error:
        _why = str(error)
        raise
    _settings, _log, _why = settings, _process.log, ""
    if settings.root is not None:
        with contextlib.suppress(OSError):  # a folder that cannot be written cannot be changed by others either
            _note = installer.note_in_use(settings.root, _process.pid)


def _wait(process: BackendProcess, should_stop: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            if process.ready():
                return
        except BackendError as error:
            _bury(str(error))
            raise
        if should_stop() or _stop_wanted.is_set():
            raise Cancelled("cancelled while the backend was starting")
        if time.monotonic() > deadline:
            _bury(f"the backend did not start within {START_TIMEOUT_S:g} s; its log: {process.log}")
            raise BackendError(_why)
        time.sleep(POLL_S)


def _notice_death() -> None:
    """A process that ended by itself since we looked last counts as a crash."""
    if _process is not None and (why := _process.why_stopped()):
        _bury(why)


def _bury(why: str) -> None:
    global _crashes, _why
    _end()
    _crashes += 1
    _why = why


def _forgive() -> None:
    global _crashes, _why
    _crashes, _why = 0, ""


def _end() -> None:
    global _process, _note
    if _process is not None:
        _process.stop()
        _process = None
    if _note is not None:
        _note.unlink(missing_ok=True)
        _note = None


def _is_busy(process: BackendProcess) -> bool:
    """Whether it makes previews for somebody now: other settings then have to wait."""
    if process.handshake is None:
        return False
    try:
        return bool(process.client().health()["waiting"])
    except BackendError:
        return False


def register() -> None:
    """Make sure that the backend ends with Blender."""
    atexit.register(stop)


def unregister() -> None:
    """Stop the backend."""
    atexit.unregister(stop)
    stop()
    forgive()

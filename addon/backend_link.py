# SPDX-License-Identifier: GPL-3.0-or-later
"""The one backend process of this Blender: started when first needed, ended with the add-on or Blender.

No bpy in this file: `connect` runs on the worker thread of a job.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ..backend.client import BackendClient
from ..backend.errors import BackendError, Cancelled
from ..backend.process import BackendProcess

START_TIMEOUT_S = 60.0
POLL_S = 0.05

_lock = threading.Lock()
_process: BackendProcess | None = None
_python: str | None = None


def connect(python: str, log_folder: Path | None, should_stop: Callable[[], bool]) -> BackendClient:
    """A client of the running backend; starts one if there is none, or none that runs on this `python`.

    Safe to call from any thread. Waits for the backend to answer, looking at `should_stop` meanwhile.

    Raises:
        BackendError: it does not start; the message says why.
        Cancelled: `should_stop` said so.
    """
    global _process, _python
    with _lock:
        if _process is None or _python != python or _process.why_stopped() is not None:
            _stop_locked()
            _process, _python = BackendProcess.spawn(python, log_folder=log_folder), python
        process = _process
        deadline = time.monotonic() + START_TIMEOUT_S
        while not process.ready():
            if should_stop():
                raise Cancelled("cancelled while the backend was starting")
            if time.monotonic() > deadline:
                _stop_locked()
                raise BackendError(
                    f"the backend did not start within {START_TIMEOUT_S:g} s; its log: {process.log}"
                )
            time.sleep(POLL_S)
    return process.client()


def stop() -> None:
    """End the backend process if one runs. Safe to call twice."""
    with _lock:
        _stop_locked()


def _stop_locked() -> None:
    global _process
    if _process is not None:
        _process.stop()
        _process = None


def register() -> None:
    """Make sure that the backend ends with Blender."""
    atexit.register(stop)


def unregister() -> None:
    """Stop the backend."""
    atexit.unregister(stop)
    stop()

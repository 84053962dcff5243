# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend process: binds a loopback port, tells its parent where, and ends when its parent does."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import uvicorn

from .. import __version__
from .errors import BackendError
from .jobs import JobQueue
from .loader import ModelShelf
from .server import create_app
from .wire import API_VERSION, HOST, Handshake

PARENT_POLL_S = 0.5
GRACE_S = 1.0  # for open answers and the running step, once the end is asked for

log = logging.getLogger(__name__)


def serve(
    port: int = 0,
    handshake: Path | None = None,
    parent: int | None = None,
    device: str = "auto",
    preload: str | None = None,
    idle: float | None = None,
    memory: str = "auto",
    acceleration: str = "auto",
) -> None:
    """Serve until a signal, a shutdown request or the parent's end.

    Args:
        port: loopback port; 0 lets the system choose a free one.
        handshake: file to tell port and token in; one in a new private folder if not given.
        parent: process id whose end ends this process.
        device: "auto", "cpu", "cuda" or "cuda:N".
        preload: model to load before the first request for it.
        idle: seconds without a preview after which weights leave memory; None: they stay.
        memory: memory mode of diffusion models, see `memory`.
        acceleration: of diffusion models, see `acceleration`.

    Raises:
        BackendError: the port is taken, a library is missing, or the handshake cannot be written.
    """
    _require_torch()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    listening = _listen(port)
    token = secrets.token_urlsafe(32)
    shelf = ModelShelf(device, preload, memory, acceleration)
    queue = JobQueue(shelf.get, prepare=shelf.prepare, check=shelf.check, rest=shelf.clear, rest_after=idle)

    def shut_down(*_: object) -> None:
        # Cancelled jobs end their event streams, which would otherwise hold the server open.
        threading.Thread(target=queue.close, daemon=True).start()
        server.should_exit = True

    def health() -> dict[str, Any]:
        about = {"version": __version__, "pid": os.getpid(), "api": API_VERSION}
        return {**about, "waiting": queue.waiting(), **shelf.describe()}

    server = uvicorn.Server(
        uvicorn.Config(
            create_app(queue, token, health, shut_down),
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
    )
    # uvicorn has handlers of its own while it runs, and raises their signals again afterwards.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, shut_down)
    with _announced(handshake, listening.getsockname()[1], token) as announced:
        if parent is not None:
            _end_with(parent, lambda: _end(server, announced))
        # After the handshake: importing torch, which the queue begins with, slows all else down.
        queue.start()
        server.run(sockets=[listening])
        queue.close(timeout=0)


def _require_torch() -> None:
    """Fail before the handshake if the model can never run here; importing torch itself takes seconds."""
    for library in ("torch", "diffusers", "transformers"):
        if importlib.util.find_spec(library) is None:
            raise BackendError(
                f"the Python at {sys.executable} lacks {library}; install the backend's libraries there: "
                f"{sys.executable} -m pip install {library}"
            )


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":
        # A port just left is usable again; on Windows the same option would let two programs share one.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(64)
    except OSError as error:
        listening.close()
        reason = "is taken by another program" if error.errno == errno.EADDRINUSE else str(error.strerror)
        raise BackendError(
            f"port {port} {reason}; give another with --port, or 0 for any free one"
        ) from error
    except OverflowError as error:
        listening.close()
        raise BackendError(f"port {port} does not exist; ports are 0 to 65535") from error
    return listening


@contextlib.contextmanager
def _announced(handshake: Path | None, port: int, token: str) -> Iterator[Path]:
    """The handshake file, there as long as the server is."""
    path = handshake or Path(tempfile.mkdtemp(prefix="puppet-master-")) / "handshake.json"
    try:
        Handshake(port, token, os.getpid(), API_VERSION, __version__).write(path)
    except OSError as error:
        raise BackendError(
            f"cannot write the handshake file {path}: {error.strerror}; give --handshake a writable place"
        ) from error
    print(f"listening on http://{HOST}:{port}; the token is in {path}", flush=True)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        if handshake is None:
            path.parent.rmdir()


def _end_with(parent: int, end: Callable[[], None]) -> None:
    """Call `end` from a thread once the process `parent` is gone, even if its number is used again."""
    try:
        process = psutil.Process(parent)
    except psutil.NoSuchProcess as error:
        raise BackendError(f"the parent process {parent} is not running") from error

    def watch() -> None:
        while _is_alive(process):
            time.sleep(PARENT_POLL_S)
        log.warning("the parent process %s is gone: ending", parent)
        end()

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def _is_alive(process: psutil.Process) -> bool:
    try:
        # is_running compares creation times; a zombie is dead but not yet collected.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _end(server: uvicorn.Server, handshake: Path) -> None:
    """End politely, or hard if a long step or an open answer is in the way."""
    handshake.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        handshake.parent.rmdir()  # the parent's private folder; it can no longer do it
    server.should_exit = True
    time.sleep(GRACE_S)
    logging.shutdown()
    os._exit(0)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the backend as a child process and says in one sentence why it did not start or stopped.

stdlib only: the command line and the add-on use it. The child runs `launch.py` by its path, so that it
needs neither an installed package nor a folder of a certain name, and any Python with the backend's
libraries will do.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from .client import BackendClient
from .errors import BackendError
from .wire import Handshake

PACKAGE_ROOT = Path(__file__).absolute().parents[1]
LOGS_KEPT = 20
START_TIMEOUT_S = 60.0
POLL_S = 0.02
COLLECT_S = 0.5
LOG_TAIL_BYTES = 16 * 1024


class BackendProcess:
    """A backend that lives no longer than this process. Use it as a context manager, or call `stop`.

    Attributes:
        log: file that receives the backend's output.
        handshake: port, token and versions; None until the backend is ready.
    """

    def __init__(self, child: subprocess.Popen[bytes], python: str, private: Path, log: Path) -> None:
        self._child = child
        self._python = python
        self._private = private
        self.log = log
        self.handshake: Handshake | None = None

    @classmethod
    def spawn(
        cls,
        python: str | Path | None = None,
        *,
        package_root: Path = PACKAGE_ROOT,
        log_folder: Path | None = None,
        arguments: Sequence[str] = (),
    ) -> BackendProcess:
        """Start the child and return at once; `ready` or `wait_ready` tell when it answers.

        Args:
            python: interpreter that has the backend's libraries; this one if not given.
            package_root: folder of this package (of the extension, inside Blender).
            log_folder: where its log goes; the user's own place for logs if not given.
            arguments: further arguments of `puppet-master serve`.

        Raises:
            BackendError: the interpreter or the package is not there.
        """
        python = str(python or sys.executable)
        launcher = package_root / "backend" / "launch.py"
        if not launcher.is_file():
            raise BackendError(f"cannot start the backend: {launcher} is missing; install the package again")
        private = Path(tempfile.mkdtemp(prefix="puppet-master-"))  # mode 0700: the token goes there
        log = _new_log(log_folder)
        command = [
            python, str(launcher), "serve", "--handshake", str(private / "handshake.json"),
            "--parent-pid", str(os.getpid()), *arguments,
        ]  # fmt: skip
        try:
            with log.open("wb") as output:
                child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=_environment(python),
                    **_own_group(),
                )
        except OSError as error:
            shutil.rmtree(private, ignore_errors=True)
            raise BackendError(
                f"cannot start the backend with the Python at {python}: {error.strerror or error}"
            ) from error
        return cls(child, python, private, log)

    @classmethod
    def start(
        cls,
        python: str | Path | None = None,
        *,
        package_root: Path = PACKAGE_ROOT,
        log_folder: Path | None = None,
        arguments: Sequence[str] = (),
        timeout: float = START_TIMEOUT_S,
    ) -> BackendProcess:
        """`spawn`, then wait until the backend answers. Raises `BackendError` if it does not."""
        backend = cls.spawn(
            python, package_root=package_root, log_folder=log_folder, arguments=arguments
        )
        try:
            backend.wait_ready(timeout)
        except BaseException:
            backend.stop()
            raise
        return backend

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._child.pid

    def ready(self) -> bool:
        """Whether the backend answers by now. Raises `BackendError` if it ended instead."""
        path = self._private / "handshake.json"
        if self.handshake is None and path.is_file():
            self.handshake = Handshake.read(path)
        if self.handshake is None and self._child.poll() is not None:
            raise BackendError(self._epitaph("the backend did not start"))
        return self.handshake is not None

    def wait_ready(self, timeout: float = START_TIMEOUT_S) -> None:
        """Return when the backend answers. Raises `BackendError` if it ends or takes over `timeout` s."""
        deadline = time.monotonic() + timeout
        while not self.ready():
            if time.monotonic() > deadline:
                raise BackendError(f"the backend did not start within {timeout:g} s; its log: {self.log}")
            time.sleep(POLL_S)

    def client(self) -> BackendClient:
        """A client of this backend; its errors tell when and why the process ended."""
        self.wait_ready()
        assert self.handshake is not None
        # A connection breaks a moment before the dead process can be collected.
        return BackendClient(
            self.handshake.port, self.handshake.token, lambda: self.why_stopped(COLLECT_S)
        )

    def why_stopped(self, within: float = 0.0) -> str | None:
        """A sentence naming how the process ended and its log; None if it still runs in `within` s."""
        self._wait(within)
        return None if self._child.poll() is None else self._epitaph("the backend stopped")

    def stop(self, timeout: float = 3.0) -> None:
        """End the process, politely first; its running job is cancelled. Safe to call twice."""
        if self._child.poll() is None and self.handshake is not None:
            with contextlib.suppress(BackendError):
                BackendClient(self.handshake.port, self.handshake.token).shutdown()
                self._wait(timeout)
        if self._child.poll() is None:
            self._child.terminate()
            self._wait(timeout)
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()
        shutil.rmtree(self._private, ignore_errors=True)

    def __enter__(self) -> BackendProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait(self, timeout: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(timeout)

    def _epitaph(self, what: str) -> str:
        return f"{what}: {_cause(self._child.returncode, self._python, tail(self.log))}; its log: {self.log}"


def tail(log: Path) -> str:
    """The last lines of a log file; empty if it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def default_log_folder() -> Path:
    """Where the user's programs keep their logs on this system."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "puppet-master" / "logs"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Logs" / "puppet-master"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "puppet-master"


def _new_log(folder: Path | None) -> Path:
    """An empty log file of a new name; the oldest logs there make room."""
    try:
        folder = folder or default_log_folder()
        folder.mkdir(parents=True, exist_ok=True)
        for old in sorted(folder.glob("backend-*.log"))[: -LOGS_KEPT + 1 or None]:
            old.unlink(missing_ok=True)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        descriptor, name = tempfile.mkstemp(".log", f"backend-{stamp}-", folder)
    except (OSError, RuntimeError):  # RuntimeError: a farm's account without a home
        descriptor, name = tempfile.mkstemp(".log", "puppet-master-backend-")
    os.close(descriptor)
    return Path(name)


def _environment(python: str) -> dict[str, str]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if Path(python) != Path(sys.executable):
        # Settings for this interpreter (Blender's, a studio's) would break another one.
        environment.pop("PYTHONHOME", None)
        environment.pop("PYTHONPATH", None)
    return environment


def _own_group() -> dict[str, object]:
    """Ctrl-C in a terminal must reach the parent alone: it cancels the job, then stops the backend."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _cause(code: int, python: str, log: str) -> str:
    """What ended a process, from its exit code and the end of its log."""
    if code == 0:
        return "it was asked to end"
    if code < 0:
        return _killed_by(-code)
    if missing := re.findall(r"No module named '([\w.]+)'", log):
        return (
            f"the Python at {python} lacks the module {missing[-1]}; "
            f"install the backend's libraries there: {python} -m pip install {installable()}"
        )
    if known := re.findall(r"^error: (.+)$", log, re.MULTILINE):
        return known[-1]
    if "MemoryError" in log or "can't allocate memory" in log:
        return "the machine ran out of memory; close other programs or ask for fewer frames"
    last = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "")
    return f"exit code {code}" + (f" ({last})" if last else "")


def _killed_by(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = str(number)
    hint = ", often because the machine ran out of memory" if name == "SIGKILL" else ""
    return f"it was killed by signal {name}{hint}"


def installable() -> str:
    """What pip has to be given to install this program: its checkout, or its name."""
    return str(PACKAGE_ROOT) if (PACKAGE_ROOT / "pyproject.toml").is_file() else "puppet-master"

# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend as a real child process: start, refusals, the end of either side."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
from puppet_master.backend import process as process_module
from puppet_master.backend.client import BackendClient
from puppet_master.backend.errors import BackendError
from puppet_master.backend.process import PACKAGE_ROOT, BackendProcess
from puppet_master.backend.wire import API_VERSION, Handshake

posix_only = pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")


@pytest.fixture
def start(tmp_path):
    """Start backends that end with the test."""
    started = []

    def run(**choices):
        started.append(BackendProcess.start(log_folder=tmp_path / "logs", **choices))
        return started[-1]

    yield run
    for backend in started:
        backend.stop()


def impostor(folder, code):
    """A program that stands where the Python for the backend should: it runs `code` instead."""
    script = folder / "impostor"
    script.write_text(f"#!{sys.executable}\nimport sys, time\n{textwrap.dedent(code)}")
    script.chmod(0o700)
    return script


def serve(*arguments):
    """Run a server that is expected to end by itself."""
    command = [sys.executable, "-m", "puppet_master.backend", "serve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_a_backend_starts_answers_and_stops(start):
    backend = start()
    health = backend.client().health()
    assert health["pid"] == backend.pid
    assert health["api"] == API_VERSION
    assert health["status"] in ("loading", "ok")
    assert backend.why_stopped() is None
    backend.stop()
    assert "it was asked to end" in backend.why_stopped()
    assert not psutil.pid_exists(backend.pid)
    backend.stop()


@posix_only
def test_only_the_user_can_read_the_handshake_and_it_goes_with_the_backend(start):
    backend = start()
    folder = backend._private
    file = folder / "handshake.json"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(json.loads(file.read_text())) == {"port", "token", "pid", "api", "version"}
    backend.stop()
    assert not folder.exists()


def test_the_token_is_not_on_the_command_line_nor_in_the_log(start):
    backend = start()
    token = backend.handshake.token
    assert len(token) > 30
    assert token not in " ".join(psutil.Process(backend.pid).cmdline())
    assert token not in backend.log.read_text()


def test_the_backend_listens_on_loopback_alone(start):
    backend = start()
    addresses = psutil.Process(backend.pid).net_connections("inet")
    assert [c.laddr.ip for c in addresses if c.status == psutil.CONN_LISTEN] == ["127.0.0.1"]


def test_the_package_folder_may_have_any_name(tmp_path, start):
    root = tmp_path / "bl ext.user default"
    shutil.copytree(PACKAGE_ROOT / "backend", root / "backend", ignore=shutil.ignore_patterns("models"))
    shutil.copy(PACKAGE_ROOT / "__init__.py", root)
    assert start(package_root=root).client().health()["api"] == API_VERSION


@posix_only
def test_a_killed_backend_is_told_with_its_signal_and_log(start):
    backend = start()
    client = backend.client()
    os.kill(backend.pid, signal.SIGKILL)
    with pytest.raises(BackendError, match=r"the backend stopped: .*SIGKILL.*; its log: .*\.log") as caught:
        client.health()
    assert caught.value.exit_code == 6
    assert str(backend.log) in str(caught.value)


@posix_only
def test_a_stream_ends_with_the_reason_when_the_backend_is_killed(start, make_request, model_folder):
    backend = start()
    client = backend.client()
    preview = client.submit(make_request(steps=1000, model=str(model_folder)))
    with pytest.raises(BackendError, match="SIGKILL"):
        for event in client.events(preview):
            if event.data.get("step"):
                os.kill(backend.pid, signal.SIGKILL)


@posix_only
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_backend_ends_when_its_parent_dies(tmp_path, until, is_gone, number):
    script = f"""
        import time
        from pathlib import Path
        from puppet_master.backend.process import BackendProcess
        backend = BackendProcess.start(log_folder=Path({str(tmp_path)!r}))
        print(backend.pid, backend._private, flush=True)
        time.sleep(60)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    )
    pid, private = parent.stdout.readline().split()
    os.kill(parent.pid, number)
    # The parent stays a zombie for now: dead all the same.
    until(lambda: is_gone(int(pid)), timeout=10)
    assert not Path(private).exists()
    parent.wait()
    parent.stdout.close()


@posix_only
def test_ctrl_c_in_the_terminal_does_not_reach_the_backend(start):
    assert os.getpgid(start().pid) != os.getpgid(os.getpid())


def test_a_taken_port_is_a_backend_error_that_names_it(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BackendError, match=f"did not start: port {port} is taken by another program"):
            start(arguments=["--port", str(port)])


def test_a_python_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BackendError, match="with the Python at /no/python: No such file"):
        BackendProcess.spawn("/no/python", log_folder=tmp_path)
    assert list(tmp_path.glob("puppet-master-*")) == []


def test_a_package_without_the_launcher_is_named(tmp_path):
    with pytest.raises(BackendError, match=r"launch\.py is missing"):
        BackendProcess.spawn(package_root=tmp_path)


def test_a_python_without_the_libraries_is_told_what_to_install(tmp_path):
    """A virtual environment with nothing in it, as a user who points at the wrong Python has."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    python = next((tmp_path / "bare").glob("[bS]*/python*"))
    with pytest.raises(BackendError, match=r"lacks the module \w+; install .*pip install") as caught:
        BackendProcess.start(python, log_folder=tmp_path)
    assert str(python) in str(caught.value)


@posix_only
@pytest.mark.parametrize(
    "code, said",
    [
        ("sys.exit('error: the disk is on fire')", "did not start: the disk is on fire"),
        ("raise MemoryError", "ran out of memory"),
        ("sys.exit(3)", "exit code 3"),
        ("import ctypes; raise SystemError('bad cpu')", r"exit code 1 \(SystemError: bad cpu\)"),
        ("import os; os.kill(os.getpid(), 11)", "signal SIGSEGV"),
    ],
)
def test_an_early_end_is_told_in_words(tmp_path, code, said):
    with pytest.raises(BackendError, match=said):
        BackendProcess.start(impostor(tmp_path, code), log_folder=tmp_path)


@posix_only
def test_a_backend_that_never_gets_ready_is_given_up_and_ended(tmp_path, is_gone):
    python = impostor(tmp_path, "time.sleep(60)")
    with pytest.raises(BackendError, match=r"did not start within 0\.3 s; its log"):
        BackendProcess.start(python, log_folder=tmp_path, timeout=0.3)
    assert all(is_gone(child.pid) for child in psutil.Process().children())


@posix_only
def test_another_version_of_the_interface_is_refused(tmp_path):
    code = """
        import json, pathlib
        told = {"port": 1, "token": "x", "pid": 1, "api": 99, "version": "9.0"}
        path = pathlib.Path(sys.argv[sys.argv.index("--handshake") + 1])
        path.with_suffix(".new").write_text(json.dumps(told))
        path.with_suffix(".new").rename(path)
        time.sleep(60)
    """
    with pytest.raises(BackendError, match="API 99, this program API 1; install the same version"):
        BackendProcess.start(impostor(tmp_path, code), log_folder=tmp_path)


@posix_only
def test_another_python_does_not_inherit_this_ones_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    code = "import os; sys.exit(f\"error: {os.environ.get('PYTHONPATH')} {os.environ.get('PYTHONHOME')}\")"
    with pytest.raises(BackendError, match="did not start: None None"):
        BackendProcess.start(impostor(tmp_path, code), log_folder=tmp_path)


def test_old_logs_make_room(tmp_path):
    for index in range(30):
        (tmp_path / f"backend-20200101-{index:06d}-x.log").write_text("old")
    log = process_module._new_log(tmp_path)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert len(kept) == process_module.LOGS_KEPT
    assert kept[-1] == log.name
    assert kept[0] == "backend-20200101-000011-x.log"


def test_a_place_for_logs_that_cannot_be_written_is_no_obstacle(tmp_path):
    (tmp_path / "file").write_text("")
    log = process_module._new_log(tmp_path / "file")
    assert log.is_file()
    log.unlink()


def test_a_server_started_by_hand_tells_where_its_handshake_is():
    server = subprocess.Popen(
        [sys.executable, "-m", "puppet_master.backend", "serve"], stdout=subprocess.PIPE, text=True
    )
    line = server.stdout.readline()
    path = Path(line.split("the token is in ")[1].strip())
    handshake = Handshake.read(path)
    BackendClient(handshake.port, handshake.token).shutdown()
    assert server.wait(10) == 0
    assert not path.parent.exists()
    server.stdout.close()


@posix_only
def test_sigterm_ends_a_server_and_its_handshake(tmp_path):
    file = tmp_path / "handshake.json"
    server = subprocess.Popen(
        [sys.executable, "-m", "puppet_master.backend", "serve", "--handshake", str(file)],
        stdout=subprocess.PIPE,
    )
    server.stdout.readline()
    assert file.is_file()
    server.terminate()
    server.wait(10)
    assert not file.exists()
    server.stdout.close()


def test_serving_for_a_parent_that_is_gone_is_refused():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    run = serve("--parent-pid", str(child.pid))
    assert run.returncode == 6
    assert run.stderr.strip().endswith(f"error: the parent process {child.pid} is not running")


def test_a_handshake_that_cannot_be_written_is_named(tmp_path):
    run = serve("--handshake", str(tmp_path / "no" / "file"))
    assert run.returncode == 6
    assert "cannot write the handshake file" in run.stderr

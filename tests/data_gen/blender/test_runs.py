# SPDX-License-Identifier: GPL-3.0-or-later
"""A process followed from the panel: what it says, how it ends, how it is ended."""

import sys
import textwrap
import time

import pytest
from puppet_master.backend.errors import Cancelled, InputError, OutputError
from puppet_master.data_gen.blender import runs

WAIT_S = 20.0


@pytest.fixture
def new_run(tmp_path, monkeypatch):
    """A run of a few lines of Python in place of Blender."""

    def make(code, **known):
        program = tmp_path / "program.py"
        program.write_text("import json, sys, time\n" + textwrap.dedent(code))
        monkeypatch.setattr(runs, "program", lambda: [sys.executable, "-u", str(program)])
        return runs.Run(["render"], tmp_path / "set", runs.new_workplace(), **known)

    yield make
    runs.unregister()


def end_of(run):
    deadline = time.monotonic() + WAIT_S
    while not run.pump():
        assert time.monotonic() < deadline, run.text()
        time.sleep(0.01)
    return run.state


def until(condition):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_progress_counts_the_views_of_an_asset_at_work(new_run):
    run = new_run(
        """
        print("Blender 4.3.2")  # is no event
        print(json.dumps({"event": "begin", "assets": 1, "done": 0, "todo": 1}))
        for stage in ("import", "render", "encode", "render"):
            print(json.dumps({"event": "stage", "stage": stage, "key": "box-scene"}))
        sys.stdin.read()
        sys.exit(130)
        """,
        views=4,
    )
    run.start()
    until(lambda: run.pump() or (run.progress.stage == "render" and run.progress.share > 0))
    assert run.progress.share == 0.25
    assert run.text() == "At work: render, view 2 of 4"
    run.cancel()
    assert end_of(run) is runs.State.CANCELLED


def test_progress_counts_assets_clips_and_time(new_run):
    run = new_run(
        """
        print(json.dumps({"event": "begin", "assets": 10, "done": 2, "todo": 8}))
        event = {"event": "asset", "asset": "a", "clips": 3, "done": 3, "total": 10, "eta_s": 41.6}
        print(json.dumps(event))
        sys.stdin.read()
        sys.exit(130)
        """
    )
    run.start()
    until(lambda: run.pump() or run.progress.clips)
    assert run.progress.share == 0.3
    assert run.text() == "At work: 3 of 10 assets, 3 clips, 42 s left"
    run.cancel()
    end_of(run)


@pytest.mark.parametrize(("code", "state"), [(0, runs.State.DONE), (3, runs.State.PARTLY), (130, runs.State.CANCELLED)])
def test_the_exit_code_says_how_it_ended(new_run, code, state):
    run = new_run(f'print(json.dumps({{"event": "end", "clips": 1, "reasons": {{"static": 2}}}})); sys.exit({code})')
    run.start()
    assert end_of(run) is state
    assert run.text() == f"{state.value}: 1 clip; turned away: static (2)"


def test_a_failure_is_told_by_the_line_that_says_so(new_run):
    run = new_run(
        """
        print("error: the dataset was made with --views 1, not 2", file=sys.stderr)
        print("Blender quit", file=sys.stderr)
        sys.exit(4)
        """
    )
    run.start()
    assert end_of(run) is runs.State.FAILED
    assert run.text() == "Failed: the dataset was made with --views 1, not 2"


def test_a_crash_is_told_by_its_last_words(new_run):
    run = new_run('print("Segmentation fault", file=sys.stderr, flush=True); import os; os.kill(os.getpid(), 9)')
    run.start()
    assert end_of(run) is runs.State.FAILED
    assert run.text() == "Failed: the process ended with exit code -9: Segmentation fault"


def test_a_process_that_does_not_end_when_asked_is_ended_with_its_children(new_run, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "POLITE_S", 0.3)
    run = new_run(
        f"""
        import signal, subprocess
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        open({str(tmp_path / "child")!r}, "w").write(str(child.pid))
        print(json.dumps({{"event": "begin", "assets": 1, "done": 0, "todo": 1}}))
        time.sleep(60)
        """
    )
    run.start()
    until(lambda: run.pump() or run.progress.total)
    run.cancel()
    assert run.state is runs.State.CANCELLING
    assert end_of(run) is runs.State.CANCELLED
    child = int((tmp_path / "child").read_text())
    until(lambda: not _alive(child))


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_blender_that_is_not_there_is_named(new_run, monkeypatch):
    run = new_run("")
    monkeypatch.setattr(run, "_command", ["/nowhere/blender"])
    run.start()
    assert end_of(run) is runs.State.FAILED
    assert run.error.startswith("cannot start /nowhere/blender: ")


def test_preparing_that_fails_ends_the_run(new_run, tmp_path):
    def prepare():
        raise OutputError("cannot copy the simulations")

    run = new_run("print('never')", prepare=prepare)
    run.start()
    assert end_of(run) is runs.State.FAILED
    assert run.error == "cannot copy the simulations"


def test_the_workplace_is_gone_afterwards(new_run):
    run = new_run("open('here', 'w').write('x')")
    workplace = run._workplace
    run.start()
    end_of(run)
    until(lambda: not workplace.exists())


def test_one_run_at_a_time(new_run):
    runs.start(new_run("sys.stdin.read()"))
    with pytest.raises(InputError, match="already being made"):
        runs.start(new_run(""))


def test_disabling_the_extension_ends_the_process(new_run, tmp_path):
    run = new_run(f"import os; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); sys.stdin.read()")
    runs.start(run)
    until((tmp_path / "pid").exists)
    until(lambda: (tmp_path / "pid").read_text())
    pid = int((tmp_path / "pid").read_text())
    runs.unregister()
    assert runs.current() is None
    until(lambda: not _alive(pid))


def test_scripts_get_failures_as_errors(new_run):
    with pytest.raises(InputError, match="no kind"):
        runs.run_blocking(new_run('print("error: no kind", file=sys.stderr); sys.exit(4)'))
    with pytest.raises(Cancelled):
        runs.run_blocking(new_run("sys.exit(130)"))


def test_the_main_thread_is_held_for_its_budget_at_most(new_run):
    run = new_run(
        """
        for number in range(20000):
            print(json.dumps({"event": "stage", "stage": "render", "key": f"rig-{number}"}))
        """
    )
    run.start()
    run.join(WAIT_S)
    longest = 0.0
    while not run.state.final:
        began = time.perf_counter()
        run.pump()
        longest = max(longest, time.perf_counter() - began)
    assert longest < 0.05

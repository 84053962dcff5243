# SPDX-License-Identifier: GPL-3.0-or-later
"""A slot: whatever an asset does to its process costs that asset alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from puppet_master.backend.errors import InputError, RequirementError
from puppet_master.backend.workers.pool import LocalPool, graphics_cards
from puppet_master.backend.workers.slot import Limits, Program, Slot, resident_memory
from puppet_master.data_gen.options import RenderOrder
from puppet_master.data_gen.packing import make_work_folder, read_unit
from puppet_master.data_gen.plan import make_plan
from run_toys import toy_program
from toys import write_toy

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def slot():
    made = Slot(toy_program(), Limits(seconds=20, memory_gb=0.3))
    yield made
    made.close()


@pytest.fixture
def task(tmp_path):
    """Makes the task of a toy asset that behaves so."""

    def of(name: str, **behaviour):
        order = RenderOrder(assets=(write_toy(tmp_path / f"{name}.glb", name=name, **behaviour),)).resolved()
        make_work_folder(tmp_path / "out")
        return make_plan(order)[0].task(order, tmp_path / "out", "render", 1)

    return of


def lines_of(task) -> list | None:
    return read_unit(Path(task["out"]), task["key"])


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_until(condition, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


def test_units_are_made_one_after_another_in_one_process(slot, task):
    events = []
    first, second = task("first"), task("second")
    assert slot.work(first, events.append).reason is None
    pid = slot.pid
    assert slot.work(second).reason is None and slot.pid == pid
    assert [line["outcome"] for line in lines_of(first)] == ["accepted", "accepted", "done"]
    stages = [(event["stage"], event.get("animation"), event.get("view")) for event in events]
    assert stages[:3] == [("import", None, None), ("render", 0, 0), ("render", 0, 1)]
    assert slot.work(first).seconds < 10


def test_a_process_is_replaced_after_its_share_of_units(task):
    slot = Slot(toy_program(), Limits(recycle=2))
    pids = []
    for number in range(4):
        slot.work(task(f"toy{number}"), lambda event: pids.append(slot.pid))
    slot.close()
    assert len(set(pids)) == 2 and not any(map(alive, pids))


def test_what_a_process_leaves_in_its_temporary_folder_is_removed(task, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    slot = Slot(toy_program(), Limits(recycle=1))
    slot.work(task("messy", does="leave"))
    (scratch,) = (tmp_path / "temporary").iterdir()
    assert list(scratch.iterdir()) == []
    slot.close()
    assert not scratch.exists()


def test_a_crash_costs_the_asset_and_leaves_its_last_words(slot, task):
    outcome = slot.work(task("bad", does="crash"))
    assert (outcome.reason, outcome.detail) == ("crashed", "Blender was ended at import by SIGSEGV")
    assert outcome.stderr == "Blender is about to fall over\n# Backtrace\nin drw_fall"
    assert slot.work(task("good")).reason is None


def test_a_crash_is_tried_once_more_in_a_fresh_process(slot, task):
    shaky = task("shaky", does="crash once")
    assert slot.work(shaky).reason is None and lines_of(shaky)[-1]["outcome"] == "done"


def test_an_exception_is_told_with_its_traceback(slot, task):
    outcome = slot.work(task("odd", does="raise"))
    assert (outcome.reason, outcome.detail) == ("crashed", "ZeroDivisionError: no frames a second")
    assert outcome.stderr.startswith("Traceback") and "toy_maker.py" in outcome.stderr


def test_a_stage_that_takes_too_long_is_ended(task):
    slot = Slot(toy_program(), Limits(seconds=1))
    began = time.monotonic()
    outcome = slot.work(task("stuck", does="hang"))
    pid = slot.pid
    slot.close()
    assert (outcome.reason, outcome.detail) == ("time limit", "import took over 1 s")
    assert time.monotonic() - began < 10 and pid is None


def test_the_time_limit_is_of_a_stage_and_not_of_the_asset(task):
    slot = Slot(toy_program(), Limits(seconds=1))
    outcome = slot.work(task("long", seconds=0.3))  # four renders
    slot.close()
    assert outcome.reason is None and outcome.seconds > 1.2


def test_an_asset_that_eats_the_memory_is_ended(slot, task):
    outcome = slot.work(task("fat", does="eat"))
    assert (outcome.reason, outcome.detail) == ("memory limit", "import took over 0.3 GB of memory")
    assert outcome.memory_gb > 0.3


def test_a_killed_process_is_replaced_and_the_unit_made(slot, task):
    pid = []

    def kill_once(event):
        if event["stage"] == "render" and not pid:
            pid.append(slot.pid)
            os.kill(slot.pid, signal.SIGKILL)

    unit = task("toy")
    assert slot.work(unit, kill_once).reason is None
    assert slot.pid != pid[0] and lines_of(unit)[-1]["outcome"] == "done"


def test_much_chatter_does_no_harm(slot, task, monkeypatch):
    monkeypatch.setattr("puppet_master.backend.workers.slot.LOG_LIMIT", 1000)
    assert slot.work(task("chatter", does="chatter", seconds=0.3)).reason is None


def test_another_thread_can_interrupt(slot, task):
    threading.Timer(1.0, slot.interrupt).start()
    began = time.monotonic()
    slot.work(task("stuck", does="hang"))
    assert time.monotonic() - began < 8


def test_a_blender_that_does_not_start_ends_the_run(task):
    program = Program((sys.executable, "-c", "import sys; sys.exit('no display here')"))
    slot = Slot(program, Limits())
    kind, message = slot.work(task("toy")).stop
    slot.close()
    assert kind == "requirement" and "exit code 1 (no display here)" in message


def test_a_maker_that_cannot_be_imported_ends_the_run(task):
    slot = Slot(Program(toy_program().command, ("no_such_maker",)), Limits())
    kind, message = slot.work(task("toy")).stop
    slot.close()
    assert kind == "requirement" and "no_such_maker" in message


def test_a_blender_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RequirementError, match="blender-6 does not exist"):
        Program.find("maker", tmp_path / "blender-6")


def test_the_process_ends_with_its_parent(tmp_path):
    script = f"""
import sys; sys.path.insert(0, {str(ROOT / "tests")!r})
import json, os, pathlib
from run_toys import toy_program
from puppet_master.backend.workers.slot import Limits, Slot
slot = Slot(toy_program(), Limits())
task = {{"key": "toy", "path": {str(write_toy(tmp_path / "toy.glb", does="hang"))!r}, "out": {str(tmp_path)!r}}}
slot.work(task, lambda event: print(slot.pid, flush=True))
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    parent.wait()
    assert wait_until(lambda: not alive(pid), 5)


def test_graphics_cards_are_shared_among_the_slots(monkeypatch, task):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert graphics_cards() == ("2", "5")
    pool = LocalPool(toy_program(), Limits(), 3, "gpu")
    cards = [slot._program.environment["CUDA_VISIBLE_DEVICES"] for slot in pool._slots]
    assert cards == ["2", "5", "2"]
    assert all(outcome.reason is None for outcome in pool.results([task("a"), task("b")], lambda event: None))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(InputError, match="CUDA_VISIBLE_DEVICES is empty"):
        graphics_cards()


def test_a_pool_gives_up_what_is_at_hand_when_it_is_closed(task):
    pool = LocalPool(toy_program(), Limits(), 2)
    pids = []
    tasks = [task("quick"), *(task(f"stuck{number}", does="hang") for number in range(3))]
    outcomes = pool.results(tasks, lambda event: pids.extend(slot.pid for slot in pool._slots))
    assert next(outcomes).key == tasks[0]["key"]
    outcomes.close()
    assert pids and not any(alive(pid) for pid in pids if pid)


def test_memory_of_a_process_is_known():
    assert 10e6 < resident_memory(os.getpid()) < 64e9
    assert resident_memory(2**22 + 1) == 0

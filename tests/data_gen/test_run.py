# SPDX-License-Identifier: GPL-3.0-or-later
"""A run: killed at any moment and run again, with any number of workers, it gives the same dataset."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from puppet_master.backend.errors import InputError, OutputError
from puppet_master.backend.shards import index_tar
from puppet_master.data_gen.ledger import LEDGER, read_ledger
from puppet_master.data_gen.packing import WORK
from puppet_master.data_gen.run import SETTINGS
from run_toys import run_toys
from toys import tars, timeless_ledger, toy_order, write_toy, write_toys

RUN_TOYS = Path(__file__).resolve().parents[1] / "run_toys.py"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Eight good assets, one that is damaged, one twice, one that holds nothing."""
    folder = write_toys(tmp_path_factory.mktemp("library"), 8)
    write_toy(folder / "broken.glb", does="damaged")
    shutil.copy(folder / "toy03.glb", folder / "twin.glb")
    (folder / "zero.glb").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def whole(library, tmp_path_factory):
    """The dataset of an undisturbed run with one worker."""
    out = tmp_path_factory.mktemp("whole")
    assert run_toys(toy_order(out, library)).exit_code == 3
    return out


def start(order, tmp_path, **more) -> subprocess.Popen:
    """The run in a process of its own."""
    path = tmp_path / "order.json"
    path.write_text(json.dumps(order.to_json()))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, str(RUN_TOYS), str(path)], **pipes, start_new_session=True, **more)


def wait_for(process: subprocess.Popen, kind: str, count: int) -> None:
    """Read the process's events until `count` of a kind have come."""
    for line in process.stdout:
        count -= json.loads(line)["event"] == kind
        if not count:
            return
    pytest.fail(f"the run ended early: {process.stderr.read()}")


def check_same(out: Path, whole: Path) -> None:
    assert tars(out) == tars(whole)
    assert timeless_ledger(out) == timeless_ledger(whole)
    for name in ("README.md", SETTINGS):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert {path.name for path in out.iterdir()} == {path.name for path in whole.iterdir()}  # nothing left over


def test_a_run_makes_shards_ledger_settings_and_card(whole, library):
    names = [name for path in sorted(whole.glob("clips-*.tar")) for name in index_tar(path)]
    assert len(names) == 32 and len(list(whole.glob("clips-*.tar"))) > 5 and len(list(whole.glob("rejected-*"))) == 1
    lines = read_ledger(whole / LEDGER)
    own = [line for line in lines if line["index"] is None]
    assert [line["outcome"] for line in own] == ["damaged", *["done"] * 8, "duplicate", "damaged"]
    assert [line["reason"] for line in own if line["reason"]] == ["truncated", "duplicate", "empty file"]
    assert [name for line in own for name in line.get("clips") or ()] == names
    card = (whole / "README.md").read_text()
    assert card.startswith("---\n") and "| clips | 32 |" in card and "| static | 8 |" in card
    assert not (whole / WORK).exists()


def test_the_number_of_workers_does_not_matter(library, whole, tmp_path):
    run_toys(toy_order(tmp_path / "out", library, workers=3))
    check_same(tmp_path / "out", whole)


def test_a_second_run_changes_nothing(whole, library):
    before = {path.name: path.stat().st_mtime_ns for path in whole.glob("*.tar")}
    summary = run_toys(toy_order(whole, library))
    assert summary.made == 0 and summary.clips == 32 and summary.exit_code == 3
    assert {path.name: path.stat().st_mtime_ns for path in whole.glob("*.tar")} == before


@pytest.mark.parametrize("kind, count", [("begin", 1), ("stage", 2), ("asset", 4), ("stage", 30), ("end", 1)])
def test_killed_and_run_again_it_is_the_same_dataset(library, whole, tmp_path, kind, count):
    order = toy_order(tmp_path / "out", library, workers=2)
    process = start(order, tmp_path)
    wait_for(process, kind, count)
    process.kill()
    process.wait()
    for path in (tmp_path / "out").glob("*.tar"):
        index_tar(path)  # whole, all of them
    run_toys(order)
    check_same(tmp_path / "out", whole)


def test_killed_again_and_again_it_is_the_same_dataset(library, whole, tmp_path):
    order, rng = toy_order(tmp_path / "out", library, workers=2), random.Random(5)
    for _ in range(3):
        process = start(order, tmp_path)
        time.sleep(rng.uniform(0.4, 1.6))
        process.kill()
        process.wait()
    run_toys(order)
    check_same(tmp_path / "out", whole)


def test_killed_workers_cost_nothing(library, whole, tmp_path):
    process = start(toy_order(tmp_path / "out", library, workers=2), tmp_path)
    wait_for(process, "asset", 2)
    # Each of the first two, not one that took over: an asset whose worker ends twice is given up, as it should be.
    for worker in psutil.Process(process.pid).children():
        worker.kill()
        wait_for(process, "asset", 2)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    check_same(tmp_path / "out", whole)


def test_an_interrupt_ends_in_order(library, whole, tmp_path):
    order = toy_order(tmp_path / "out", library, workers=2)
    # Where the tests run as a shell's background job, interrupts are ignored, and that is inherited.
    process = start(order, tmp_path, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    wait_for(process, "asset", 3)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "goes on from there" in errors and "Traceback" not in errors
    run_toys(order)
    check_same(tmp_path / "out", whole)


def test_an_extended_library_gives_what_the_whole_would_have_given(library, whole, tmp_path):
    for path in sorted(library.iterdir()):
        if path.stem not in ("toy02", "toy07", "twin"):
            shutil.copy(path, tmp_path / path.name)
    (tmp_path / "out").mkdir()
    order = toy_order(tmp_path / "out", tmp_path)
    run_toys(order)
    assert tars(tmp_path / "out") != tars(whole)
    for name in ("toy02.glb", "toy07.glb", "twin.glb"):
        shutil.copy(library / name, tmp_path)
    assert run_toys(order).made == 2
    assert tars(tmp_path / "out") == tars(whole)


def test_a_longer_procedural_order_extends_the_dataset(tmp_path):
    run_toys(toy_order(tmp_path / "long", procedural="all:9"))
    run_toys(toy_order(tmp_path / "out", procedural="all:4"))
    assert run_toys(toy_order(tmp_path / "out", procedural="all:9")).made == 5
    check_same(tmp_path / "out", tmp_path / "long")


def test_a_shorter_order_is_refused_before_anything_is_dropped(tmp_path):
    run_toys(toy_order(tmp_path / "out", procedural="box:3"))
    before = tars(tmp_path / "out")
    with pytest.raises(InputError, match=r"holds clips of box-2 .*order it too"):
        run_toys(toy_order(tmp_path / "out", procedural="box:2"))
    assert tars(tmp_path / "out") == before


@pytest.mark.parametrize(
    "other, words",
    [({"views": 2}, "--views 1, not 2"), ({"size": 64}, "--size 128, not 64"), ({"licences": "by"}, "--licences")],
)
def test_other_settings_are_refused_and_named(whole, library, other, words):
    with pytest.raises(InputError, match=words):
        run_toys(toy_order(whole, library, **other))


def test_a_filter_run_does_not_go_into_a_dataset_of_clips(whole, library):
    from puppet_master.backend.workers.pool import LocalPool
    from puppet_master.backend.workers.slot import Limits
    from puppet_master.data_gen.run import run
    from run_toys import toy_program

    with pytest.raises(InputError, match='stage "render", not "filter"'):
        run(toy_order(whole, library), "filter", LocalPool(toy_program(), Limits(), 1), lambda event: None)


def test_failures_are_in_the_ledger_and_tried_again_when_asked(tmp_path):
    folder = write_toys(tmp_path / "in", 3)
    shaky = write_toy(folder / "shaky.glb", does="raise")
    order = toy_order(tmp_path / "out", folder)
    assert run_toys(order).exit_code == 3
    (line,) = [line for line in read_ledger(tmp_path / "out" / LEDGER) if line["outcome"] == "failed"]
    assert (line["reason"], line["detail"]) == ("crashed", "ZeroDivisionError: no frames a second")
    assert "Traceback" in line["stderr"] and line["source"] == shaky.as_posix()
    assert run_toys(order).made == 0
    again = run_toys(replace(order, retry_failed=True))
    assert (again.made, again.assets["failed"]) == (1, 1)
    assert len(read_ledger(tmp_path / "out" / LEDGER)) == 3 * 4 + 1


def test_an_asset_mended_by_a_retry_takes_its_place_in_the_shards(tmp_path):
    folder = write_toys(tmp_path / "in", 5)
    whole = tmp_path / "whole"
    run_toys(toy_order(whole, folder))
    lines = read_ledger(whole / LEDGER)
    key = lines[7]["asset"]
    out = tmp_path / "out"
    run_toys(toy_order(out, *(path for path in sorted(folder.iterdir()) if path.stem != "toy01")))
    failed = {**lines[7], "outcome": "failed", "reason": "crashed", "clips": [], "rejected": []}
    with (out / LEDGER).open("a") as stream:
        stream.write(json.dumps(failed) + "\n")
    assert key.startswith("toy01")
    assert run_toys(toy_order(out, folder)).made == 0
    assert run_toys(toy_order(out, folder, retry_failed=True)).made == 1
    assert tars(out) == tars(whole)


@pytest.mark.parametrize("lost", ["clips-000002.tar", "rejected-000000.tar", LEDGER, "README.md"])
def test_what_was_lost_is_made_again(library, whole, tmp_path, lost):
    out = shutil.copytree(whole, tmp_path / "out")
    (out / lost).unlink()
    run_toys(toy_order(out, library))
    check_same(out, whole)


def test_clips_of_another_blender_are_not_mixed_in(library, whole, tmp_path):
    out = shutil.copytree(whole, tmp_path / "out")
    settings = json.loads((out / SETTINGS).read_text())
    settings["versions"] = {"blender": "4.2.1"}
    (out / SETTINGS).write_text(json.dumps(settings))
    (out / "clips-000000.tar").unlink()
    with pytest.raises(InputError, match=r"made with Blender 4\.2\.1, but here is no Blender"):
        run_toys(toy_order(out, library))


def test_two_runs_at_once_are_refused(library, tmp_path):
    order = toy_order(tmp_path / "out", write_toys(tmp_path / "in", 1, seconds=5))
    process = start(order, tmp_path)
    wait_for(process, "stage", 1)
    with pytest.raises(OutputError, match="another run is at work"):
        run_toys(order)
    process.kill()
    process.communicate()


def test_an_output_that_cannot_be_made_is_an_output_error(library, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="taken"):
        run_toys(toy_order(tmp_path / "taken", library))


def test_files_that_may_grow_no_further_stop_the_run_and_it_goes_on_when_they_may(library, whole, tmp_path):
    order = toy_order(tmp_path / "out", library)
    limit = (20_000, 20_000)  # bytes a file: parts and the first ledger lines fit, shards do not
    process = start(order, tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == OutputError.exit_code and "cannot write" in errors, errors
    assert not list((tmp_path / "out").glob("*.partial"))
    run_toys(order)
    check_same(tmp_path / "out", whole)


@pytest.mark.parametrize("kilobytes", [60, 140])
def test_a_full_disk_stops_the_run_and_it_goes_on_when_there_is_room(library, whole, tmp_path, kilobytes):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can only be mounted by root")
    try:
        order = toy_order(disk / "out", library, workers=2)
        with pytest.raises(OutputError, match="No space left on device"):
            run_toys(order)
        subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
        run_toys(order)
        check_same(disk / "out", whole)
    finally:
        subprocess.run(["umount", str(disk)], check=True)

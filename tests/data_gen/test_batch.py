# SPDX-License-Identifier: GPL-3.0-or-later
"""Many clips: resumed, isolated from crashes, interrupted cleanly; the command's exit codes."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from puppet_master.backend.errors import InputError
from puppet_master.data_gen.batch import Job, Unit, run_batch
from puppet_master.data_gen.cli import app
from puppet_master.data_gen.clips import read_clip
from puppet_master.data_gen.kinds import WEIGHTS, parse_order, plan_assets, plan_procedural
from puppet_master.data_gen.settings import RenderSettings
from typer.testing import CliRunner

JOB = Job(frames=3, settings=RenderSettings(size=32))
SMALL = ["--size", "32", "--frames", "3", "--workers", "1"]


def command(*arguments: object):
    return CliRunner().invoke(app, ["render", *map(str, arguments)])


def test_a_rerun_makes_only_what_is_missing(tmp_path):
    order = ["--procedural", "laptop:2", "--out", tmp_path, *SMALL, "--json"]
    first = command(*order)
    assert first.exit_code == 0, first.output
    made = sorted(tmp_path.glob("*.npz"))
    assert [path.name for path in made] == ["laptop-0.npz", "laptop-1.npz"]
    kept = made[0].stat().st_mtime_ns
    made[1].unlink()
    again = json.loads(command(*order).stdout)
    assert (again["done"], again["skipped"], again["failed"]) == (1, 1, {})
    assert made[0].stat().st_mtime_ns == kept
    assert read_clip(made[1]).meta["seed"] == 1


def test_a_worker_that_dies_costs_its_clip_alone(tmp_path):
    units = [Unit("box", seed, tmp_path / f"box-{seed}.npz") for seed in range(2)]

    def kill_first_worker():
        while not (children := multiprocessing.active_children()):
            time.sleep(0.05)
        time.sleep(0.1)  # it has its first unit in hand, and Blender to load
        os.kill(children[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_first_worker)
    killer.start()
    summary = run_batch(units, JOB, workers=1)
    killer.join()
    assert list(summary.failed) == ["box-0.npz"]
    assert "worker died" in summary.failed["box-0.npz"]
    assert summary.done == 1 and units[1].path.exists()


def test_a_clip_that_cannot_be_made_gives_exit_code_three(tmp_path, monkeypatch):
    monkeypatch.setitem(WEIGHTS, "sofa", 1.0)  # the command line believes in it, the rigs do not
    result = command("--procedural", "sofa:1", "--out", tmp_path, *SMALL)
    assert result.exit_code == 3
    assert "sofa-0.npz" in result.stderr and "no procedural rig" in result.stderr


def test_an_asset_without_animation_is_reported(tmp_path, shared):
    asset = shared / "assets" / "seagull_static.glb"
    result = command("--asset", asset, "--out", tmp_path, *SMALL)
    assert result.exit_code == 3
    assert "has no animation" in result.stderr


def group_ends(group: int, within: float) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_an_interrupt_leaves_whole_clips_and_no_worker(tmp_path):
    arguments = ["render", "--procedural", "all:500", "--out", str(tmp_path), *SMALL]
    process = subprocess.Popen(
        [sys.executable, "-m", "puppet_master.data_gen", *arguments],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True,
        # Where the tests run as a shell's background job, interrupts are ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*.npz")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted after" in messages and "Traceback" not in messages
    assert group_ends(process.pid, within=10.0)
    left = [path.name for path in tmp_path.iterdir()]
    assert left and all(name.endswith(".npz") and not name.startswith(".") for name in left)
    for path in tmp_path.iterdir():
        read_clip(path)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--procedural", "sofa:3"], "sofa"),
        (["--procedural", "cabinet"], "KIND:COUNT"),
        (["--procedural", "cabinet:0"], "asks for 0 clips"),
        (["--procedural", "cabinet:1", "--engine", "eevee"], "no engine is called 'eevee'"),
        (["--asset", "gone.glb"], "gone.glb does not exist"),
        ([], "--procedural KIND:COUNT or --asset FILE"),
    ],
)
def test_wrong_orders_are_input_errors(tmp_path, arguments, words):
    result = command("--out", tmp_path, *arguments)
    assert result.exit_code == InputError.exit_code
    assert words in result.stderr and result.stderr.count("\n") == 1


def test_an_output_that_is_a_file_is_an_output_error(tmp_path):
    (tmp_path / "taken").write_text("")
    result = command("--procedural", "box:1", "--out", tmp_path / "taken")
    assert result.exit_code == 7 and "taken" in result.stderr


def test_seeds_share_no_clip_and_longer_orders_begin_alike(tmp_path):
    names = {seed: [unit.path.name for unit in plan_procedural("all:50", seed, tmp_path)] for seed in (0, 1)}
    assert not set(names[0]) & set(names[1])
    assert [unit.path.name for unit in plan_procedural("all:80", 0, tmp_path)][:50] == names[0]
    assert len({name.split("-")[0] for name in names[0]}) > 5


def test_orders_are_read():
    assert parse_order("robot_arm:12") == ("robot_arm", 12)


def test_assets_of_one_name_are_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "fan.glb").write_bytes(b"x")
    with pytest.raises(InputError, match="same file name"):
        plan_assets([tmp_path / "a" / "fan.glb", tmp_path / "b" / "fan.glb"], 1, 0, tmp_path)

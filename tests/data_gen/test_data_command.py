# SPDX-License-Identifier: GPL-3.0-or-later
"""`puppet-master data render` with Blender: a dataset, its progress, its exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from puppet_master.backend.cli import main
from puppet_master.backend.shards import ShardFolder
from puppet_master.data_gen.ledger import LEDGER, read_ledger

SMALL = ["--size", "32", "--frames", "4", "--workers", "1", "--filter", "none"]


def command(*arguments: object) -> int:
    try:
        return main(["data", "render", *map(str, arguments)])
    except SystemExit as end:
        return end.code or 0


def test_clips_are_made_and_a_rerun_makes_only_what_is_missing(tmp_path, capsys):
    order = [*SMALL, "--out", tmp_path, "--json"]
    assert command("--procedural", "laptop:1", *order) == 0
    out, err = capsys.readouterr()
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events if event["event"] != "stage"] == ["begin", "asset", "end"]
    assert {"import", "render"} <= {event["stage"] for event in events if event["event"] == "stage"}
    assert events[-1]["clips"] == 1 and err == ""
    assert command("--procedural", "laptop:2", *order) == 0
    end = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (end["made"], end["clips"]) == (1, 2)
    folder = ShardFolder(tmp_path)
    assert folder.names == ["laptop-0_a000_v00", "laptop-1_a000_v00"]
    assert folder.load(1).frames.shape == (4, 32, 32, 4) and folder.meta(1)["seed"] == 1
    assert all(line["versions"]["blender"] for line in read_ledger(tmp_path / LEDGER) if line["index"] is None)


def test_a_damaged_file_gives_exit_code_three_and_is_named(tmp_path, capsys):
    broken = tmp_path / "broken.glb"
    broken.write_bytes(b"glTF\x02\0\0\0\xff\xff\0\0 and no more")
    assert command(broken, tmp_path / "gone.glb", "--procedural", "box:1", *SMALL, "--out", tmp_path / "out") == 3
    out, err = capsys.readouterr()
    assert "assets: 2 damaged, 1 done" in out and "broken-" in err and "damaged" in err
    outcomes = [line["outcome"] for line in read_ledger(tmp_path / "out" / LEDGER)]
    assert outcomes == ["damaged", "damaged", "accepted", "done"]


def test_an_interrupt_ends_blender_too(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "puppet_master.data_gen", "render", "--procedural", "all:500", "--json", *SMALL,
         "--out", str(tmp_path)],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        # Where the tests run as a shell's background job, interrupts are ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    for line in process.stdout:
        if json.loads(line)["event"] == "asset":
            break
    threads = Path(f"/proc/{process.pid}/task").iterdir()
    children = [Path("/proc") / child for thread in threads for child in (thread / "children").read_text().split()]
    assert children
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted after" in messages and "Traceback" not in messages
    deadline = time.monotonic() + 5
    while any(child.exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(child.exists() for child in children)


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        ([], 4, "say what to work on: ASSETS, --scene SCENE.blend or --procedural KIND:N"),
        (["--procedural", "sofa:3"], 4, "no procedural kind is called 'sofa'"),
        (["--procedural", "box:1", "--engine", "povray"], 4, "--engine cannot be 'povray'"),
        (["--procedural", "box:1", "--frames", "1"], 4, "--frames must be 2 to 1024, not 1"),
        (["--procedural", "box:1", "--filter", "sense"], 4, "sense"),
        (["--procedural", "box:1", "--blender", "/nowhere/blender"], 8, "/nowhere/blender does not exist"),
    ],
)
def test_wrong_orders_are_refused_in_one_line_and_leave_nothing(tmp_path, capsys, arguments, code, words):
    assert command("--out", tmp_path / "out", *arguments) == code
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_order_without_a_place_is_refused(capsys):
    assert command("--procedural", "box:1") == 4
    assert "--out DIR" in capsys.readouterr().err


def test_an_output_that_is_a_file_is_an_output_error(tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    assert command("--procedural", "box:1", "--out", tmp_path / "taken") == 7
    assert "taken" in capsys.readouterr().err


def test_the_help_tells_the_exit_codes_and_all_commands(capsys):
    assert command("--help") == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "done, but some assets were damaged or failed" in words and "--procedural" in words
    with pytest.raises(SystemExit):
        main(["data", "--help"])
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("render", "filter", "train-filter", "report", "export", "fetch"))

# SPDX-License-Identifier: GPL-3.0-or-later
"""`puppet-master batch` as a user and a farm run it: a real model, a real Blender, shares of tasks, and the page."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import av
import numpy as np
import pytest
from puppet_master.backend.cli import main
from puppet_master.backend.media import encode_png
from puppet_master.backend.workers.ledger_file import read_lines

ONE_WORKER = ("--device", "cpu", "--workers", "1")  # each one imports torch
DRAG = {"name": "part", "points": [{"t": 0, "x": 0.5, "y": 0.5}, {"t": 1, "x": 0.8, "y": 0.5}]}


@pytest.fixture
def jobs(tmp_path):
    """Six previews of stills of two sizes, and a job that cannot be read."""
    for name, size in (("wide", (48, 96)), ("square", (64, 64))):
        pixels = np.full((*size, 3), 255, np.uint8)
        pixels[16:32, 16:40] = (200, 40, 40)
        (tmp_path / f"{name}.png").write_bytes(encode_png(pixels))
    path = tmp_path / "jobs.json"
    entries = [{"still": f"{name}.png", "drags": [DRAG], "seed": "0:3"} for name in ("wide", "square")]
    path.write_text(json.dumps([*entries, {"still": "square.png", "steps": -1, "name": "bad"}]))
    return path


def batch(*words, code=0, capsys=None):
    """Run the command in this process; its lines on stdout."""
    with pytest.raises(SystemExit) as end:
        main(["batch", *map(str, words)])
    assert end.value.code == code
    return capsys.readouterr().out.splitlines() if capsys else []


def outcomes(path):
    return [(line["index"], line["outcome"]) for line in read_lines(path)]


def test_tasks_of_a_farm_make_the_whole_together_and_merge_makes_one_ledger(jobs, tmp_path, capsys):
    out = tmp_path / "out"
    batch(jobs, "--out", out, "--task", "1/2", *ONE_WORKER, capsys=capsys)
    assert outcomes(out / "ledger.task-0001-of-0002.jsonl") == [(0, "done"), (1, "done"), (2, "done")]
    lines = batch(jobs, "--out", out, "--merge", "--json", code=3, capsys=capsys)
    (end,) = map(json.loads, lines)
    assert (end["event"], end["done"], end["missing"], end["exit_code"]) == ("end", 3, 4, 3)
    assert outcomes(out / "ledger.jsonl") == [(0, "done"), (1, "done"), (2, "done")]
    lines = batch(jobs, "--out", out, "--range", "2:6", "--json", *ONE_WORKER, capsys=capsys)
    events = [json.loads(line) for line in lines]
    assert events[0] == {
        "event": "begin", "previews": 4, "todo": 3, "done": 1, "failed": 0, "invalid": 0, "missing": 0, "stills": 0,
    }  # fmt: skip
    made = sorted(event["name"] for event in events if event["event"] == "preview")
    assert made == [f"square_seed{n}" for n in range(3)]
    batch(jobs, "--out", out, "--range", "6:9", code=12, capsys=capsys)
    assert "6 done, 1 invalid" in batch(jobs, "--out", out, "--merge", code=3, capsys=capsys)[0]
    assert [path.name for path in out.glob("ledger*")] == ["ledger.jsonl"]
    assert "0 made" in batch(jobs, "--out", out, code=3, capsys=capsys)[0]
    page = (out / "batch.html").read_text()
    assert page.count("data:image/webp") == 6 and page.count("<figure") == 7
    assert 'data-shot="wide"' in page and "steps = -1" in page and 'href="wide_seed1.mp4"' in page
    assert "src=" not in page and "https://" not in page  # nothing to load
    sizes = {name: _first_frame(out / f"{name}_seed2.mp4").shape for name in ("wide", "square")}
    assert sizes == {"wide": (48, 96, 3), "square": (64, 64, 3)}


def _first_frame(path):
    with av.open(str(path)) as video:
        return next(video.decode(video=0)).to_ndarray(format="rgb24")


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(jobs, tmp_path, capsys):
    out = tmp_path / "out"
    lines = batch(jobs, "--out", out, "--dry-run", code=3, capsys=capsys)
    assert lines[0].split() == ["0", "make", "wide_seed0"] and "steps = -1" in lines[6]
    assert lines[-1] == "7 preview(s): 6 to make from 0 scene still(s), 1 invalid"
    said = [json.loads(line) for line in batch(jobs, "--out", out, "--dry-run", "--json", code=3, capsys=capsys)]
    assert [event["state"] for event in said[:-1]] == ["make"] * 6 + ["invalid"]
    assert not out.exists()


def test_names_that_a_terminal_has_no_letters_for_are_shown_all_the_same(jobs, tmp_path):
    command = [sys.executable, "-m", "puppet_master.backend", "batch", jobs, "--out", tmp_path / "out", "--dry-run"]
    words = [*map(str, command), "--name", "扉{sweep}-{shot}"]
    done = subprocess.run(words, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=False)
    assert done.returncode == 3 and b"\\u6249_seed0-wide" in done.stdout


@pytest.mark.parametrize(
    "words, message",
    [
        (["--task", "3/2"], "I from 1 to N"), (["--range", "5"], "two whole numbers"),
        (["--range", "4:2"], "END after"), (["--merge"], "holds no ledger"),
        (["--range", "90:99"], "none of the batch's 7"), (["--task", "1/2", "--merge"], "give one of"),
        (["--device", "gpu"], "must be auto"), (["--name", "{nme}"], "there is no {nme}"),
    ],
)  # fmt: skip
def test_wrong_options_are_named_at_once(jobs, tmp_path, capsys, words, message):
    assert main(["batch", str(jobs), "--out", str(tmp_path / "out"), *words]) == 4
    assert message in capsys.readouterr().err


def test_scenes_are_rendered_by_blender_with_the_camera_frame_and_size_asked_for(repository, tmp_path):
    pytest.importorskip("bpy", reason="Blender's module (bpy) is not installed")
    scene = str(repository / "examples" / "cabinet.blend")
    entries = [
        {"scene": scene, "name": "own", "outputs": "mp4|sheet"}, {"scene": scene, "name": "sized", "size": "96x64"},
        {"scene": scene, "name": "blind", "camera": "none"}, {"scene": scene, "name": "late", "frame": 9},
    ]  # fmt: skip
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, entries)))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "puppet_master.backend", "batch", str(tmp_path / "jobs.jsonl"), "--out", str(out)]
    done = subprocess.run([*command, *ONE_WORKER, "--json"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 3, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(event["outcome"] for event in events if event["event"] == "still") == ["done"] * 3 + ["failed"]
    lines = {line["name"]: line for line in read_lines(out / "ledger.jsonl")}
    assert 'has no camera "none"; its cameras are camera' in lines["blind"]["message"]
    assert lines["own"]["size"] == [256, 256] and lines["sized"]["size"] == [96, 64]
    assert lines["own"]["drag_count"] == 3 and lines["own"]["device"] == "cpu float32"
    moved = _first_frame(out / "own.mp4").astype(int)
    assert moved.shape == (256, 256, 3) and moved.std() > 20
    assert (out / "own.sheet.png").stat().st_size > 50_000

# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of a batch: what is made, what is left alone, and that nothing is lost or done twice whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from batch_toy_stills import write_scene
from batch_toys import run_toys, toy_wanted
from puppet_master.backend.batch.job_file import read_jobs
from puppet_master.backend.batch.layout import WORK, Layout
from puppet_master.backend.batch.naming import TEMPLATE
from puppet_master.backend.batch.places import LocalPlaces, choose_device
from puppet_master.backend.batch.plan import lay_out
from puppet_master.backend.batch.records import known_lines
from puppet_master.backend.batch.run import run
from puppet_master.backend.errors import InputError, OutputError, RequirementError
from puppet_master.backend.registry import CARD, EMBEDDED
from puppet_master.backend.workers import pool
from puppet_master.backend.workers.ledger_file import read_lines

TOYS = Path(__file__).resolve().parents[2] / "batch_toys.py"


@pytest.fixture
def write_jobs(tmp_path):
    def write(*jobs, **document):
        path = tmp_path / "jobs.json"
        path.write_text(json.dumps({"version": 1, "jobs": list(jobs), **document}))
        return path

    return write


@pytest.fixture
def scenes(tmp_path):
    """Three scenes of two previews each."""
    paths = [write_scene(tmp_path / f"shot{n}.blend", grey=40 * n) for n in range(3)]
    return [{"scene": str(path), "seed": "0:2"} for path in paths]


def made(tmp_path) -> int:
    """How many previews the toys have made so far."""
    log = tmp_path / "toys.log"
    return len(log.read_text().split()) if log.exists() else 0


def ledger(out: Path) -> dict[str, dict]:
    return {line["name"] or line["key"]: line for line in read_lines(out / "ledger.jsonl")}


def test_a_batch_of_scenes_becomes_previews_sidecars_and_a_ledger(write_jobs, scenes, tmp_path):
    out = tmp_path / "out"
    summary = run_toys(write_jobs(*scenes, defaults={"outputs": ["mp4", "gif", "png", "sheet"]}), out)
    assert (summary.outcomes["done"], summary.made, summary.exit_code) == (6, 6, 0)
    for name, line in ledger(out).items():
        assert line["outcome"] == "done" and line["size"] == [24, 16]
        assert set(line["files"]) == {f"{name}{end}" for end in (".mp4", ".gif", ".frames", ".sheet.png")}
        sidecar = json.loads((out / f"{name}.json").read_text())
        assert sidecar["batch"]["digest"] == line["digest"] and sidecar["preview"]["drags"][0]["name"] == "part"
        assert len(list((out / f"{name}.frames").glob("*.png"))) == 4
    assert not list((out / WORK).rglob("*.partial")) and not list(Layout(out).records.iterdir())


def test_a_scene_is_rendered_once_for_all_its_previews(write_jobs, scenes, tmp_path):
    events = []
    run_toys(write_jobs(*scenes), tmp_path / "out", events.append)
    stills = [event for event in events if event["event"] == "still"]
    assert [(event["outcome"], event["previews"]) for event in stills] == [("done", 2)] * 3


def test_a_rerun_makes_what_is_missing_or_changed_and_nothing_else(write_jobs, scenes, tmp_path):
    out = tmp_path / "out"
    jobs = write_jobs(*scenes)
    run_toys(jobs, out)
    assert run_toys(jobs, out).made == 0
    (out / "shot0_seed1.mp4").unlink()
    (out / "shot1_seed0.mp4").write_bytes(b"cut off")
    write_scene(tmp_path / "shot2.blend", grey=250)  # changes two
    assert run_toys(jobs, out).made == 4
    assert run_toys(jobs, out).exit_code == 0
    assert made(tmp_path) == 6 + 4
    assert run_toys(jobs, out, force=True).made == 6


def test_bad_jobs_spoil_no_other(write_jobs, scenes, tmp_path):
    out = tmp_path / "out"
    not_blend = tmp_path / "text.blend"
    not_blend.write_text("hello")
    bad = [
        {"scene": str(tmp_path / "nowhere.blend")},
        {"scene": str(not_blend)},
        {"seed": 1},
        "not a job",
        {"scene": scenes[0]["scene"], "camera": "x", "sed": 1},
        {"scene": scenes[0]["scene"], "name": "shot0_seed0"},  # the name of another's files
        {"scene": str(write_scene(tmp_path / "blind.blend", does="no camera"))},
        {"scene": str(write_scene(tmp_path / "broken.blend", does="crash"))},
    ]
    summary = run_toys(write_jobs(*bad, *scenes), out)
    assert (summary.outcomes["done"], summary.outcomes["failed"], summary.outcomes["invalid"]) == (6, 2, 6)
    assert summary.exit_code == 3
    lines = ledger(out)
    assert "cannot read the scene" in lines["nowhere"]["message"]
    assert "is not a .blend file" in lines["text"]["message"]
    assert 'either "still" (an image) or "scene"' in lines["#2"]["message"]
    assert "must be an object" in lines["#3"]["message"]
    assert "unknown field 'sed'" in lines["#4"]["message"]
    assert "has no camera" in lines["blind"]["message"] and lines["blind"]["kind"] == "input"
    assert "SIGSEGV" in lines["broken"]["message"]


def test_two_job_files_may_share_a_folder(write_jobs, scenes, tmp_path):
    out = tmp_path / "out"
    for jobs, made in (([scenes[0]], 2), ([scenes[1]], 2), ([scenes[0]], 0), (scenes[:2], 0)):
        assert run_toys(write_jobs(*jobs), out).made == made
    assert len(ledger(out)) == 4


def test_two_previews_of_one_name_are_told_apart_from_the_first(write_jobs, scenes, tmp_path):
    summary = run_toys(write_jobs(scenes[0], {**scenes[0], "seed": 0, "name": "SHOT0_seed0"}), tmp_path / "out")
    assert (summary.outcomes["done"], summary.outcomes["invalid"]) == (2, 1)
    assert "as those of jobs.json, job 1" in ledger(tmp_path / "out")["SHOT0_seed0"]["message"]


@pytest.mark.parametrize(
    "does, words",
    [
        ("crash", "SIGSEGV"), ("raise", "ZeroDivisionError: no frames a second"), ("refuse", "the toy refuses"),
        ("too large", "does not fit into memory (CUDA out of memory"),
    ],
)  # fmt: skip
def test_what_fails_is_said_and_is_tried_again_only_on_request(write_jobs, scenes, tmp_path, does, words):
    out = tmp_path / "out"
    bad = {"scene": str(write_scene(tmp_path / "bad.blend", drag=does))}
    jobs = write_jobs(bad, scenes[0])
    assert run_toys(jobs, out).exit_code == 3
    assert words in ledger(out)["bad"]["message"]
    assert run_toys(jobs, out).made == 0
    assert run_toys(jobs, out, retry_failed=True).made == 1


def test_of_a_run_s_lines_the_last_counts_whatever_the_clocks_of_disk_and_computer_say(tmp_path):
    lines = [
        {"key": "a", "outcome": "failed", "when": 99.0}, {"key": "a", "outcome": "done", "when": 1.0},
        {"key": "b", "outcome": "done", "when": None}, {"key": "b", "outcome": "of another version"},
    ]  # fmt: skip
    (tmp_path / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert {key: line["outcome"] for key, line in known_lines(tmp_path).items()} == {"a": "done", "b": "done"}


def test_a_preview_that_crashes_its_process_costs_no_other_of_its_task(write_jobs, tmp_path):
    drag = {"points": [{"t": 0, "x": 0.2, "y": 0.5}, {"t": 1, "x": 0.6, "y": 0.5}], "name": "crash"}
    scene = str(write_scene(tmp_path / "a.blend"))
    bad = {"scene": scene, "name": "bad", "drags": [drag]}
    jobs = write_jobs(bad, *({"scene": scene, "name": f"good{n}", "seed": n} for n in range(5)))
    summary = run_toys(jobs, tmp_path / "out", workers=1)
    assert (summary.outcomes["done"], summary.outcomes["failed"]) == (5, 1)
    bad_line = ledger(tmp_path / "out")["bad"]
    assert bad_line["outcome"] == "failed" and made(tmp_path) == 5
    assert bad_line["message"].startswith("crashed: the model's process was ended at generate by")


@pytest.mark.parametrize("does", ["crash once", "lost card"])
def test_what_only_a_fresh_process_can_do_is_done_by_one(write_jobs, tmp_path, does):
    job = {"scene": str(write_scene(tmp_path / "a.blend", drag=does)), "seed": "0:3"}
    assert run_toys(write_jobs(job), tmp_path / "out").exit_code == 0


def test_nothing_done_at_all_has_a_code_of_its_own(write_jobs, tmp_path):
    assert run_toys(write_jobs({"still": "nowhere.png"}), tmp_path / "out").exit_code == 12


def test_a_graphics_card_that_is_gone_leaves_its_work_to_the_others(write_jobs, scenes, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "gone,1")
    monkeypatch.setattr("puppet_master.backend.batch.places._torch_has_cuda", lambda: True)
    plan = lay_out(read_jobs(str(write_jobs(*scenes))), TEMPLATE)
    events, out = [], tmp_path / "out"
    wanted = toy_wanted(tmp_path / "toys.log", workers=0, device="auto")
    summary = run(plan, Layout(out), lambda blender: LocalPlaces(wanted, blender), events.append)
    assert summary.exit_code == 0 and summary.made == 6
    assert ["finds no CUDA" in event["message"] for event in events if event["event"] == "worker"] == [True]


def test_the_last_graphics_card_to_go_ends_the_run_and_the_ledger_stays_true(write_jobs, scenes, tmp_path, monkeypatch):
    out, jobs = tmp_path / "out", write_jobs(*scenes)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "gone")
    plan = lay_out(read_jobs(str(jobs)), TEMPLATE)
    wanted = toy_wanted(tmp_path / "toys.log", workers=0, device="cuda")
    with pytest.raises(RequirementError, match="finds no CUDA"):
        run(plan, Layout(out), lambda blender: LocalPlaces(wanted, blender), lambda event: None)
    assert ledger(out) == {}
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert run_toys(jobs, out).exit_code == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_model_too_large_for_the_machine_spoils_no_other_s_previews(write_jobs, scenes, tmp_path, workers):
    out, large = tmp_path / "out", tmp_path / "large"
    large.mkdir()
    shutil.copy(EMBEDDED / "tiny" / CARD, large)
    scene = scenes[0]["scene"]
    jobs = write_jobs({"scene": scene, "name": "heavy", "model": str(large), "seed": "0:3"}, *scenes)
    summary = run_toys(jobs, out, workers=workers)
    assert (summary.outcomes["done"], summary.outcomes["failed"], summary.exit_code) == (6, 3, 3)
    assert "needs 80.0 GiB" in ledger(out)["heavy_seed2"]["message"] and made(tmp_path) == 6
    assert run_toys(jobs, out).made == 0
    with pytest.raises(RequirementError, match="needs 80"):  # alone they may be kept back by anything
        run_toys(jobs, out, retry_failed=True)


def test_a_device_is_chosen_once_and_for_all(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert choose_device("cuda") == ("cuda", ("2", "3"))
    assert choose_device("cuda:1") == ("cuda", ("3",))
    assert choose_device("cpu") == ("cpu", ())
    with pytest.raises(InputError, match="must be auto, cpu, cuda"):
        choose_device("gpu")
    with pytest.raises(InputError, match="there are 2 graphics cards"):
        choose_device("cuda:2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert choose_device("auto") == ("cpu", ())
    with pytest.raises(InputError, match=r"CUDA_VISIBLE_DEVICES is empty.*--device cpu"):
        choose_device("cuda")


def test_a_preview_that_hangs_is_ended_and_names_the_option_for_more_time(write_jobs, tmp_path):
    still = write_scene(tmp_path / "shot.blend", grey=40)
    points = [{"t": 0, "x": 0.5, "y": 0.5}, {"t": 1, "x": 0.6, "y": 0.5}]
    drags = [[{"name": name, "points": points}] for name in ("hang", "part")]
    jobs = write_jobs(*({"scene": str(still), "drags": own, "name": own[0]["name"]} for own in drags))
    wanted, out = toy_wanted(tmp_path / "toys.log", time_limit=3.0), Layout(tmp_path / "out")
    plan = lay_out(read_jobs(str(jobs)), TEMPLATE)
    summary = run(plan, out, lambda blender: LocalPlaces(wanted, blender), lambda event: None)
    assert summary.exit_code == 3 and ledger(tmp_path / "out")["part"]["outcome"] == "done"
    message = ledger(tmp_path / "out")["hang"]["message"]
    assert message.startswith("time limit: ") and message.endswith(" took over 3 s; --time-limit allows more")


def test_a_driver_that_hangs_is_said_in_words(monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexec sleep 20\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(pool, "DRIVER_S", 0.2)
    with pytest.raises(RequirementError, match="the driver hangs"):
        choose_device("auto")


def test_killed_at_any_moment_a_batch_is_completed_by_the_same_command(write_jobs, tmp_path):
    """SIGKILL again and again, to the run alone: its workers end with it."""
    jobs = [
        {"scene": str(write_scene(tmp_path / f"s{n}.blend", drag="slow", grey=9 * n)), "seed": "0:5"} for n in range(4)
    ]
    path, out = write_jobs(*jobs), tmp_path / "out"
    command = [sys.executable, str(TOYS), str(path), str(out)]
    for moment in (1, 5, 4):  # previews after which it is killed
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        seen = 0
        for line in process.stdout:
            seen += json.loads(line)["event"] == "preview"
            if seen >= moment:
                process.kill()
                break
        process.wait()
        process.stdout.close()
        deadline = time.monotonic() + 10
        names = [line["name"] for line in read_lines(out / "ledger.jsonl")]
        assert len(names) >= moment and len(names) == len(set(names))
        while not _unlocked(out) and time.monotonic() < deadline:
            time.sleep(0.05)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert Counter(line["outcome"] for line in ledger(out).values()) == {"done": 20}
    # A preview in the making when the run was killed is made again; what was made never is.
    assert 20 <= made(tmp_path) <= 20 + 3 * 2


def _unlocked(out: Path) -> bool:
    import fcntl

    with Layout(out).lock.open("a+b") as stream:
        try:
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def test_a_second_run_in_the_same_folder_is_turned_away(write_jobs, scenes, tmp_path):
    out, jobs = tmp_path / "out", write_jobs(*scenes)

    def begin_another(event):
        if event["event"] == "preview" and event["done"] == 1:
            with pytest.raises(OutputError, match="another run is at work"):
                run_toys(jobs, out)

    assert run_toys(jobs, out, begin_another).exit_code == 0


def test_sigterm_ends_it_in_order_and_the_rest_is_made_later(write_jobs, tmp_path):
    scene = write_scene(tmp_path / "a.blend", drag="slow")
    jobs, out = write_jobs({"scene": str(scene), "seed": "0:12"}), tmp_path / "out"
    script = f"""
import sys
import batch_toys
from pathlib import Path
from puppet_master.backend.batch import command
from puppet_master.backend.cli import main
command.Wanted = lambda *_, **__: batch_toys.toy_wanted(Path({str(tmp_path / "toys.log")!r}))
sys.exit(main(["batch", {str(jobs)!r}, "--out", {str(out)!r}, "--json"]))
"""
    environment = {**os.environ, "PYTHONPATH": str(TOYS.parent)}
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
    for line in process.stdout:
        if json.loads(line)["event"] == "preview":
            process.send_signal(signal.SIGTERM)
            break
    rest = process.stdout.read()
    assert process.wait(30) == 130
    assert json.loads(rest.splitlines()[-1])["error"]["kind"] == "cancelled"
    assert run_toys(jobs, out).exit_code == 0
    assert len(ledger(out)) == 12


def test_a_full_disk_ends_the_run_and_what_is_done_stays_done(write_jobs, scenes, tmp_path):
    """A limit on the size of files is what a full disk looks like to a program."""
    noise = {"scene": str(write_scene(tmp_path / "noise.blend", noise=True)), "size": "128x128", "outputs": "sheet"}
    out = tmp_path / "out"
    run_toys(write_jobs(scenes[0], noise), out)
    jobs = write_jobs(scenes[0], {**noise, "outputs": "png"}, {**scenes[0], "seed": "2:4"})
    script = f"""
import resource, runpy, signal, sys
sys.argv[1:] = [{str(jobs)!r}, {str(out)!r}, "1"]
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
runpy.run_path({str(TOYS)!r}, run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 7, done.stderr
    assert "cannot write" in done.stderr and "noise" in done.stderr and "make room" in done.stderr
    assert {ledger(out)[name]["outcome"] for name in ("shot0_seed0", "shot0_seed1")} == {"done"}
    assert not list(Layout(out).staging.iterdir())
    assert run_toys(jobs, out).exit_code == 0
    assert len(ledger(out)) == 5 and (out / "noise.frames" / "0003.png").exists()

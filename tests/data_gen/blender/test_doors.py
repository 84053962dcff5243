# SPDX-License-Identifier: GPL-3.0-or-later
"""The data commands in a Python that has only what Blender's own has: the standard library, numpy and bpy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import bpy
import pytest
from puppet_master.backend.shards import ShardFolder
from puppet_master.data_gen.blender import command, doors

# What an environment with the package installed has and Blender's Python has not.
ABSENT = (
    "PIL", "accelerate", "av", "click", "cv2", "diffusers", "fastapi", "httpx", "huggingface_hub", "objaverse",
    "psutil", "pydantic", "ray", "requests", "rich", "scipy", "skimage", "sklearn", "torch", "tqdm", "typer",
    "uvicorn", "webdataset",
)  # fmt: skip
BLOCKER = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""
BACKGROUND = Path(command.__file__).with_name("background.py")


@pytest.fixture
def bare(tmp_path):
    """Run a data command in a Python without the modules in `ABSENT`, and so its workers."""
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "sitecustomize.py").write_text(BLOCKER)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "bare")}

    def run(*words):
        with subprocess.Popen(
            [sys.executable, str(BACKGROUND), "--", *map(str, words)], cwd=tmp_path, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            out, err = process.stdout.read(), process.stderr.read()
            return process.wait(120), out, err

    return run


def test_without_any_pip_package_clips_are_rendered_and_reported(bare, tmp_path):
    order = ("render", "--procedural", "laptop:1", "--out", tmp_path / "set", "--size", 48, "--frames", 4)
    code, out, err = bare(*order, "--workers", 1, "--passes", "depth,flow,part,normal", "--json")
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["clips"] == 1
    assert set(ShardFolder(tmp_path / "set").load(0).passes) == {"depth", "flow", "part", "normal"}
    code, out, err = bare("report", tmp_path / "set", "--json")
    assert code == 0, err
    assert json.loads(out)["bytes"] == (tmp_path / "set" / "report.html").stat().st_size


def test_without_any_pip_package_files_are_judged(bare, tmp_path):
    (tmp_path / "broken.glb").write_bytes(b"glTF")
    code, out, _ = bare("filter", "broken.glb", "--out", "set")
    assert code == 3
    assert "1 damaged" in out


@pytest.mark.parametrize(
    "words",
    [
        ("fetch", "ids.txt", "--out", "x"),
        ("train-filter", "labels.csv"),
        ("export", "x"),
        ("filter", "a.glb", "--judge-url=http://127.0.0.1:1"),
        ("render", "a.glb", "--ray", "auto"),
    ],
)
def test_what_needs_more_says_what_to_run_instead(bare, words):
    code, _, err = bare(*words)
    assert code == 8
    assert f"run: puppet-master data {' '.join(words)}" in err


def test_the_exit_codes_are_those_of_the_command_line(bare, tmp_path):
    assert bare("render", "--procedural", "dragon:1", "--out", "x")[0] == 4
    assert bare("render", "--views", "many", "--procedural", "lamp:1", "--out", "x")[0] == 4
    assert bare("render", "--no-such-option")[0] == 2
    assert bare("dance")[0] == 2
    (tmp_path / "file").write_text("")
    assert bare("render", "--procedural", "lamp:1", "--out", "file/below")[0] == 7


def test_the_process_ends_in_order_when_its_parent_is_gone(tmp_path):
    process = subprocess.Popen(
        [sys.executable, str(BACKGROUND), "--", "render", "--procedural", "laptop:50", "--out", "set", "--json"],
        cwd=tmp_path, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        while '"stage"' not in process.stdout.readline():
            assert process.poll() is None
        process.stdin.close()
        process.stdout.read()
        assert process.wait(30) == 130
        assert "error: interrupted after" in process.stderr.read()


def test_the_command_of_blender_leads_to_the_same_doors(scene, capsys, tmp_path):
    assert command.main(["data", "render", "--procedural", "dragon:1", "--out", str(tmp_path)]) == 4
    assert "is called 'dragon'" in capsys.readouterr().err
    assert command.main(["data", "render", "--help"]) == 0
    assert "usage: blender --command puppet_master data render" in capsys.readouterr().out
    assert command.main(["data"]) == 0
    assert command.main(["--version"]) == 0
    assert command.main(["date"]) == 2
    assert "there is no command 'date'" in capsys.readouterr().err


def test_scene_without_a_file_is_the_file_that_was_opened(scene, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(doors, "main", lambda arguments, program: seen.append(arguments) or 0)
    assert command.main(["data", "render", "--scene", "--out", "x"]) == 0
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    for words in (["--scene", "--out", "x"], ["--out", "x", "--scene"], ["--scene", "other.blend"]):
        assert command.main(["data", "render", *words]) == 0
    shot = str(tmp_path / "shot.blend")
    assert seen == [
        ["render", "--scene", "--out", "x"],
        ["render", "--scene", shot, "--out", "x"],
        ["render", "--out", "x", "--scene", shot],
        ["render", "--scene", "other.blend"],
    ]

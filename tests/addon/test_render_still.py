# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that turns a .blend into a still and a drag file, run as others run it."""

import json
import os
import subprocess
import sys

import bpy
import pytest
from PIL import Image
from puppet_master.addon import handles
from puppet_master.backend.protocol import Drag, DragPoint, load_drags

MODULE = ("-m", "puppet_master.addon.render_still")
DRAGS = [
    Drag("lid", (DragPoint(0.0, 0.25, 0.5), DragPoint(1.0, 0.75, 0.4))),
    Drag("pin", (DragPoint(0.0, 0.1, 0.9), DragPoint(1.0, 0.1, 0.9)), "smooth"),
]


@pytest.fixture
def run(tmp_path):
    def run(*arguments, program=MODULE, **environment):
        command = [sys.executable, *program, *map(str, arguments)]
        environment = {**os.environ, **environment}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path
        )

    return run


@pytest.fixture
def blend(scene, tmp_path):
    for drag in DRAGS:
        handles.add_drag(scene, drag)
    path = tmp_path / "scene.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    return path


def last_json(text):
    return json.loads(text.strip().splitlines()[-1])


@pytest.mark.parametrize("by_path", [False, True], ids=["as a module", "by its path"])
def test_a_scene_becomes_a_still_and_a_drag_file(run, blend, tmp_path, repository, by_path):
    program = (str(repository / "addon" / "render_still.py"),) if by_path else MODULE
    done = run(blend, "--out", tmp_path / "out", program=program)
    assert done.returncode == 0, done.stderr
    summary = last_json(done.stdout)
    assert summary["still"] == str(tmp_path / "out" / "still.png")
    assert (summary["width"], summary["height"], summary["engine"]) == (64, 48, "BLENDER_WORKBENCH")
    with Image.open(summary["still"]) as image:
        assert (image.mode, image.size) == ("RGBA", (64, 48))
    assert load_drags(tmp_path / "out" / "drags.json") == DRAGS
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["drags.json", "still.png"]


def test_a_size_can_be_asked_for(run, blend, tmp_path):
    done = run(blend, "--out", tmp_path / "out", "--size", "40x20")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out" / "still.png") as image:
        assert image.size == (40, 20)


def test_a_scene_without_drags_gives_an_empty_drag_file(run, scene, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "bare.blend"))
    assert run("bare.blend", "--out", "out").returncode == 0
    assert load_drags(tmp_path / "out" / "drags.json") == []


def refused(done, kind, code, *parts):
    error = last_json(done.stderr)["error"]
    assert (done.returncode, error["kind"]) == (code, kind)
    assert "\n" not in error["message"]
    for part in parts:
        assert part in error["message"]


def test_a_scene_without_camera_is_refused(run, scene, tmp_path):
    scene.camera = None
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "blind.blend"))
    refused(run("blind.blend", "--out", "out"), "input", 4, 'scene "Scene" has no camera')
    assert not (tmp_path / "out").exists()


def test_a_stored_drag_that_is_not_valid_is_refused_before_rendering(run, scene, tmp_path):
    handles.add_drag(scene, DRAGS[0]).points.clear()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "bad.blend"))
    refused(run("bad.blend", "--out", "out"), "input", 4, 'drag "lid" has 0 point(s)')
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_scenes_are_refused_by_name(run, tmp_path):
    (tmp_path / "junk.blend").write_bytes(b"junk")
    refused(run("junk.blend", "--out", "out"), "input", 4, "junk.blend")
    refused(run("gone.blend", "--out", "out"), "input", 4, "gone.blend does not exist")


def test_an_output_that_cannot_be_written_is_named(run, blend, tmp_path):
    (tmp_path / "file").write_text("")
    refused(run(blend, "--out", "file/out"), "output", 7, "cannot create the folder file/out")


def test_wrong_usage_exits_with_2(run):
    done = run("scene.blend", "--out", "out", "--size", "40")
    assert done.returncode == 2
    assert "'40' is not a size like 256x256" in done.stderr


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("ModuleNotFoundError(\"No module named 'bpy'\", name='bpy')", ("not installed", "pip install")),
        (
            "ImportError('libSM.so.6: cannot open shared object file: No such file or directory')",
            ("libSM.so.6", "apt-get install", "libsm6"),
        ),
    ],
)
def test_a_blender_that_cannot_be_loaded_is_explained(run, tmp_path, fault, words):
    (tmp_path / "bpy.py").write_text(f"raise {fault}\n")
    refused(run("scene.blend", "--out", "out", PYTHONPATH=str(tmp_path)), "requirement", 8, *words)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can lack OpenGL")
def test_workbench_without_an_opengl_driver_is_refused_instead_of_aborting(run, blend):
    done = run(blend, "--out", "out", __EGL_VENDOR_LIBRARY_DIRS="/nonexistent")
    refused(done, "requirement", 8, "no OpenGL driver", "libegl-mesa0", "Cycles")

# SPDX-License-Identifier: GPL-3.0-or-later
"""From a scene with drags to a preview on the camera, through the real backend and the embedded model."""

import os
import signal
from pathlib import Path

import bpy
import pytest
from PIL import Image
from puppet_master.addon import backend_link, handles, jobs, operators
from puppet_master.addon.jobs import State
from puppet_master.backend.errors import BackendError, Cancelled, RequirementError
from puppet_master.backend.protocol import Drag, DragPoint

LID = Drag("lid", (DragPoint(0.0, 0.5, 0.5), DragPoint(1.0, 0.7, 0.5)))
START_S = 120.0  # a cold start of the backend on a busy machine


@pytest.fixture
def ready(scene, embedded_model):
    """A scene with a drag and the settings of a quick preview."""
    settings = scene.puppet_master
    handles.add_drag(scene, LID)
    settings.use_model_defaults = False
    settings.frames, settings.steps, settings.seed = 4, 2, 3
    return scene


def check_result(scene):
    folder = Path(scene.puppet_master.result_folder)
    frames = sorted((folder / "frames").iterdir())
    assert len(frames) == 4
    with Image.open(frames[0]) as image:
        assert image.size == (64, 48)
    entry = scene.camera.data.background_images[0]
    assert entry.image.source == "SEQUENCE"
    assert Path(entry.image.filepath) == frames[0]
    assert entry.image_user.frame_start == scene.frame_current


def test_a_script_gets_the_preview_when_the_operator_returns(ready, tmp_path):
    ready.frame_set(12)
    assert bpy.ops.puppet_master.preview() == {"FINISHED"}
    check_result(ready)
    folder = Path(ready.puppet_master.result_folder)
    assert folder.parent == tmp_path / "previews"
    assert (folder / "preview.json").is_file()
    assert (folder / "preview.mp4").stat().st_size > 0
    assert ready.puppet_master.result_frame == 12


def test_the_window_gets_the_preview_by_and_by(ready, until):
    job = operators.new_job(ready)
    jobs.start(job)
    assert not job.state.final
    assert ready.puppet_master.result_folder == ""
    until(lambda: jobs.tick() is None, START_S)
    assert job.text() == "Done"
    check_result(ready)


def test_a_backend_killed_in_mid_job_fails_it_with_the_reason(ready, until):
    ready.puppet_master.steps = 1000
    job = operators.new_job(ready)
    jobs.start(job)
    until(lambda: jobs.tick() and job.progress > 0, START_S)
    os.kill(backend_link._process.pid, signal.SIGKILL)
    until(lambda: jobs.tick() is None)
    assert job.state is State.FAILED
    assert isinstance(job.error, BackendError)
    assert "killed by signal SIGKILL" in str(job.error)
    assert ready.puppet_master.result_folder == ""


def test_after_its_backend_died_the_next_preview_starts_another(scene, until):
    def connect():
        return backend_link.connect(operators.preferences.backend_python(), None, lambda: False)

    first = connect().health()["pid"]
    assert connect().health()["pid"] == first
    os.kill(first, signal.SIGKILL)
    until(lambda: backend_link._process.why_stopped())
    assert connect().health()["pid"] != first


def test_a_start_can_be_cancelled(scene):
    with pytest.raises(Cancelled):
        backend_link.connect(operators.preferences.backend_python(), None, lambda: True)


def test_a_python_without_the_backend_is_named(scene, tmp_path):
    python = str(tmp_path / "python")
    bpy.context.preferences.addons["puppet_master"].preferences.backend_python = python
    with pytest.raises(RuntimeError, match=f"cannot start the backend with the Python at {python}"):
        bpy.ops.puppet_master.preview()
    assert scene.puppet_master.result_folder == ""


def test_a_blender_without_a_chosen_python_says_where_to_choose_it(scene, monkeypatch):
    monkeypatch.setattr(operators.preferences, "RUNS_AS_MODULE", False)
    with pytest.raises(RequirementError, match="Preferences > Add-ons > Puppet Master"):
        operators.new_job(scene)


def test_a_wrong_drag_is_refused_before_anything_is_rendered(scene, tmp_path):
    handles.add_drag(scene, LID).points[1].t = 0.0
    with pytest.raises(RuntimeError, match='drag "lid", point 1'):
        bpy.ops.puppet_master.preview()
    assert not (tmp_path / "previews").exists()


def test_the_request_says_what_the_scene_says(scene):
    handles.add_drag(scene, LID)
    settings = scene.puppet_master
    settings.seed, settings.model = 9, "other"
    request = operators.request_of(scene, b"png")
    assert (request.drags, request.seed, request.model) == ((LID,), 9, "other")
    assert (request.frames, request.steps, request.guidance) == (None, None, None)
    settings.use_model_defaults = False
    settings.frames, settings.steps = 8, 5
    settings.guidance_first, settings.guidance_last = 1.5, 2.5
    request = operators.request_of(scene, b"png")
    assert (request.frames, request.steps, request.guidance) == (8, 5, (1.5, 2.5))

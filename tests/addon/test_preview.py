# SPDX-License-Identifier: GPL-3.0-or-later
"""From a scene with drags to a preview on the camera, through the real backend and the embedded model."""

import os
import signal
from pathlib import Path

import bpy
import pytest
from PIL import Image
from puppet_master.addon import backend_link, handles, jobs, models, outcome, pace, preferences, preview_operators
from puppet_master.addon.jobs import State
from puppet_master.backend.errors import BackendError
from puppet_master.backend.protocol import Drag, DragPoint

LID = Drag("lid", (DragPoint(0.0, 0.5, 0.5), DragPoint(1.0, 0.7, 0.5)))
MADE_S = 300.0  # for a backend started cold on a busy machine


@pytest.fixture
def ready(lasting_scene, embedded_model):
    """A scene with a drag and the settings of a quick preview."""
    scene = lasting_scene
    settings = scene.puppet_master
    settings.drags.clear()
    settings.result_folder = ""
    scene.frame_set(1)
    handles.add_drag(scene, LID)
    settings.use_model_defaults = False
    settings.frames, settings.steps, settings.seed = 4, 2, 3
    scene.puppet_master_preview.quality = models.CUSTOM
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


def test_a_script_gets_the_preview_when_the_operator_returns(ready):
    ready.frame_set(12)
    assert bpy.ops.puppet_master.preview() == {"FINISHED"}
    check_result(ready)
    folder = Path(ready.puppet_master.result_folder)
    assert (folder / "preview.json").is_file()
    assert (folder / "preview.mp4").stat().st_size > 0
    assert ready.puppet_master.result_frame == 12


def test_names_in_any_script_do_no_harm(ready, tmp_path):
    before = preferences.own().output_folder
    preferences.own().output_folder = str(tmp_path / "Büro 予告 é")
    try:
        ready.puppet_master.drags[0].name = "Türe 扉"
        bpy.ops.puppet_master.preview()
        check_result(ready)
        folder = Path(ready.puppet_master.result_folder)
        assert folder.parent == tmp_path / "Büro 予告 é"
        assert outcome.of_scene(ready)[0].name == "Türe 扉"
    finally:
        preferences.own().output_folder = before


def test_the_window_gets_the_preview_by_and_by(ready, until):
    (job,) = preview_operators.new_jobs(ready)
    jobs.start(job)
    assert not job.state.final
    assert ready.puppet_master.result_folder == ""
    until(lambda: jobs.tick() is None, MADE_S)
    assert job.text() == "Done"
    check_result(ready)
    entry = ready.puppet_master_preview.history[-1]
    assert (entry.frame, entry.camera, entry.about) == (1, "Camera", "tiny, 4 frames, 1 drag")


def test_no_call_of_the_addon_holds_the_main_thread_over_50_ms(ready, until):
    pace.forget()
    (job,) = preview_operators.new_jobs(ready)
    jobs.start(job)
    until(lambda: jobs.tick() is None, MADE_S)
    times = pace.longest()
    assert {"preparing previews", "making requests", "following previews", "showing a result"} <= set(times)
    assert {what: seconds for what, seconds in times.items() if seconds > pace.LIMIT_S} == {}


def test_a_backend_killed_in_mid_job_fails_it_with_the_reason(ready, until, model_folder):
    ready.puppet_master.model, ready.puppet_master.steps = str(model_folder), 1000  # of a model that takes steps
    (job,) = preview_operators.new_jobs(ready)
    jobs.start(job)
    until(lambda: jobs.tick() and job.progress > 0, MADE_S)
    os.kill(backend_link._process.pid, signal.SIGKILL)
    until(lambda: jobs.tick() is None)
    assert job.state is State.FAILED
    assert isinstance(job.error, BackendError)
    assert "killed by signal SIGKILL" in str(job.error)
    assert ready.puppet_master.result_folder == ""


def test_what_waited_behind_a_crash_is_made_by_the_next_backend(ready, until, model_folder):
    backend_link.forgive()  # crashes of other tests
    settings = ready.puppet_master
    settings.model, settings.steps = str(model_folder), 1000
    (ran,) = preview_operators.new_jobs(ready)
    settings.model = "tiny"
    jobs.start(ran)
    until(lambda: jobs.tick() and ran.progress > 0, MADE_S)
    (waited,) = preview_operators.new_jobs(ready)
    jobs.start(waited)
    until(lambda: jobs.tick() and waited.state is State.QUEUED)
    first = backend_link.pid()
    os.kill(first, signal.SIGKILL)
    until(lambda: jobs.tick() is None, MADE_S)
    assert (ran.state, waited.state) == (State.FAILED, State.DONE), waited.text()
    assert backend_link.pid() != first


def loaded():
    return any(model["loaded"] for model in backend_link.client().health()["models"])


def test_weights_leave_memory_when_that_is_asked_for_and_before_renders_but_not_stills(ready, until):
    own = preferences.own()
    own.free_before_render = True
    ready.puppet_master.model = "tiny"
    bpy.ops.puppet_master.preview()
    assert loaded()
    bpy.ops.puppet_master.make_still()
    bpy.ops.puppet_master.preview()  # its still is a render too
    assert loaded()
    bpy.ops.render.render()
    until(lambda: not loaded())
    own.free_before_render, own.memory = False, "free"
    bpy.ops.puppet_master.preview()
    until(lambda: not loaded())
    own.memory = "keep"

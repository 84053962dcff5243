# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes before a preview: its request, what is refused, and the backend's starting and dying."""

import json
import os
import signal
from dataclasses import replace

import bpy
import pytest
from puppet_master.addon import (
    backend_link,
    backend_state,
    handles,
    models,
    preferences,
    preview_operators,
    scene_settings,
)
from puppet_master.addon.backend_link import Phase
from puppet_master.backend import registry
from puppet_master.backend.errors import BackendError, Cancelled, RequirementError
from puppet_master.backend.protocol import Drag, DragPoint

LID = Drag("lid", (DragPoint(0.0, 0.5, 0.5), DragPoint(1.0, 0.7, 0.5)))


def connect(should_stop=lambda: False):
    return backend_link.connect(preferences.backend_settings(), should_stop)


def kill(pid, until):
    os.kill(pid, signal.SIGKILL)
    until(lambda: backend_link._process is None or backend_link._process.why_stopped())


def test_a_backend_that_dies_is_started_again_once_and_then_only_when_asked(scene, until):
    first = connect().health()["pid"]
    assert connect().health()["pid"] == first
    kill(first, until)
    assert backend_link.phase()[0] is Phase.FAILED
    second = connect().health()["pid"]
    assert second != first
    kill(second, until)
    for _ in range(3):
        with pytest.raises(BackendError, match=r"SIGKILL.*ended 2 times in a row.*press Restart Backend"):
            connect()
    assert backend_link.pid() is None
    assert backend_state.refresh().state is backend_state.State.FAILED
    assert backend_state.shown().mend == "puppet_master.restart_backend"
    bpy.ops.puppet_master.restart_backend()
    assert backend_state.shown().state is backend_state.State.READY
    assert connect().health()["status"] in ("loading", "ok")


def test_a_preview_that_succeeds_makes_up_for_a_crash(scene, until):
    kill(connect().health()["pid"], until)
    connect()
    backend_link.note_success()
    kill(backend_link.pid(), until)
    assert connect().health()["pid"] == backend_link.pid()


def test_a_backend_with_other_settings_takes_the_place_of_an_idle_one(scene):
    first = connect().health()["pid"]
    bpy.context.preferences.addons["puppet_master"].preferences.memory = "free"
    assert "--unload" in preferences.backend_settings().arguments
    assert connect().health()["pid"] != first


def test_the_backend_is_started_and_stopped_by_buttons(scene):
    assert backend_state.refresh().state is backend_state.State.STOPPED
    bpy.ops.puppet_master.start_backend()
    assert backend_state.shown().state is backend_state.State.READY
    pid = backend_link.pid()
    bpy.ops.puppet_master.stop_backend()
    assert backend_state.shown().state is backend_state.State.STOPPED
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_start_can_be_cancelled(scene):
    with pytest.raises(Cancelled):
        connect(lambda: True)


def test_a_python_without_the_backend_is_named(scene, tmp_path):
    python = str(tmp_path / "python")
    bpy.context.preferences.addons["puppet_master"].preferences.backend_python = python
    with pytest.raises(RuntimeError, match=f"cannot start the backend with the Python at {python}"):
        bpy.ops.puppet_master.preview()
    assert scene.puppet_master.result_folder == ""


def test_a_blender_without_a_chosen_python_says_where_to_choose_it(scene, monkeypatch):
    monkeypatch.setattr(preferences, "RUNS_AS_MODULE", False)
    preferences.own().backend_python = ""
    with pytest.raises(RequirementError, match="Preferences > Add-ons > Puppet Master"):
        preview_operators.new_jobs(scene)
    assert backend_state.refresh().state is backend_state.State.NOT_INSTALLED
    assert backend_state.shown().mend == "puppet_master.install_backend"


def test_a_wrong_drag_is_refused_before_anything_is_rendered(scene, tmp_path):
    handles.add_drag(scene, LID).points[1].t = 0.0
    with pytest.raises(RuntimeError, match='drag "lid", point 1'):
        bpy.ops.puppet_master.preview()
    assert not (tmp_path / "previews").exists()


def test_the_request_says_what_the_scene_says(scene):
    handles.add_drag(scene, LID)
    settings = scene.puppet_master
    settings.seed = 9
    request = preview_operators.request_of(scene, b"png")
    assert (request.drags, request.seed, request.model) == ((LID,), 9, "tiny")
    assert (request.frames, request.steps, request.guidance) == (None, None, None)
    settings.use_model_defaults = False
    scene.puppet_master_preview.quality = models.CUSTOM
    settings.frames, settings.steps = 8, 5
    settings.guidance_first, settings.guidance_last = 1.5, 2.5
    request = preview_operators.request_of(scene, b"png")
    assert (request.frames, request.steps, request.guidance) == (8, 5, (1.5, 2.5))


def test_a_quality_is_the_preset_of_models_that_sample(scene, tmp_path):
    card = {**json.loads((registry.EMBEDDED / "tiny" / registry.CARD).read_text("utf-8")), "kind": "diffusion"}
    (tmp_path / "sampled").mkdir()
    (tmp_path / "sampled" / registry.CARD).write_text(json.dumps({**card, "steps": 25}))
    sampled = str(tmp_path / "sampled")
    qualities = ("DRAFT", "NORMAL", "FINAL", "CUSTOM")
    assert [models.preset_of(sampled, quality) for quality in qualities] == ["draft", None, "final", None]
    assert models.preset_of("tiny", "FINAL") is None  # one pass


def test_variations_take_seeds_in_turn_and_a_model_of_one_pass_makes_one(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(preview_operators.preferences, "backend_settings", lambda: backend_link.Settings("python"))
    scene.puppet_master_preview.variations = 3
    assert len(preview_operators.new_jobs(scene)) == 1
    known = models.look_up("tiny")
    monkeypatch.setattr(models, "look_up", lambda *_, **__: models.Known(replace(known.info, kind="diffusion")))
    scene.puppet_master.seed = 5
    made = preview_operators.new_jobs(scene)
    assert [job.request.seed for job in made] == [5, 6, 7]
    assert len({job.folder for job in made}) == 3
    assert scene.puppet_master.seed == 5
    scene.puppet_master_preview.seed_locked = False
    preview_operators.new_jobs(scene)
    assert scene.puppet_master.seed == 8


def test_a_model_that_is_not_there_is_refused_before_anything_is_rendered(scene, tmp_path):
    scene.puppet_master.model = "huge"
    with pytest.raises(RuntimeError, match="there is no model 'huge'"):
        bpy.ops.puppet_master.preview()
    assert not (tmp_path / "previews").exists()


def test_the_models_on_this_computer_are_offered_by_name(scene, tmp_path, monkeypatch, embedded_model):
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(tmp_path))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / registry.CARD).write_text("{}")
    settings = scene.puppet_master
    assert {embedded_model.name, "own"} <= set(scene_settings.model_names(settings, bpy.context, settings.model))
    settings.model = str(tmp_path / "own")  # a folder is taken too
    assert settings.model == str(tmp_path / "own")

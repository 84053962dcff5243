# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes before a preview: its request, what is refused, and the backend's starting and dying."""

import os
import signal

import bpy
import pytest
from puppet_master.addon import backend_link, handles, operators
from puppet_master.backend.errors import Cancelled, RequirementError
from puppet_master.backend.protocol import Drag, DragPoint

LID = Drag("lid", (DragPoint(0.0, 0.5, 0.5), DragPoint(1.0, 0.7, 0.5)))


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

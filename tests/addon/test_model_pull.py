# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloading and removing models from within Blender, by the backend's own command in a process of its own."""

from __future__ import annotations

import shutil
import time

import bpy
import pytest
from puppet_master.addon import background, install, model_pull, models
from puppet_master.backend import registry
from puppet_master.backend.published import SVD


@pytest.fixture
def folder(scene, tmp_path, monkeypatch):
    """The models' folder of this user."""
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "models"


def finish(task: background.Task) -> background.Task:
    """Follow a task to its end as the timer does."""
    deadline = time.monotonic() + 60.0
    while not task.poll():
        assert time.monotonic() < deadline, task.text()
        time.sleep(0.05)
    return task


def test_the_add_on_keeps_models_in_a_folder_of_its_own(scene, monkeypatch):
    bpy.ops.preferences.addon_disable(module="puppet_master")
    monkeypatch.delenv(registry.MODELS_VARIABLE, raising=False)
    bpy.ops.preferences.addon_enable(module="puppet_master")
    assert registry.models_folder().parts[-2:] == ("puppet_master", "models")


def test_nothing_is_downloaded_before_the_licences_are_accepted(folder):
    with pytest.raises(RuntimeError, match="the licences were not accepted"):
        bpy.ops.puppet_master.pull_model(name="svd")
    assert model_pull.task() is None and not folder.exists()


def test_a_model_is_downloaded_only_where_blender_may_go_online(folder, monkeypatch):
    monkeypatch.setattr(install, "LOOPBACK", ())
    if bpy.app.online_access:
        pytest.skip("this Blender may go online")
    with pytest.raises(RuntimeError, match=r"downloading a model needs the network.*Allow Online Access"):
        bpy.ops.puppet_master.pull_model(name="svd", accepted=True)


def test_a_download_tells_how_far_it_is_and_what_is_wrong_in_the_end(folder, hub, no_proxy):
    sizes = {file.path: 300_000 + number for number, file in enumerate(SVD.files)}
    hub.files.update({path: bytes(size) for path, size in sizes.items()})
    for file in SVD.files:
        hub.repositories.setdefault(file.repository.name, []).append(file.path)
    task = finish(model_pull.pull("svd", hub.url))
    assert {path for path, count in hub.asked.items() if count} >= set(sizes)
    assert task.share > 0 and task.error is not None
    assert "svd" in model_pull.missing() and registry.model_folders() == [registry.EMBEDDED / "tiny"]


def test_a_hub_without_the_model_is_named(folder, hub, no_proxy):
    task = finish(model_pull.pull("svd", hub.url))
    assert task.error is not None and task.error.kind == "network" and "has no" in str(task.error)


def test_a_model_that_was_downloaded_can_be_removed(folder):
    shutil.copytree(registry.EMBEDDED / "tiny", folder / "mine")
    models.measure().join()
    assert [model.is_embedded for model in models.measured()] == [True, False]
    assert bpy.ops.puppet_master.remove_model(name="mine", wait=True) == {"FINISHED"}
    models.measure().join()
    assert [model.name for model in models.measured()] == ["tiny"] and not (folder / "mine").exists()

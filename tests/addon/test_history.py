# SPDX-License-Identifier: GPL-3.0-or-later
"""The previews made of a scene: stored with it, found again after moves, used again, pruned."""

import dataclasses
import json
import shutil
from pathlib import Path

import bpy
import pytest
from PIL import Image
from puppet_master.addon import handles, history, models, preferences
from puppet_master.backend.errors import InputError
from puppet_master.backend.protocol import Drag, DragPoint, PreviewResult

LID = Drag("lid", (DragPoint(0.0, 0.25, 0.5), DragPoint(1.0, 0.75, 0.5)), "smooth")
MADE = PreviewResult(
    model="tiny", model_hash="0" * 64, drags=(LID,), frames=4, steps=12, guidance=(1.0, 3.0), seed=7,
    fit="letterbox", background=(1.0, 1.0, 1.0), size=(16, 12), model_size=(64, 64), still_sha256="0" * 64,
    device="cpu float32", threads=1,
)  # fmt: skip


@pytest.fixture
def make_result(tmp_path):
    def make(name, megabytes=0.0):
        folder = tmp_path / "shot_previews" / name
        (folder / "frames").mkdir(parents=True)
        for index in range(4):
            Image.new("RGB", (16, 12), (50 * index, 0, 0)).save(folder / "frames" / f"{index:04d}.png")
        (folder / "preview.json").write_text(json.dumps(MADE.to_json()))
        (folder / "preview.mp4").write_bytes(b"0" * int(megabytes * 1e6))
        return folder

    return make


def entries(scene):
    return list(scene.puppet_master_preview.history)


def test_a_preview_is_listed_with_what_made_it(scene, make_result):
    entry = history.add(scene, make_result("shot-1", 1.5), 12, "Camera")
    assert (entry.name, entry.frame, entry.camera) == ("shot-1", 12, "Camera")
    assert entry.about == "tiny, 4 frames, 12 steps, guidance 1 to 3, seed 7, 1 drag"
    assert entry.size == pytest.approx(1.5, abs=0.01)
    assert history.active(scene) == entry


def test_the_list_survives_saving_and_both_can_be_moved_together(scene, make_result, tmp_path):
    folder = make_result("shot-1")
    history.add(scene, folder, 3)
    assert entries(scene)[0].folder == str(folder)  # the file has no place yet
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert entries(scene)[0].folder == "//shot_previews/shot-1"
    moved = tmp_path / "elsewhere ü"
    moved.mkdir()
    shutil.copytree(tmp_path / "shot_previews", moved / "shot_previews")
    shutil.copy(tmp_path / "shot.blend", moved / "shot.blend")
    bpy.ops.wm.open_mainfile(filepath=str(moved / "shot.blend"))
    entry = entries(bpy.context.scene)[0]
    assert history.folder_of(entry) == moved / "shot_previews" / "shot-1"


def test_saving_elsewhere_keeps_leading_to_the_same_folders(scene, make_result, tmp_path):
    folder = make_result("shot-1")
    history.add(scene, folder, 3)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    (tmp_path / "deep" / "er").mkdir(parents=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "deep" / "er" / "copy.blend"), copy=True)
    assert history.folder_of(entries(scene)[0]) == folder
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "deep" / "er" / "moved.blend"))
    assert history.folder_of(entries(scene)[0]) == folder
    for name in ("copy", "moved"):
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "deep" / "er" / f"{name}.blend"))
        assert Path(history.folder_of(entries(bpy.context.scene)[0])).resolve() == folder


def test_using_its_settings_again_brings_back_drags_and_numbers(scene, make_result):
    history.add(scene, make_result("shot-1"), 3)
    bpy.ops.puppet_master.add_drag(name="other")
    bpy.ops.puppet_master.use_settings()
    settings = scene.puppet_master
    assert handles.drags_of(scene) == (LID,)
    assert (settings.model, settings.seed, settings.frames, settings.steps) == ("tiny", 7, 4, 12)
    assert (settings.guidance_first, settings.guidance_last) == (1.0, 3.0)
    assert not settings.use_model_defaults
    assert scene.puppet_master_preview.quality == models.CUSTOM
    bpy.ops.puppet_master.add_drag(name="kept")
    bpy.ops.puppet_master.use_settings(with_drags=False)
    assert [drag.name for drag in handles.drags_of(scene)] == ["lid", "kept"]


def test_settings_of_a_model_of_one_pass_leave_steps_and_quality_to_the_next_model(scene, make_result):
    folder = make_result("shot-1")
    (folder / "preview.json").write_text(json.dumps(dataclasses.replace(MADE, steps=1, guidance=(1.0, 1.0)).to_json()))
    history.add(scene, folder, 1)
    bpy.ops.puppet_master.use_settings()
    settings = scene.puppet_master
    assert (settings.frames, settings.steps, settings.guidance_last) == (4, 25, 3.0)
    assert scene.puppet_master_preview.quality == models.NORMAL


def test_settings_that_cannot_be_read_change_nothing(scene, make_result):
    folder = make_result("shot-1")
    history.add(scene, folder, 3)
    bpy.ops.puppet_master.add_drag(name="mine")
    (folder / "preview.json").write_text("{")
    with pytest.raises(RuntimeError, match=r"preview\.json cannot be read"):
        bpy.ops.puppet_master.use_settings()
    assert [drag.name for drag in handles.drags_of(scene)] == ["mine"]


def test_pruning_removes_the_oldest_until_the_rest_fits(scene, make_result):
    folders = [make_result(f"shot-{number}", 0.9) for number in range(4)]
    for folder in folders:
        history.add(scene, folder, 1)
    entries(scene)[0].keep = True
    bpy.ops.puppet_master.prune_history(megabytes=2)
    assert [entry.name for entry in entries(scene)] == ["shot-0", "shot-3"]
    assert [folder.exists() for folder in folders] == [True, False, False, True]


def test_pruning_without_preferences_keeps_to_the_usual_limit(scene, make_result, monkeypatch):
    folder = make_result("shot-1", 0.1)
    history.add(scene, folder, 1)
    monkeypatch.setattr(preferences, "_preferences", lambda: None)
    bpy.ops.puppet_master.prune_history()
    assert folder.is_dir()
    assert len(entries(scene)) == 1


def test_pruning_keeps_what_was_away_and_is_back(scene, make_result):
    folder = make_result("shot-1", 0.1)
    entry = history.add(scene, folder, 1)
    entry.missing, entry.size = True, 0.0
    assert history.prune(scene, 1.0) == 0
    assert folder.is_dir()
    assert not entries(scene)[0].missing


def test_removing_takes_results_of_ours_alone(scene, make_result):
    folder = make_result("shot-1")
    history.add(scene, folder, 1)
    (folder / "preview.json").unlink()  # whatever this is by now, it is no result of ours
    bpy.ops.puppet_master.remove_preview()
    assert entries(scene) == []
    assert folder.is_dir()


def test_refreshing_marks_what_is_gone_and_finds_what_is_there(scene, make_result, tmp_path):
    bpy.context.preferences.addons["puppet_master"].preferences.output_folder = str(tmp_path / "shot_previews")
    gone = make_result("untitled-20260101-120000")
    history.add(scene, gone, 1)
    shutil.rmtree(gone)
    make_result("untitled-20260101-120000-2")
    for other in ("someone-20260101-120000", "untitled-two-20260101-120000"):
        make_result(other)
    bpy.ops.puppet_master.refresh_history()
    assert [(entry.name, entry.missing) for entry in entries(scene)] == [
        ("untitled-20260101-120000", True), ("untitled-20260101-120000-2", False),
    ]  # fmt: skip
    with pytest.raises(RuntimeError, match="holds no preview"):
        scene.puppet_master_preview.active_entry = 0
        bpy.ops.puppet_master.load_result()


def test_a_linked_scenes_history_is_left_alone(scene, make_result, tmp_path):
    folder = make_result("shot-1")
    history.add(scene, folder, 1)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "layout.blend"), copy=True)
    with bpy.data.libraries.load(str(tmp_path / "layout.blend"), link=True) as (_, wanted):
        wanted.scenes = ["Scene"]
    bpy.context.window.scene = wanted.scenes[0]
    for name in ("load_result", "remove_preview", "prune_history", "refresh_history", "use_settings"):
        assert not getattr(bpy.ops.puppet_master, name).poll()
    with pytest.raises(RuntimeError, match='scene "Scene" is linked from another file: make it local'):
        bpy.ops.puppet_master.preview()
    bpy.context.window.scene = scene
    assert bpy.ops.puppet_master.prune_history.poll()
    assert folder.is_dir()


def test_an_empty_history_says_so(scene):
    with pytest.raises(InputError, match='scene "Scene" has no preview yet'):
        history.active(scene)
    assert not bpy.ops.puppet_master.prune_history.poll()

# SPDX-License-Identifier: GPL-3.0-or-later
"""The shot that is open becomes clips, and stays as it is."""

import hashlib
import json
import os

import bpy
import numpy as np
import pytest
from puppet_master.backend.shards import ShardFolder
from puppet_master.data_gen.blender import operators, runs


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def session():
    """Everything of the open file that a script can read, as text."""
    found = {}
    for kind in ("scenes", "objects", "meshes", "cameras", "lights", "actions", "materials", "worlds", "images"):
        for block in getattr(bpy.data, kind):
            for owner in (block, getattr(block, "render", None), getattr(block, "view_settings", None)):
                if owner is None:
                    continue
                for prop in owner.bl_rna.properties:
                    if prop.type not in ("POINTER", "COLLECTION") and prop.identifier not in ("tag", "use_nodes"):
                        value = getattr(owner, prop.identifier)
                        found[kind, block.name, prop.identifier, owner.bl_rna.name] = (
                            repr(list(value)) if getattr(prop, "is_array", False) else repr(value)
                        )
    found["selected"] = sorted(item.name for item in bpy.context.view_layer.objects if item.select_get())
    found["window"] = bpy.context.scene.name, bpy.context.mode, bpy.data.filepath, bpy.data.is_dirty
    return found


def test_the_open_shot_becomes_clips_and_stays_as_it_is(shot, tmp_path):
    shot.frame_set(7)
    file = tmp_path / "box.blend"
    saved, before = digest(file), session()
    assert bpy.ops.puppet_master.render_clips() == {"FINISHED"}
    assert session() == before
    assert digest(file) == saved
    folder = tmp_path / "datasets" / "box-001"
    clips = ShardFolder(folder)
    assert len(clips) == 2
    clip = clips.load(0)
    assert clip.frames.shape == (6, 64, 64, 4)
    assert clip.meta["viewpoint"] is None  # the shot's own camera
    assert clips.load(1).meta["viewpoint"] is not None
    assert clip.meta["asset"] == "box-scene"
    assert clip.meta["source"] == "box.blend"
    assert not list(tmp_path.glob("**/puppet-master-clips-*"))
    moved = np.linalg.norm(clip.tracks[:, -1] - clip.tracks[:, 0], axis=1)
    assert moved.max() > 0.1 and np.quantile(moved, 0.1) < 1e-4


def test_what_was_not_saved_is_in_the_clips(shot, tmp_path):
    bpy.data.objects["lid"].hide_render = True
    bpy.ops.puppet_master.render_clips()
    run = runs.current()
    assert run.progress.result() == "0 clips; turned away: static (1)"


def test_each_take_of_a_shot_gets_a_folder_of_its_own(shot, tmp_path):
    (tmp_path / "datasets" / "box-001").mkdir(parents=True)
    assert operators.dataset_folder(shot) == tmp_path / "datasets" / "box-002"


def test_assets_and_rigs_are_continued_where_they_were_left(shot, tmp_path):
    settings = shot.puppet_master_clips
    settings.source, settings.kind, settings.count = "PROCEDURAL", "laptop", 3
    (tmp_path / "datasets" / "laptop-3").mkdir(parents=True)
    assert operators.dataset_folder(shot) == tmp_path / "datasets" / "laptop-3"
    settings.source, settings.assets = "FILES", str(tmp_path / "box.blend")
    assert operators.dataset_folder(shot) == tmp_path / "datasets" / "box"


def test_procedural_rigs_and_the_report_on_them(shot, tmp_path):
    settings = shot.puppet_master_clips
    settings.source, settings.kind, settings.count, settings.views = "PROCEDURAL", "laptop", 1, 1
    bpy.ops.puppet_master.render_clips()
    folder = tmp_path / "datasets" / "laptop-1"
    assert len(ShardFolder(folder)) == 1
    bpy.ops.puppet_master.open_clip_report()
    assert "laptop" in (folder / "report.html").read_text("utf-8")


def test_files_that_are_damaged_are_a_result_and_no_error(shot, tmp_path):
    broken = tmp_path / "broken.glb"
    broken.write_bytes(b"glTF\x02\x00\x00\x00")
    settings = shot.puppet_master_clips
    settings.source, settings.assets = "FILES", str(broken)
    bpy.ops.puppet_master.render_clips()
    assert runs.current().state is runs.State.PARTLY
    line = json.loads((runs.current().folder / "ledger.jsonl").read_text("utf-8").splitlines()[-1])
    assert line["outcome"] == "damaged"


@pytest.mark.parametrize(
    ("assets", "words"), [("", "choose Files"), ("/nowhere/a.glb", "choose Files: '/nowhere/a.glb' is no file")]
)
def test_files_that_are_not_there_are_named_before_anything_starts(shot, assets, words):
    shot.puppet_master_clips.source, shot.puppet_master_clips.assets = "FILES", assets
    with pytest.raises(RuntimeError, match=words):
        bpy.ops.puppet_master.render_clips()


def test_an_output_folder_that_cannot_be_made_is_named(shot, tmp_path):
    (tmp_path / "file").write_text("")
    shot.puppet_master_clips.out = str(tmp_path / "file" / "below")
    with pytest.raises(RuntimeError, match=r"cannot create the folder .*/file/below/box-001"):
        bpy.ops.puppet_master.render_clips()


def test_a_folder_beside_an_unsaved_file_is_refused(shot):
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.context.scene.puppet_master_clips.out = "//clips"
    with pytest.raises(RuntimeError, match="has no place yet; save it first"):
        bpy.ops.puppet_master.render_clips()


def test_without_an_output_folder_datasets_go_to_the_users(shot, tmp_path, monkeypatch):
    shot.puppet_master_clips.out = ""
    monkeypatch.setenv("BLENDER_USER_DATAFILES", str(tmp_path / "user"))
    assert operators.dataset_folder(shot) == tmp_path / "user" / "puppet_master" / "clips" / "box-001"


def test_a_report_before_any_dataset_is_refused(shot):
    with pytest.raises(RuntimeError, match=r"there is no dataset in .*; render clips first"):
        bpy.ops.puppet_master.open_clip_report()


def test_the_report_is_about_the_newest_dataset(shot, tmp_path):
    for number, name in enumerate(("new", "old")):
        ledger = tmp_path / "datasets" / name / "ledger.jsonl"
        ledger.parent.mkdir(parents=True)
        ledger.write_text("")
        os.utime(ledger, (0, 1000 - number))
    assert operators.newest_dataset(tmp_path / "datasets").name == "new"


def test_images_that_only_the_session_holds_are_mentioned(shot):
    image = bpy.data.images.new("painted", 4, 4)
    image.pixels[0] = 0.5
    image.update()
    run = operators.new_run(shot)
    assert run.notes == ("images not saved are missing from the clips: painted; save or pack them",)

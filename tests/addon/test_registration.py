# SPDX-License-Identifier: GPL-3.0-or-later
"""Enabling and disabling the add-on, and where it looks for its settings."""

import sys
from pathlib import Path

import bpy
import pytest
from puppet_master.addon import preferences
from puppet_master.backend.errors import InputError, OutputError

ADDON = "puppet_master"


def names():
    """What the add-on adds to Blender's types and operators."""
    types = {name for name in dir(bpy.types) if name.upper().startswith(("PUPPET", "PUPPETMASTER"))}
    on_scene = [name for name in ("puppet_master", "puppet_master_clips") if hasattr(bpy.types.Scene, name)]
    return types, set(dir(bpy.ops.puppet_master)), on_scene


@pytest.fixture
def blender():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    yield
    bpy.ops.preferences.addon_disable(module=ADDON)


def test_the_addon_comes_and_goes_without_a_trace_more_than_once(blender):
    before = names()
    assert before == (set(), set(), [])
    seen = []
    for _ in range(2):
        bpy.ops.preferences.addon_enable(module=ADDON)
        seen.append(names())
        bpy.ops.preferences.addon_disable(module=ADDON)
        assert names() == before
    assert seen[0] == seen[1]
    types, operators, on_scene = seen[0]
    assert on_scene == ["puppet_master", "puppet_master_clips"]
    stills = {"make_still", "use_image", "use_render_result", "open_still", "match_model_size"}
    drags = {"add_drag", "add_pin", "remove_drag", "add_point", "move_points", "place_point", "select_points"}
    drags |= {"delete_points", "duplicate_drags", "mirror_drags", "enable_drags", "set_ease", "rename_drag"}
    drags |= {"stick_start", "handle_mouse", "grab_handles", "handle_key", "handle_hover", "use_handle_tool"}
    drags |= {"drags_from_animation"}
    previews = {"preview", "cancel", "retry", "clear_jobs", "load_result"}
    playback = {"play", "show_in_image_editor", "compare", "send_to_sequencer", "export", "use_settings", "open_folder"}
    history = {"refresh_history", "remove_preview", "prune_history"}
    backend = {"install_backend", "verify_backend", "uninstall_backend", "cancel_install", "start_backend"}
    backend |= {"stop_backend", "restart_backend", "measure_models", "open_log", "copy_report"}
    clips = {"render_clips", "cancel_clips", "open_clip_report"}
    assert stills | drags | previews | playback | history | backend | clips <= operators
    panels = {f"PUPPETMASTER_PT_{name}" for name in ("still", "drags", "preview", "playback", "history", "clips")}
    panels |= {f"PUPPETMASTER_PT_image_{name}" for name in ("still", "drags", "preview", "playback")}
    assert panels <= types


def test_everything_the_user_can_point_at_has_a_tooltip(scene):
    bpy.ops.puppet_master.add_drag()
    settings = scene.puppet_master
    drag = settings.drags[0]
    preferences = bpy.context.preferences.addons[ADDON].preferences
    shown = [owner.bl_rna for owner in (settings, settings.still, drag, drag.points[0], scene.puppet_master_clips)]
    operators = [getattr(bpy.ops.puppet_master, name).get_rna_type() for name in dir(bpy.ops.puppet_master)]
    bare = [operator.identifier for operator in operators if not operator.description]
    shown.append(scene.puppet_master_preview.bl_rna)
    shown.append(scene.puppet_master_preview.history.add().bl_rna)
    inherited = set(bpy.types.AddonPreferences.bl_rna.properties.keys()) | {"bl_idname"}
    own = [prop for prop in preferences.bl_rna.properties if prop.identifier not in inherited]
    own += [prop for owner in (*shown, *operators) for prop in owner.properties]
    lists = {"rna_type", "drags", "points", "still", "history"}
    bare += [prop.identifier for prop in own if prop.identifier not in lists and not prop.description]
    assert bare == []


def test_the_running_python_runs_the_backend_unless_another_is_chosen(scene):
    bpy.context.preferences.addons[ADDON].preferences.backend_python = ""
    assert preferences.backend_python() == sys.executable
    bpy.context.preferences.addons[ADDON].preferences.backend_python = "/opt/other/bin/python"
    assert preferences.backend_python() == "/opt/other/bin/python"


def test_results_go_to_blenders_user_folder_unless_another_is_chosen(scene, tmp_path, monkeypatch):
    assert preferences.output_folder() == tmp_path / "previews"
    bpy.context.preferences.addons[ADDON].preferences.output_folder = ""
    monkeypatch.setenv("BLENDER_USER_DATAFILES", str(tmp_path / "user"))
    folder = preferences.output_folder()
    assert folder.is_dir()
    assert folder.parts[-2:] == ("puppet_master", "previews")
    assert Path(__file__).parents[2] not in folder.parents


def test_results_of_a_saved_file_go_beside_it(scene, tmp_path):
    own = bpy.context.preferences.addons[ADDON].preferences
    own.output_folder = "//elsewhere"
    with pytest.raises(InputError, match="which has no place yet; save it first"):
        preferences.output_folder()
    own.output_folder = ""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "Türe über.blend"))
    assert preferences.output_folder() == tmp_path / "Türe über_previews"


def test_an_output_folder_that_cannot_be_made_is_named(scene, tmp_path):
    (tmp_path / "file").write_text("")
    bpy.context.preferences.addons[ADDON].preferences.output_folder = str(tmp_path / "file" / "sub")
    with pytest.raises(OutputError, match=r"cannot create the folder .*/file/sub: "):
        preferences.output_folder()

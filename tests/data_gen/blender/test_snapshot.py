# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy of the session: it holds everything, and the session does not notice."""

import hashlib

import bmesh
import bpy
import pytest
from puppet_master.backend.errors import OutputError
from puppet_master.data_gen.blender.snapshot import copy_caches, save_snapshot, title, unsaved_images


def cube(name="Cube"):
    bpy.ops.mesh.primitive_cube_add(size=1.0)
    bpy.context.object.name = name
    return bpy.context.object


@pytest.fixture
def shot(scene, tmp_path):
    """A saved .blend with a texture and a linked object beside it, and an edit that is not saved."""
    folder = tmp_path / "project"
    folder.mkdir()
    image = bpy.data.images.new("wood", 4, 4)
    image.filepath_raw, image.file_format = str(folder / "wood.png"), "PNG"
    image.save()
    bpy.data.images.remove(image)
    bpy.data.libraries.write(str(folder / "kit.blend"), {cube("chair")})
    bpy.data.objects.remove(bpy.data.objects["chair"])
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "shot.blend"))
    with bpy.data.libraries.load("//kit.blend", link=True, relative=True) as (_, wanted):
        wanted.objects = ["chair"]
    scene.collection.objects.link(wanted.objects[0])
    bpy.data.images.load("//wood.png").use_fake_user = True
    cube().location.x = 1
    bpy.ops.wm.save_mainfile()
    bpy.data.objects["Cube"].location.x = 7
    return folder / "shot.blend"


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def opened(path):
    bpy.ops.wm.open_mainfile(filepath=str(path), load_ui=False)


def test_unsaved_edits_are_in_the_copy_and_not_in_the_file(shot, tmp_path):
    before = digest(shot)
    copy = save_snapshot(tmp_path)
    assert digest(shot) == before
    assert copy == tmp_path / "shot.blend"
    opened(copy)
    assert bpy.data.objects["Cube"].location.x == 7
    opened(shot)
    assert bpy.data.objects["Cube"].location.x == 1


def test_an_edit_in_progress_is_in_the_copy(shot, tmp_path):
    item = bpy.data.objects["Cube"]
    bpy.ops.object.mode_set(mode="EDIT")
    mesh = bmesh.from_edit_mesh(item.data)
    mesh.verts.ensure_lookup_table()
    mesh.verts[0].co.x = 9
    copy = save_snapshot(tmp_path)
    assert bpy.context.mode == "EDIT_MESH"
    opened(copy)
    assert bpy.data.objects["Cube"].data.vertices[0].co.x == 9


def test_the_session_does_not_notice(shot, tmp_path):
    def state():
        scene, layer = bpy.context.scene, bpy.context.view_layer
        return {
            "file": bpy.data.filepath, "dirty": bpy.data.is_dirty, "frame": scene.frame_current,
            "engine": scene.render.engine, "output": scene.render.filepath,
            "selected": [item.name for item in layer.objects if item.select_get()], "active": layer.objects.active.name,
            "paths": [image.filepath for image in bpy.data.images] + [kit.filepath for kit in bpy.data.libraries],
            "preferences": bpy.context.preferences.is_dirty,
            "previews": bpy.context.preferences.filepaths.file_preview_type,
        }  # fmt: skip

    before = state()
    save_snapshot(tmp_path)
    assert state() == before


def test_paths_beside_the_file_lead_to_the_same_files_from_the_copy(shot, tmp_path):
    away = tmp_path / "elsewhere" / "deep"
    away.mkdir(parents=True)
    opened(save_snapshot(away))
    image, kit = bpy.data.images["wood.png"], bpy.data.libraries[0]
    assert shot.with_name("wood.png").samefile(bpy.path.abspath(image.filepath))
    assert shot.with_name("kit.blend").samefile(bpy.path.abspath(kit.filepath))
    assert len(bpy.data.objects["chair"].data.vertices) == 8


def test_what_others_do_at_a_save_is_not_done_for_the_copy(shot, tmp_path):
    seen = []

    def note(*_):
        seen.append(1)

    bpy.app.handlers.save_pre.append(note)
    save_snapshot(tmp_path)
    assert seen == []
    assert list(bpy.app.handlers.save_pre) == [note]


def test_handlers_and_preferences_come_back_also_after_a_failure(shot, tmp_path):
    bpy.app.handlers.save_post.append(print)
    with pytest.raises(OutputError, match=r"cannot write a copy of the scene to .*gone.*shot\.blend"):
        save_snapshot(tmp_path / "gone" / "away")
    assert list(bpy.app.handlers.save_post) == [print]
    assert bpy.context.preferences.filepaths.file_preview_type != "NONE"


def test_a_file_that_was_never_saved_has_a_title_too(scene, tmp_path):
    cube()
    assert save_snapshot(tmp_path).name == "untitled.blend"
    assert bpy.data.filepath == ""


def test_with_several_scenes_the_title_says_which(shot):
    bpy.context.scene.name = "take 2"
    bpy.data.scenes.new("other")
    assert title() == "shot-take_2"


def test_the_copy_opens_with_the_scene_of_the_window(shot, tmp_path):
    other = bpy.data.scenes.new("other")
    bpy.context.window.scene = other
    copy = save_snapshot(tmp_path)
    opened(copy)
    assert bpy.context.scene.name == "other"


def test_simulations_baked_to_disk_come_along(shot, tmp_path):
    caches = shot.with_name("blendcache_shot")
    caches.mkdir()
    (caches / "cloth_000001_00.bphys").write_bytes(b"baked")
    copy = tmp_path / "copy.blend"
    copy_caches(shot, copy)
    assert (tmp_path / "blendcache_copy" / "cloth_000001_00.bphys").read_bytes() == b"baked"


def test_without_baked_simulations_nothing_is_copied(shot, tmp_path):
    copy_caches(shot, tmp_path / "copy.blend")
    assert not (tmp_path / "blendcache_copy").exists()


def test_painted_images_that_only_the_session_holds_are_named(scene):
    bpy.data.images.new("plain", 4, 4)
    painted = bpy.data.images.new("painted", 4, 4)
    painted.pixels[0] = 0.5
    painted.update()
    assert unsaved_images() == ["painted"]

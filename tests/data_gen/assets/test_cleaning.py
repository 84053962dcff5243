# SPDX-License-Identifier: GPL-3.0-or-later
"""What is filmed of a file: what its renders show, and evaluated as it is rendered."""

from __future__ import annotations

import bpy
import pytest
from damaged_files import add_box, turn
from puppet_master.data_gen.assets import open_asset
from puppet_master.data_gen.geometry import Geometry
from puppet_master.data_gen.reasons import Rejection


def reopen(tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    return open_asset(tmp_path / "scene.blend")


def names(source):
    return sorted(item.name for item in source.objects)


def into_collection(item, name, **settings):
    """Move an object into a collection of its own."""
    scene = bpy.context.scene
    collection = bpy.data.collections.new(name)
    scene.collection.children.link(collection)
    scene.collection.objects.unlink(item)
    collection.objects.link(item)
    for key, value in settings.items():
        setattr(collection, key, value)
    return bpy.context.view_layer.layer_collection.children[name]


def test_what_renders_do_not_show_is_not_filmed(tmp_path):
    turn(add_box("seen"))
    add_box("hidden").hide_render = True
    into_collection(add_box("in hidden"), "hidden things", hide_render=True)
    into_collection(add_box("in excluded"), "excluded things").exclude = True
    add_box("empty").data.clear_geometry()
    rig = bpy.data.objects.new("rig", bpy.data.armatures.new("rig"))
    bpy.context.scene.collection.objects.link(rig)
    assert names(reopen(tmp_path)) == ["seen"]


def test_what_only_the_viewport_hides_is_filmed(tmp_path):
    turn(add_box("seen"))
    add_box("eye closed").hide_set(True)
    add_box("screen off").hide_viewport = True
    into_collection(add_box("collection off"), "things", hide_viewport=True)
    source = reopen(tmp_path)
    assert names(source) == ["collection off", "eye closed", "screen off", "seen"]
    shown = Geometry.of(source.play(0).objects, bpy.context.evaluated_depsgraph_get())
    assert sorted(shown.names) == names(source)


def test_cameras_lights_and_bone_shapes_are_not_filmed(tmp_path):
    scene = bpy.context.scene
    bpy.ops.object.armature_add()
    rig = bpy.context.object
    shape = add_box("WGT-bone")
    rig.pose.bones[0].custom_shape = shape
    turn(add_box("seen"))
    lamp = bpy.data.objects.new("lamp", bpy.data.lights.new("lamp", "SUN"))
    scene.collection.objects.link(lamp)
    eye = bpy.data.objects.new("eye", bpy.data.cameras.new("eye"))
    scene.collection.objects.link(eye)
    scene.camera, scene.world = eye, bpy.data.worlds.new("sky")
    assert names(reopen(tmp_path)) == ["seen"]
    assert bpy.data.objects["lamp"].hide_render and bpy.data.objects["WGT-bone"].hide_render
    assert bpy.context.scene.camera is None and bpy.context.scene.world is None


def test_the_surface_that_is_evaluated_is_the_one_that_is_rendered(tmp_path):
    item = add_box("seen")
    turn(item)
    fine = item.modifiers.new("fine", "SUBSURF")
    fine.levels, fine.render_levels = 0, 1
    off = item.modifiers.new("off in renders", "ARRAY")
    off.count, off.show_render = 5, False
    bpy.context.scene.render.use_simplify = True
    bpy.context.scene.render.simplify_subdivision = 0
    source = reopen(tmp_path)
    assert source.meta["triangles"] == 12 * 3 * 2  # each triangle becomes three quads


def test_instances_are_seen_and_counted(tmp_path):
    box = add_box("box")
    collection = bpy.data.collections.new("prop")
    collection.objects.link(box)
    bpy.context.scene.collection.objects.unlink(box)
    for number in range(3):
        copy = bpy.data.objects.new(f"copy {number}", None)
        copy.instance_type, copy.instance_collection = "COLLECTION", collection
        copy.location.x = 4 * number
        bpy.context.scene.collection.objects.link(copy)
        turn(copy)
    source = reopen(tmp_path)
    assert names(source) == ["copy 0", "copy 1", "copy 2"]
    assert (source.meta["vertices"], source.meta["triangles"]) == (24, 36)


def test_curves_and_texts_count_as_surfaces(tmp_path):
    text = bpy.data.objects.new("words", bpy.data.curves.new("words", "FONT"))
    text.data.body, text.data.extrude = "ab", 0.2
    bpy.context.scene.collection.objects.link(text)
    turn(text)
    source = reopen(tmp_path)
    assert names(source) == ["words"] and source.meta["triangles"] > 0
    assert source.play(0).meta["size"] > 0.5


def test_a_part_that_pops_up_later_is_filmed(tmp_path):
    turn(add_box("seen"))
    late = add_box("late")
    for frame, hidden in ((1, True), (12, False)):
        late.hide_render = hidden
        late.keyframe_insert("hide_render", frame=frame)
    bpy.context.scene.frame_set(1)
    assert names(reopen(tmp_path)) == ["late", "seen"]


def test_what_a_file_says_of_rendering_is_undone(tmp_path):
    turn(add_box("seen"))
    render = bpy.context.scene.render
    render.use_border, render.frame_map_new, render.pixel_aspect_x = True, 200, 2.0
    render.use_motion_blur, render.resolution_percentage = True, 50
    reopen(tmp_path)
    render = bpy.context.scene.render
    assert not render.use_border and not render.use_motion_blur and not render.use_compositing
    assert (render.frame_map_new, render.pixel_aspect_x) == (100, 1.0)


def painted(name, image):
    """A material whose base colour comes from an image."""
    material = bpy.data.materials.new(name)
    tree = material.node_tree
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    shader = next(item for item in tree.nodes if item.type == "BSDF_PRINCIPLED")
    shader.inputs["Base Color"].default_value = (1, 0.5, 0, 1)
    tree.links.new(node.outputs["Color"], shader.inputs["Base Color"])
    return material


def test_missing_textures_are_counted_and_shown_plain(tmp_path):
    item = add_box("seen")
    turn(item)
    lost = bpy.data.images.new("lost", 4, 4)
    lost.source, lost.filepath = "FILE", "//lost.png"
    there = bpy.data.images.new("there", 4, 4)
    there.pack()
    for material in (painted("without", lost), painted("with", there)):
        item.data.materials.append(material)
    source = reopen(tmp_path)
    assert (source.meta["missing_textures"], source.meta["materials"]) == (1, 2)
    assert source.play(0).meta["missing_textures"] == 1
    without, with_image = bpy.data.materials["without"], bpy.data.materials["with"]
    assert tuple(without.diffuse_color) == pytest.approx((1, 0.5, 0, 1))
    assert not [node for node in without.node_tree.nodes if node.type == "TEX_IMAGE"]
    assert with_image.node_tree.nodes.active.image.name == "there"


def test_a_scene_whose_only_mesh_is_hidden_holds_nothing_to_see(tmp_path):
    item = add_box("hidden")
    turn(item)
    item.hide_render = True
    with pytest.raises(Rejection, match=r"no mesh: scene\.blend holds 1 objects"):
        reopen(tmp_path)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts that stick to surfaces: they follow frames, deformation and cameras, and fall back when they cannot."""

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector
from puppet_master.addon import anchors, handles, still_status, surface
from puppet_master.addon.projection import camera_view
from puppet_master.backend.protocol import Drag, DragPoint

PULL = Drag("pull", (DragPoint(0.0, 0.55, 0.45), DragPoint(1.0, 0.8, 0.4)))
PIN = Drag("pin", (DragPoint(0.0, 0.45, 0.55), DragPoint(1.0, 0.45, 0.55)))


def start_of(item):
    return item.points[0].x, item.points[0].y


def seen(scene, place):
    """Where Blender says a world place is seen, origin top-left."""
    x, y, _ = world_to_camera_view(scene, scene.camera, Vector(place))
    return x, 1.0 - y


@pytest.fixture
def stuck(scene):
    """A drag stuck to the cube's front, which is 3.5 away."""
    item = handles.add_drag(scene, PULL)
    assert anchors.stick(scene, item)
    return item


def cube():
    return bpy.data.objects["Cube"]


def test_a_start_on_a_surface_knows_object_triangle_and_weights(scene, stuck):
    assert (stuck.anchor, stuck.anchor_name, stuck.anchor_state) == (cube(), "Cube", "STUCK")
    assert sum(stuck.anchor_weights) == pytest.approx(1.0)
    assert min(stuck.anchor_weights) >= 0.0
    assert stuck.anchor_triangles == 12
    point = surface.SurfacePoint(cube(), stuck.anchor_triangle, 12, tuple(stuck.anchor_weights))
    place = surface.world_place(still_status.depsgraph_of(scene), point)
    assert place[1] == pytest.approx(-0.5, abs=1e-6)
    assert seen(scene, place) == pytest.approx((0.55, 0.45), abs=1e-5)


def test_sticking_does_not_change_the_position(scene, stuck):
    anchors.refresh(scene)
    assert handles.drags_of(scene) == (PULL,)


def test_a_start_beside_everything_lies_on_the_image(scene):
    item = handles.add_drag(scene, Drag("sky", (DragPoint(0, 0.05, 0.05), DragPoint(1, 0.2, 0.2))))
    assert not anchors.stick(scene, item)
    assert (item.anchor, item.anchor_state) == (None, "NONE")


def test_the_start_follows_a_moving_object_frame_by_frame_and_the_end_stays(scene, stuck):
    cube().keyframe_insert("location", frame=1)
    cube().location, cube().rotation_euler = (0.4, 0.1, 0.2), (0.1, 0.2, 0.3)
    cube().keyframe_insert("location", frame=11)
    cube().keyframe_insert("rotation_euler", frame=11)
    scene.frame_set(1)
    local = cube().matrix_world.inverted() @ Vector(_place(scene, stuck))
    for frame in (6, 11):
        scene.frame_set(frame)
        assert start_of(stuck) == pytest.approx(seen(scene, cube().matrix_world @ local), abs=1e-4)
    assert (stuck.points[1].x, stuck.points[1].y) == pytest.approx((0.8, 0.4))


def test_the_start_follows_the_deformed_mesh(scene):
    """A shape key moves the front; a modifier that adds faces does not confuse it."""
    cube().modifiers.new("Subdivision", "SUBSURF").levels = 2
    cube().shape_key_add(name="Basis")
    key = cube().shape_key_add(name="Moved")
    for point in key.data:
        point.co.x += 0.5
    key.value = 0.0
    item = handles.add_drag(scene, PULL)
    assert anchors.stick(scene, item)
    assert item.anchor_triangles > 12
    before = _place(scene, item)
    key.value = 1.0
    bpy.context.view_layer.update()
    assert start_of(item) == pytest.approx(seen(scene, before + np.array([0.5, 0.0, 0.0])), abs=1e-4)


def test_the_start_follows_when_the_camera_moves(scene, stuck):
    place = _place(scene, stuck)
    scene.camera.location.x += 0.3
    bpy.context.view_layer.update()
    assert start_of(stuck) == pytest.approx(seen(scene, place), abs=1e-4)


def test_a_stuck_pin_stays_a_pin(scene):
    item = handles.add_drag(scene, PIN)
    assert anchors.stick(scene, item)
    cube().location.x += 0.2
    bpy.context.view_layer.update()
    assert handles.to_drag(item).is_pin
    assert start_of(item) != pytest.approx((0.45, 0.55), abs=1e-3)


def test_a_deleted_object_leaves_the_start_where_it_was_and_says_so(scene, stuck):
    cube().location.x += 0.2
    bpy.context.view_layer.update()
    last = start_of(stuck)
    bpy.context.view_layer.objects.active = cube()
    bpy.ops.object.select_all(action="DESELECT")
    cube().select_set(True)
    bpy.ops.object.delete()
    bpy.context.view_layer.update()
    assert stuck.anchor_state == "GONE"
    assert stuck.anchor_name == "Cube"
    assert start_of(stuck) == last
    assert len(handles.drags_of(scene)) == 1


def test_a_removed_datablock_does_the_same(scene, stuck):
    bpy.data.objects.remove(cube())
    anchors.refresh(scene)
    assert (stuck.anchor, stuck.anchor_state, stuck.anchor_name) == (None, "GONE", "Cube")


def test_a_renamed_object_is_followed(scene, stuck):
    cube().name = "Würfel"
    bpy.data.objects["Würfel"].location.x += 0.2
    bpy.context.view_layer.update()
    assert (stuck.anchor_state, stuck.anchor_name) == ("STUCK", "Würfel")
    assert stuck.points[0].x != pytest.approx(0.55, abs=1e-3)


def test_a_mesh_with_other_triangles_leaves_the_start_where_it_was(scene, stuck):
    cube().modifiers.new("Subdivision", "SUBSURF")
    bpy.context.view_layer.update()
    assert stuck.anchor_state == "CHANGED"
    assert start_of(stuck) == pytest.approx((0.55, 0.45))
    cube().modifiers.clear()
    bpy.context.view_layer.update()
    assert stuck.anchor_state == "STUCK"


def test_a_hidden_object_and_one_out_of_view_leave_the_start_where_it_was(scene, stuck):
    cube().hide_viewport = True
    bpy.context.view_layer.update()
    assert stuck.anchor_state == "UNSEEN"
    cube().hide_viewport = False
    cube().location.x = 50.0
    bpy.context.view_layer.update()
    assert stuck.anchor_state == "UNSEEN"
    assert start_of(stuck) == pytest.approx((0.55, 0.45))


def test_what_renders_do_not_show_is_looked_through(scene):
    bpy.ops.mesh.primitive_plane_add(size=3.0, location=(0.0, -2.0, 0.0), rotation=(np.pi / 2, 0.0, 0.0))
    veil = bpy.context.object
    item = handles.add_drag(scene, PULL)
    anchors.stick(scene, item)
    assert item.anchor == veil
    veil.hide_render = True
    anchors.stick(scene, item)
    assert item.anchor == cube()


@pytest.mark.parametrize("offset", [0.1, 0.0])  # 0: where the cube itself would be
def test_a_start_on_a_collections_instance_follows_the_instance(scene, offset):
    bpy.data.collections.new("Shared").objects.link(cube())
    scene.collection.objects.unlink(cube())
    instance = bpy.data.objects.new("Copy", None)
    instance.instance_type, instance.instance_collection = "COLLECTION", bpy.data.collections["Shared"]
    instance.location.x = offset
    scene.collection.objects.link(instance)
    item = handles.add_drag(scene, PULL)
    assert anchors.stick(scene, item)
    assert (item.anchor, item.anchor_is_copy, item.anchor_state) == (instance, True, "STUCK")
    assert start_of(item) == pytest.approx((0.55, 0.45))
    before = _place(scene, item)
    instance.location.x += 0.2
    cube().location.z += 0.1
    bpy.context.view_layer.update()
    assert start_of(item) == pytest.approx(seen(scene, before + np.array([0.2, 0.0, 0.1])), abs=1e-4)
    instance.instance_type = "NONE"
    bpy.context.view_layer.update()
    assert item.anchor_state == "CHANGED"


def test_a_start_on_one_of_many_geometry_nodes_instances_follows_that_one(scene):
    bpy.data.objects.remove(cube())
    points = bpy.data.meshes.new("Points")
    points.from_pydata([(-0.6, 0.0, 0.0), (0.6, 0.0, 0.0)], [], [])
    scatter = bpy.data.objects.new("Scatter", points)
    scene.collection.objects.link(scatter)
    tree = bpy.data.node_groups.new("Scatter", "GeometryNodeTree")
    for direction in ("INPUT", "OUTPUT"):
        tree.interface.new_socket("Geometry", in_out=direction, socket_type="NodeSocketGeometry")
    kinds = ("NodeGroupInput", "NodeGroupOutput", "GeometryNodeInstanceOnPoints", "GeometryNodeMeshCube")
    begin, end, copies, box = (tree.nodes.new(kind) for kind in kinds)
    tree.links.new(begin.outputs[0], copies.inputs["Points"])
    tree.links.new(box.outputs[0], copies.inputs["Instance"])
    tree.links.new(copies.outputs[0], end.inputs[0])
    scatter.modifiers.new("Scatter", "NODES").node_group = tree
    item = handles.add_drag(scene, Drag("right", (DragPoint(0.0, 0.65, 0.5), DragPoint(1.0, 0.8, 0.4))))
    assert anchors.stick(scene, item)
    assert (item.anchor, item.anchor_is_copy) == (scatter, True)
    before = _place(scene, item)
    points.vertices[0].co.x -= 1.0  # the other one
    points.vertices[1].co.z += 0.1
    points.update()
    bpy.context.view_layer.update()
    assert start_of(item) == pytest.approx(seen(scene, before + np.array([0.0, 0.0, 0.1])), abs=1e-4)


def test_an_orthographic_camera_works_and_a_panoramic_one_leaves_the_image_position(scene):
    scene.camera.data.type = "ORTHO"
    item = handles.add_drag(scene, PULL)
    assert anchors.stick(scene, item)
    cube().location.x += 0.5
    bpy.context.view_layer.update()
    assert start_of(item)[0] - 0.55 == pytest.approx(0.5 / scene.camera.data.ortho_scale, abs=1e-5)
    scene.camera.data.type = "PANO"
    assert not anchors.stick(scene, item)
    scene.camera = None
    anchors.refresh(scene)
    assert not anchors.stick(scene, item)


def test_text_and_curves_have_surfaces_too(scene):
    if bpy.app.version < (4, 3, 0):
        pytest.skip("Blender 4.2's rays miss text")
    bpy.data.objects.remove(cube())
    bpy.ops.object.text_add(location=(-0.5, 0.0, -0.2), rotation=(np.pi / 2, 0.0, 0.0))
    bpy.context.object.data.body = "II"
    bpy.context.object.data.extrude = 0.1
    depsgraph = still_status.depsgraph_of(scene)
    view = camera_view(scene.camera, 64, 48)
    places = [(x, y) for x in np.linspace(0.4, 0.6, 40) for y in (0.45, 0.5)]
    hits = [surface.first_hit(scene, depsgraph, view.ray(*place)) for place in places]
    points = [surface.surface_point(depsgraph, hit) for hit in hits if hit]
    assert points
    for hit, point in zip([hit for hit in hits if hit], points, strict=True):
        np.testing.assert_allclose(surface.world_place(depsgraph, point), hit.place, atol=1e-4)


def test_stuck_starts_survive_saving_and_opening(scene, stuck, tmp_path):
    before = (stuck.anchor_triangle, tuple(stuck.anchor_weights))
    path = str(tmp_path / "stück.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.wm.open_mainfile(filepath=path)
    item = bpy.context.scene.puppet_master.drags[0]
    assert item.anchor == cube()
    assert (item.anchor_triangle, tuple(item.anchor_weights)) == before
    cube().location.x += 0.2
    bpy.context.view_layer.update()
    assert item.points[0].x > 0.56


def _place(scene, item):
    return surface.world_place(still_status.depsgraph_of(scene), anchors.anchor_of(item))

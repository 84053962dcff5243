# SPDX-License-Identifier: GPL-3.0-or-later
"""What is rendered, read as numbers: checked against Blender's own evaluated objects."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from puppet_master.data_gen.geometry import Geometry


def depsgraph() -> bpy.types.Depsgraph:
    graph = bpy.context.evaluated_depsgraph_get()
    graph.update()
    return graph


def everything() -> Geometry:
    return Geometry.of(None, depsgraph())


def cube(name: str, **place) -> bpy.types.Object:
    bpy.ops.mesh.primitive_cube_add(**place)
    item = bpy.context.object
    item.name = name
    return item


def area(geometry: Geometry) -> float:
    a, b, c = np.moveaxis(geometry.vertices[geometry.triangles].astype(float), 1, 0)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def test_a_scaled_and_moved_cube_has_its_world_corners_and_area(scene):
    cube("box", size=1, location=(1, 2, 3), scale=(2, 1, 1))
    geometry = everything()
    assert geometry.names == ("box",)
    assert geometry.vertices.dtype == np.float32 and geometry.triangles.dtype == np.int32
    assert geometry.triangles.shape == (12, 3) and (geometry.owner == 0).all()
    np.testing.assert_allclose(geometry.vertices.min(0), (0, 1.5, 2.5))
    np.testing.assert_allclose(geometry.vertices.max(0), (2, 2.5, 3.5))
    assert area(geometry) == pytest.approx(2 * (2 + 2 + 1))


@pytest.mark.parametrize("width", [1, -1])  # a mirrored object's normals point outwards too
def test_triangles_are_wound_as_blender_winds_them(scene, width):
    cube("box", size=2).scale.x = width
    geometry = everything()
    a, b, c = np.moveaxis(geometry.vertices[geometry.triangles], 1, 0)
    outward = (np.cross(b - a, c - a) * (a + b + c)).sum(1)
    assert (outward > 0).all()


def test_modifiers_are_applied_and_quads_and_polygons_split(scene):
    item = cube("round", size=2)
    item.modifiers.new("smooth", "SUBSURF").levels = 2
    bpy.ops.mesh.primitive_circle_add(vertices=7, fill_type="NGON", location=(5, 0, 0))
    geometry = everything()
    assert (geometry.owner == geometry.names.index("round")).sum() == 12 * 16
    assert (geometry.owner == geometry.names.index("Circle")).sum() == 5
    np.testing.assert_array_equal(geometry.vertex_owner[geometry.triangles[:, 0]], geometry.owner)


def test_what_is_not_rendered_is_left_out(scene):
    cube("seen")
    cube("object hidden").hide_render = True
    inside = cube("collection hidden")
    cellar = bpy.data.collections.new("cellar")
    scene.collection.children.link(cellar)
    cellar.objects.link(inside)
    inside.users_collection[0].objects.unlink(inside)
    for collection in list(inside.users_collection):
        if collection is not cellar:
            collection.objects.unlink(inside)
    cellar.hide_render = True
    scene.render.engine = "CYCLES"
    cube("camera blind").visible_camera = False
    bpy.ops.object.light_add()
    bpy.ops.object.empty_add()
    assert everything().names == ("seen",)


def test_only_the_given_objects_are_read(scene):
    wanted, _ = cube("wanted"), cube("other")
    assert Geometry.of([wanted], depsgraph()).names == ("wanted",)
    assert Geometry.of([], depsgraph()).triangles.shape == (0, 3)


def test_curves_texts_and_metaballs_are_the_meshes_they_turn_into(scene):
    bpy.ops.curve.primitive_bezier_circle_add()
    bpy.context.object.data.bevel_depth = 0.1
    bpy.ops.curve.primitive_bezier_curve_add()  # a bare line: nothing to see
    bpy.ops.object.text_add(location=(3, 0, 0))
    bpy.ops.object.metaball_add(location=(0, 5, 0))
    geometry = everything()
    assert sorted(geometry.names) == ["BézierCircle", "Mball", "Text"]
    assert (np.bincount(geometry.owner) > 10).all()


def test_instances_of_a_collection_are_items_of_their_own(scene):
    kit = bpy.data.collections.new("kit")
    source = cube("brick", size=1)
    kit.objects.link(source)
    scene.collection.objects.unlink(source)
    for name, x in (("left", -3.0), ("right", 3.0)):
        empty = bpy.data.objects.new(name, None)
        empty.instance_type, empty.instance_collection, empty.location = "COLLECTION", kit, (x, 0, 0)
        scene.collection.objects.link(empty)
    geometry = everything()
    assert sorted(geometry.names) == ["left/brick/0", "right/brick/0"]
    for name, x in (("left/brick/0", -3), ("right/brick/0", 3)):
        mine = geometry.vertices[geometry.vertex_owner == geometry.names.index(name)]
        np.testing.assert_allclose(mine.mean(0), (x, 0, 0), atol=1e-6)
    assert Geometry.of([bpy.data.objects["left"]], depsgraph()).names == ("left/brick/0",)


def test_instances_made_by_geometry_nodes_are_read(scene):
    carrier = cube("carrier", size=1)
    tree = bpy.data.node_groups.new("scatter", "GeometryNodeTree")
    tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    entry, end = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
    place, shape = tree.nodes.new("GeometryNodeInstanceOnPoints"), tree.nodes.new("GeometryNodeMeshIcoSphere")
    shape.inputs["Radius"].default_value = 0.1
    tree.links.new(entry.outputs[0], place.inputs["Points"])
    tree.links.new(shape.outputs[0], place.inputs["Instance"])
    tree.links.new(place.outputs[0], end.inputs[0])
    carrier.modifiers.new("scatter", "NODES").node_group = tree
    geometry = everything()
    assert len(geometry.names) == 8 and len(set(geometry.names)) == 8
    assert geometry.names == everything().names
    corners = np.array([geometry.vertices[geometry.vertex_owner == item].mean(0) for item in range(8)])
    np.testing.assert_allclose(np.abs(corners), 0.5, atol=1e-5)


def test_vertices_that_no_face_uses_are_left_out(scene):
    mesh = bpy.data.meshes.new("loose")
    mesh.from_pydata([(9, 9, 9), (0, 0, 0), (1, 0, 0), (7, 7, 7), (0, 1, 0)], [], [(1, 2, 4)])
    scene.collection.objects.link(bpy.data.objects.new("loose", mesh))
    geometry = everything()
    np.testing.assert_array_equal(geometry.vertices, [(0, 0, 0), (1, 0, 0), (0, 1, 0)])
    np.testing.assert_array_equal(geometry.triangles, [(0, 1, 2)])


def test_a_far_off_place_costs_no_precision_but_float32s_own(scene):
    item = cube("far", size=1, location=(1000.25, 0, 0))
    item.rotation_euler = (0.1, 0.2, 0.3)
    geometry = everything()
    matrix = np.array(item.evaluated_get(depsgraph()).matrix_world, float)
    exact = np.array([tuple(v.co) for v in item.data.vertices]) @ matrix[:3, :3].T + matrix[:3, 3]
    assert np.abs(geometry.vertices - exact).max() <= np.spacing(np.float32(1000)) / 2

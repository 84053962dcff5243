# SPDX-License-Identifier: GPL-3.0-or-later
"""Animations as numbers: places over time, items that come and go, meshes that cannot be followed."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from puppet_master.data_gen.playback import Playback
from puppet_master.data_gen.reasons import Rejection
from puppet_master.data_gen.recording import TopologyChanges, record


def cube(name: str, **place) -> bpy.types.Object:
    bpy.ops.mesh.primitive_cube_add(size=1, **place)
    item = bpy.context.object
    item.name = name
    return item


def playing(*objects: bpy.types.Object) -> Playback:
    return Playback(bpy.context.scene, objects, 1, 5)


def key(target, path: str, values: dict[int, object]) -> None:
    for frame, value in values.items():
        setattr(target, path, value)
        target.keyframe_insert(path, frame=frame)


def linear(item: bpy.types.ID) -> None:
    for layer in item.animation_data.action.layers:
        for curve in layer.strips[0].channelbags[0].fcurves:
            for point in curve.keyframe_points:
                point.interpolation = "LINEAR"


def test_places_follow_the_animation_between_whole_frames(scene):
    item, still = cube("mover"), cube("still", location=(0, 5, 0))
    key(item, "location", {1: (0, 0, 0), 5: (4, 0, 0)})
    linear(item)
    recording = record(playing(item, still), [1, 2.5, 5])
    assert recording.positions.shape == (3, 16, 3) and recording.positions.dtype == np.float32
    moved = recording.positions[:, recording.vertex_owner == recording.names.index("mover")]
    np.testing.assert_allclose(moved - moved[:1], np.broadcast_to([[[0, 0, 0]], [[1.5, 0, 0]], [[4, 0, 0]]], (3, 8, 3)))
    low, high = recording.bounds()
    np.testing.assert_allclose(low[:, 0], (-0.5, -0.5, -0.5))
    np.testing.assert_allclose(high[:, 0], (0.5, 2.0, 4.5))
    np.testing.assert_allclose(recording.times, (1, 2.5, 5))


def test_an_item_that_is_hidden_for_a_while_is_absent_then(scene):
    blink, still = cube("blink"), cube("still", location=(3, 0, 0))
    key(blink, "hide_render", {1: False, 2: True, 3: False})
    key(blink, "location", {1: (0, 0, 0), 3: (0, 0, 2)})
    recording = record(playing(blink, still), [1, 2, 3])
    column = recording.names.index("blink")
    np.testing.assert_array_equal(recording.present[:, column], (True, False, True))
    assert recording.present[:, recording.names.index("still")].all()
    assert len(recording.geometry(0).triangles) == 24 and len(recording.geometry(1).triangles) == 12
    mine = recording.vertex_owner == column
    np.testing.assert_array_equal(recording.positions[1, mine], recording.positions[0, mine])
    assert recording.bounds()[0][1, 0] == pytest.approx(2.5)


def test_an_item_that_only_appears_later_is_recorded(scene):
    late, still = cube("late"), cube("still")
    key(late, "hide_render", {1: True, 2: False})
    recording = record(playing(late, still), [1, 2])
    np.testing.assert_array_equal(recording.present[:, recording.names.index("late")], (False, True))
    assert recording.positions.shape == (2, 16, 3)


def test_a_mesh_that_gains_vertices_is_turned_away_by_name_and_frame(scene):
    item = cube("grower")
    array = item.modifiers.new("row", "ARRAY")
    array.count = 1
    array.keyframe_insert("count", frame=1)
    array.count = 3
    array.keyframe_insert("count", frame=3)
    with pytest.raises(TopologyChanges, match=r'"grower" has 8 vertices at frame 1 and 24 at frame 3') as caught:
        record(playing(item), [1, 3])
    assert caught.value.reason == "topology changes" and isinstance(caught.value, Rejection)


def test_equally_many_vertices_in_other_faces_are_turned_away(scene):
    item = cube("swap")
    mirror = bpy.data.meshes.new("mirrored")
    points = [tuple(vertex.co) for vertex in item.data.vertices]
    mirror.from_pydata(points, [], [tuple(face.vertices)[::-1] for face in item.data.polygons])

    def exchange(scene, *_):
        item.data = mirror if scene.frame_current > 1 else first

    first = item.data
    bpy.app.handlers.frame_change_pre.append(exchange)
    try:
        with pytest.raises(TopologyChanges, match='"swap" has other faces at frame 2'):
            record(playing(item), [1, 2])
    finally:
        bpy.app.handlers.frame_change_pre.remove(exchange)


def test_quads_that_bend_keep_their_triangles(scene):
    mesh = bpy.data.meshes.new("sheet")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], [], [(0, 1, 2, 3)])
    item = bpy.data.objects.new("sheet", mesh)
    scene.collection.objects.link(item)
    item.shape_key_add(name="rest")
    bent = item.shape_key_add(name="bent")
    bent.data[2].co = (0.2, 0.2, 0)  # concave: Blender splits it along the other diagonal
    key(bent, "value", {1: 0.0, 2: 1.0})
    recording = record(playing(item), [1, 2])
    np.testing.assert_array_equal(recording.triangles, recording.geometry(0).triangles)
    np.testing.assert_allclose(recording.positions[1, 2], (0.2, 0.2, 0), atol=1e-6)


def test_positions_that_are_not_finite_are_turned_away(scene):
    item = cube("broken")
    item.data.vertices[3].co.x = float("nan")
    with pytest.raises(Rejection, match='"broken" has positions that are not finite at frame 1') as caught:
        record(playing(item), [1])
    assert caught.value.reason == "degenerate geometry"


def test_nothing_to_see_is_turned_away(scene):
    empty = bpy.data.objects.new("empty", None)
    scene.collection.objects.link(empty)
    with pytest.raises(Rejection, match="no faces in any of 1 objects"):
        record(playing(empty), [1, 2])


def test_armatures_and_shape_keys_are_recorded_as_evaluated(scene, shared):
    bpy.ops.import_scene.gltf(filepath=str(shared / "assets" / "Knight.glb"), loglevel=50)
    helpers = bpy.data.collections.get("glTF_not_exported")
    bpy.data.batch_remove([*helpers.objects, helpers])
    meshes = tuple(item for item in scene.objects if item.type == "MESH")
    recording = record(Playback(scene, meshes, 1, 20), [1.0, 7.5])
    scene.frame_set(7, subframe=0.5)
    graph = bpy.context.evaluated_depsgraph_get()
    for item in meshes:
        evaluated = item.evaluated_get(graph)
        corner = evaluated.matrix_world @ evaluated.data.vertices[0].co
        mine = recording.positions[1, recording.vertex_owner == recording.names.index(item.name)]
        assert np.linalg.norm(mine - np.array(corner), axis=1).min() < 1e-5

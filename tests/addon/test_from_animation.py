# SPDX-License-Identifier: GPL-3.0-or-later
"""Drags from the motion of objects, bones and vertices: their paths, what is hidden, what is refused."""

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector
from puppet_master.addon import from_animation, handles

ops = bpy.ops.puppet_master


def cube():
    return bpy.data.objects["Cube"]


def seen(scene, place):
    x, y, _ = world_to_camera_view(scene, scene.camera, Vector(place))
    return x, 1.0 - y


@pytest.fixture
def empty(scene):
    """An empty before the cube, on its way along an arc from frame 3 to 13."""
    item = bpy.data.objects.new("Ball", None)
    scene.collection.objects.link(item)
    for frame, place in ((3, (-0.3, -1.5, 0.0)), (8, (0.0, -1.5, 0.4)), (13, (0.3, -1.5, 0.0))):
        item.location = place
        item.keyframe_insert("location", frame=frame)
    return item


def test_an_objects_path_becomes_a_drag_within_the_tolerance(scene, empty):
    scene.frame_set(6)
    ops.drags_from_animation(source="OBJECTS", names="Ball", frame_start=3, frame_end=13, tolerance=0.004)
    (drag,) = handles.drags_of(scene)
    assert drag.name == "Ball"
    assert 2 < len(drag.points) < 14
    path, shares = drag.resample(11), np.array((64, 48)) / 80  # of the still's diagonal
    for number, frame in enumerate(range(3, 14)):
        scene.frame_set(frame)
        off = (path[number] - seen(scene, empty.matrix_world.translation)) * shares
        assert np.hypot(*off) < 0.0041


def test_motion_between_two_keys_becomes_a_drag_of_two_points_with_its_ease(scene, empty):
    empty.animation_data_clear()
    for frame, place in ((1, (-0.3, -1.5, -0.2)), (25, (0.3, -1.5, 0.2))):
        empty.location = place
        empty.keyframe_insert("location", frame=frame)
    ops.drags_from_animation(source="OBJECTS", names="Ball")
    empty.animation_data_clear()
    empty.driver_add("location", 0).driver.expression = "frame * 0.02"  # at even speed
    ops.drags_from_animation(source="OBJECTS", names="Ball")
    assert [(len(drag.points), drag.ease) for drag in handles.drags_of(scene)] == [(2, "smooth"), (2, "linear")]


def test_the_scene_stands_at_the_first_frame_afterwards_which_the_still_shows(scene, empty):
    scene.frame_set(6)
    ops.drags_from_animation(source="OBJECTS", names="Ball", frame_start=3, frame_end=13)
    assert scene.frame_current == 3
    drag = handles.drags_of(scene)[0]
    assert (drag.points[0].x, drag.points[0].y) == pytest.approx(seen(scene, (-0.3, -1.5, 0.0)), abs=1e-5)


def test_selected_objects_are_taken_and_the_camera_is_not(scene, empty):
    bpy.ops.object.select_all(action="SELECT")
    ops.drags_from_animation(source="OBJECTS", frame_start=3, frame_end=13)
    assert {drag.name for drag in handles.drags_of(scene)} == {"Ball", "Cube"}
    still = next(drag for drag in handles.drags_of(scene) if drag.name == "Cube")
    assert still.is_pin


def test_a_point_behind_something_is_marked_hidden(scene, empty):
    ops.drags_from_animation(source="OBJECTS", names="Ball,Cube", frame_start=3, frame_end=13)
    assert [drag.hidden for drag in scene.puppet_master.drags] == [False, False]
    for curve_point in range(3):
        empty.location.y = 1.5
        empty.keyframe_insert("location", frame=(3, 8, 13)[curve_point])
    ops.drags_from_animation(source="OBJECTS", names="Ball", frame_start=3, frame_end=13)
    assert scene.puppet_master.drags[2].hidden


@pytest.fixture
def rig(scene):
    """Two boxes side by side, one mesh, each moved by a bone of its own; a third bone moves nothing."""
    bpy.data.objects.remove(cube())
    data = bpy.data.armatures.new("Rig")
    armature = bpy.data.objects.new("Rig", data)
    scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    for name, x in (("left", -0.6), ("right", 0.6), ("control", 0.6)):
        bone = data.edit_bones.new(name)
        bone.head, bone.tail = (x, 0.0, -0.2), (x, 0.0, 0.2)
    bpy.ops.object.mode_set(mode="OBJECT")
    corners = np.array([[x, y, z] for x in (-0.3, 0.3) for y in (-0.3, 0.3) for z in (-0.3, 0.3)])
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    mesh = bpy.data.meshes.new("Boxes")
    vertices = np.concatenate([corners + np.array([x, 0, 0]) for x in (-0.6, 0.6)]).tolist()
    mesh.from_pydata(vertices, [], faces + [tuple(index + 8 for index in face) for face in faces])
    boxes = bpy.data.objects.new("Boxes", mesh)
    scene.collection.objects.link(boxes)
    for name, indices in (("left", range(8)), ("right", range(8, 16))):
        boxes.vertex_groups.new(name=name).add(list(indices), 1.0, "REPLACE")
    boxes.modifiers.new("Armature", "ARMATURE").object = armature
    bone = armature.pose.bones["left"]
    bone.keyframe_insert("location", frame=1)
    bone.location = (0.0, 0.3, 0.0)
    bone.keyframe_insert("location", frame=11)
    scene.frame_set(1)
    return armature


def test_a_bones_path_becomes_a_drag_and_its_own_skin_does_not_hide_it(scene, rig):
    ops.drags_from_animation(source="BONES", names="left", bone_part="HEAD", frame_start=1, frame_end=11)
    item = scene.puppet_master.drags[0]
    drag = handles.to_drag(item)
    scene.frame_set(11)
    assert (drag.points[-1].x, drag.points[-1].y) == pytest.approx(seen(scene, (-0.6, 0.0, 0.1)), abs=1e-4)
    assert not item.hidden


def test_a_bone_behind_another_bones_skin_is_hidden_and_a_control_is_not(scene, rig):
    scene.camera.location, scene.camera.rotation_euler = (4.0, 0.0, 0.0), (np.pi / 2, 0.0, np.pi / 2)
    bpy.context.view_layer.update()
    ops.drags_from_animation(source="BONES", names="left, right, control", frame_start=1, frame_end=11)
    assert [(drag.name, drag.hidden) for drag in scene.puppet_master.drags] == [
        ("left", True), ("right", False), ("control", False),
    ]  # fmt: skip


def test_vertices_are_followed_through_their_modifiers(scene, rig):
    bpy.context.view_layer.objects.active = bpy.data.objects["Boxes"]
    ops.drags_from_animation(source="VERTICES", names="0, 2", frame_start=1, frame_end=11)
    front, back = scene.puppet_master.drags
    assert (front.name, front.hidden) == ("Boxes 0", False)
    assert back.hidden  # the farther corner lies behind the box
    end = handles.to_drag(front).points[-1]
    assert (end.x, end.y) == pytest.approx(seen(scene, (-0.9, -0.3, 0.0)), abs=1e-4)


def test_what_starts_outside_or_lies_behind_the_camera_is_left_out_by_name(scene, empty):
    away = bpy.data.objects.new("Away", None)
    away.location = (9.0, 0.0, 0.0)
    behind = bpy.data.objects.new("Behind", None)
    behind.location = (0.0, -9.0, 0.0)
    for item in (away, behind):
        scene.collection.objects.link(item)
    ops.drags_from_animation(source="OBJECTS", names="Away, Ball, Behind", frame_start=3, frame_end=13)
    assert [drag.name for drag in handles.drags_of(scene)] == ["Ball"]
    with pytest.raises(RuntimeError, match="no drag was made: Away starts outside the still; Behind is behind the"):
        ops.drags_from_animation(source="OBJECTS", names="Away, Behind", frame_start=3, frame_end=13)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "OBJECTS", "names": "Nothing"}, 'scene "Scene" has no object "Nothing"'),
        ({"source": "BONES", "names": "arm"}, '"Cube" has no bone "arm"'),
        ({"source": "BONES"}, '"Cube" is no armature'),
        ({"source": "VERTICES", "names": "8"}, 'mesh "Cube" has no vertex 8; it has 8'),
        ({"source": "VERTICES", "names": "a"}, 'vertices are given by number, not "a"'),
        ({"source": "OBJECTS", "names": "Cube", "frame_start": 5, "frame_end": 5}, "5, must come after its start"),
    ],
)
def test_what_cannot_be_followed_is_refused(scene, options, message):
    bpy.context.view_layer.objects.active = cube()
    with pytest.raises(RuntimeError, match=message):
        ops.drags_from_animation(**options)
    assert len(scene.puppet_master.drags) == 0


def test_a_modifier_that_makes_other_vertices_is_named(scene):
    bpy.context.view_layer.objects.active = cube()
    cube().modifiers.new("Halves", "MIRROR")
    with pytest.raises(RuntimeError, match='modifier "Halves" of "Cube" makes other vertices'):
        ops.drags_from_animation(source="VERTICES", names="0")


def test_panoramic_cameras_and_image_stills_are_refused(scene, empty):
    scene.camera.data.type = "PANO"
    with pytest.raises(RuntimeError, match='camera "Camera" is panoramic'):
        ops.drags_from_animation(source="OBJECTS", names="Ball")
    scene.camera.data.type = "PERSP"
    scene.puppet_master.still_source = "IMAGE"
    with pytest.raises(RuntimeError, match="the still is an image, which shows no motion"):
        ops.drags_from_animation(source="OBJECTS", names="Ball")


def test_too_many_points_at_once_are_refused(scene):
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=10, y_subdivisions=10)
    with pytest.raises(RuntimeError, match="121 points are selected; at most 64 drags"):
        ops.drags_from_animation(source="VERTICES", names=",".join(map(str, range(121))))


def test_following_in_slices_gives_the_same_as_at_once(scene, empty):
    sources = [from_animation.object_source(empty)]
    recording = from_animation.Recording(scene, sources, 3, 13, np.linspace(0, 1, 11))
    assert [round(done, 2) for done in recording.steps()][-1] == 1.0
    (drag, hidden), = recording.drags(0.0)[0]
    assert (len(drag.points), hidden) == (11, False)

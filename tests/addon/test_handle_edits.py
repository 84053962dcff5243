# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of drags by operators: what they change, that each is one undo step, and what they refuse."""

import bpy
import pytest
from puppet_master.addon import handle_edits, handles
from puppet_master.backend.protocol import Drag, DragPoint

PULL = Drag("pull", (DragPoint(0.0, 0.55, 0.45), DragPoint(0.5, 0.7, 0.3), DragPoint(1.0, 0.8, 0.4)))
PIN = Drag("pin", (DragPoint(0.0, 0.45, 0.55), DragPoint(1.0, 0.45, 0.55)))
ops = bpy.ops.puppet_master


@pytest.fixture
def drags(scene):
    handles.add_drag(scene, PULL)
    handles.add_drag(scene, PIN)
    return scene.puppet_master.drags


def places(drag):
    return [(round(point.x, 5), round(point.y, 5)) for point in drag.points]


def chosen(scene):
    return handle_edits.selected(scene.puppet_master)


def test_a_new_drag_on_a_surface_takes_its_objects_name_and_is_selected_by_its_end(scene):
    ops.add_drag(start=(0.55, 0.45), end=(0.7, 0.4), stick=True)
    drag = scene.puppet_master.drags[0]
    assert (drag.name, drag.anchor_state) == ("Cube", "STUCK")
    assert chosen(scene) == [(0, 1)]


def test_a_pin_is_one_place_twice_and_selected_whole(scene):
    ops.add_pin(position=(0.25, 0.75))
    assert handles.drags_of(scene)[0].is_pin
    assert chosen(scene) == [(0, 0), (0, 1)]


def test_drags_get_colours_of_their_own(scene):
    for _ in range(len(handles.COLOURS)):
        ops.add_pin()
    colours = {tuple(round(part, 3) for part in drag.color) for drag in scene.puppet_master.drags}
    assert len(colours) == len(handles.COLOURS)


def test_selected_points_of_several_drags_move_together_and_pins_stay_pins(scene, drags):
    ops.select_points(points="0:1 1:1")
    ops.move_points(offset=(0.1, -0.05))
    assert places(drags[0]) == [(0.55, 0.45), (0.8, 0.25), (0.8, 0.4)]
    assert places(drags[1]) == [(0.55, 0.5), (0.55, 0.5)]


def test_the_end_of_a_pin_that_is_named_is_pulled_out_of_it(scene, drags):
    ops.move_points(points="1:1", offset=(0.1, 0.0))
    assert places(drags[1]) == [(0.45, 0.55), (0.55, 0.55)]


def test_starts_stop_at_the_stills_edge_and_hold_the_others_back(scene, drags):
    ops.move_points(points="0:0 0:2", offset=(0.9, 0.0))
    assert places(drags[0]) == [(1.0, 0.45), (0.7, 0.3), (1.25, 0.4)]
    ops.move_points(points="0:2", offset=(0.9, 0.0))
    assert drags[0].points[2].x == pytest.approx(2.15)


def test_a_moved_start_sticks_to_what_it_comes_to_lie_on(scene, drags):
    ops.move_points(points="0:0", offset=(-0.05, 0.0))
    assert (drags[0].anchor_state, drags[0].anchor_name) == ("STUCK", "Cube")
    ops.move_points(points="0:0", offset=(-0.45, -0.4))
    assert (drags[0].anchor_state, drags[0].anchor) == ("NONE", None)
    scene.puppet_master.stick = False
    ops.place_point(drag=0, point=0, position=(0.5, 0.5))
    assert drags[0].anchor_state == "NONE"


def test_a_point_between_goes_where_the_path_is_nearest(scene, drags):
    ops.add_point(drag=0, position=(0.65, 0.36))
    assert [round(point.t, 2) for point in drags[0].points] == [0.0, 0.32, 0.5, 1.0]
    assert chosen(scene) == [(0, 1)]
    handles.drags_of(scene)  # still valid
    with pytest.raises(RuntimeError, match=r'drag "pull" has a point at t = 0.5 already'):
        ops.add_point(drag=0, time=0.5)
    with pytest.raises(RuntimeError, match=r"must lie after t = 0 and before t = 1, not at 1"):
        ops.add_point(drag=0, time=1.0)


def test_a_point_on_the_path_does_not_change_it(scene, drags):
    before = handles.to_drag(drags[0]).resample(9)
    ops.add_point(drag=0, use_path=True)
    assert len(drags[0].points) == 4
    assert handles.to_drag(drags[0]).resample(9) == pytest.approx(before, abs=1e-4)


def test_points_between_are_deleted_alone_and_ends_take_the_drag_along(scene, drags):
    ops.delete_points(points="0:1")
    assert places(drags[0]) == [(0.55, 0.45), (0.8, 0.4)]
    ops.delete_points(points="1:0")
    assert [drag.name for drag in drags] == ["pull"]


def test_duplicates_are_equal_but_for_place_and_name_and_selected(scene, drags):
    drags[0].ease, drags[0].enabled = "smooth", False
    ops.stick_start(drag=0)
    ops.duplicate_drags(drag=0, offset=(0.0, 0.0))
    copy = drags[2]
    assert (copy.name, copy.ease, copy.enabled, copy.anchor_name) == ("pull.001", "smooth", False, "Cube")
    assert places(copy) == places(drags[0])
    assert chosen(scene) == [(2, 0), (2, 1), (2, 2)]
    ops.duplicate_drags(offset=(0.1, 0.0))  # of what is selected
    assert [drag.name for drag in drags] == ["pull", "pin", "pull.001", "pull.002"]


def test_mirroring_about_the_still_and_about_the_object(scene, drags):
    ops.mirror_drags(drag=0)
    assert places(drags[2]) == [(0.45, 0.45), (0.3, 0.3), (0.2, 0.4)]
    assert places(drags[0])[0] == (0.55, 0.45)
    bpy.data.objects["Cube"].location.x = 0.3
    bpy.context.view_layer.update()
    ops.stick_start(drag=0)
    middle = 0.5 + 0.3 / (4.0 * 36.0 / 50.0)
    ops.mirror_drags(drag=0, about="OBJECT", copy=False)
    assert places(drags[0])[0] == pytest.approx((2 * middle - 0.55, 0.45), abs=1e-4)
    ops.mirror_drags(drag=0, axis="Y", copy=False)
    assert drags[0].points[0].y == pytest.approx(0.55, abs=1e-4)
    with pytest.raises(RuntimeError, match='drag "pin" sticks to no object; mirror it about the still'):
        ops.mirror_drags(drag=1, about="OBJECT")


def test_ease_and_enabled_change_for_all_selected_drags(scene, drags):
    ops.select_points(points="0:0 1:0")
    ops.set_ease()
    ops.enable_drags()
    assert [(drag.ease, drag.enabled) for drag in drags] == [("smooth", False)] * 2
    ops.set_ease(drag=1, ease="linear")
    ops.enable_drags(drag=0, action="ENABLE")
    assert [(drag.ease, drag.enabled) for drag in drags] == [("smooth", True), ("linear", False)]


def test_renaming_keeps_names_apart(scene, drags):
    ops.rename_drag(drag=1, name="pull")
    assert drags[1].name == "pull.001"
    with pytest.raises(RuntimeError, match="must not be empty"):
        ops.rename_drag(drag=1, name=" ")


def test_selecting_sets_adds_removes_and_toggles(scene, drags):
    steps = [
        ({"mode": "ALL"}, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]),
        ({"mode": "SET", "points": "0:1"}, [(0, 1)]),
        ({"mode": "ADD", "points": "1:0"}, [(0, 1), (1, 0)]),
        ({"mode": "TOGGLE", "points": "0:1 0:2"}, [(0, 2), (1, 0)]),
        ({"mode": "REMOVE", "points": "1:0"}, [(0, 2)]),
        ({"mode": "NONE"}, []),
    ]
    for options, expected in steps:
        ops.select_points(**options)
        assert chosen(scene) == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.move_points(points="7:0"), "there is no drag 7; the scene has 2"),
        (lambda: ops.move_points(points="0:9"), 'drag "pull" has no point 9; it has 3'),
        (lambda: ops.move_points(points="x"), 'written as "drag:point drag:point", not "x"'),
        (lambda: ops.move_points(), "no point is selected"),
        (lambda: ops.move_points(points="0:0", offset=(float("nan"), 0)), r"offset \(nan, 0\) must be two finite"),
        (lambda: ops.place_point(drag=0, point=0, position=(1.2, 0)), r'"pull" would start at \(1.2, 0\), outside'),
        (lambda: ops.delete_points(), "no point is selected"),
        (lambda: ops.mirror_drags(drag=5), "there is no drag 5"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(scene, drags, call, message):
    before = handles.drags_of(scene)
    with pytest.raises(RuntimeError, match=message):
        call()
    assert handles.drags_of(scene) == before


EDITS = [
    lambda: ops.add_drag("EXEC_DEFAULT", True, start=(0.2, 0.2), end=(0.3, 0.3)),
    lambda: ops.add_pin("EXEC_DEFAULT", True),
    lambda: ops.add_point("EXEC_DEFAULT", True, drag=0, position=(0.65, 0.36)),
    lambda: ops.move_points("EXEC_DEFAULT", True, points="0:0", offset=(0.05, 0.0)),
    lambda: ops.place_point("EXEC_DEFAULT", True, drag=0, point=2, position=(0.9, 0.9)),
    lambda: ops.duplicate_drags("EXEC_DEFAULT", True, drag=0),
    lambda: ops.mirror_drags("EXEC_DEFAULT", True, drag=0),
    lambda: ops.set_ease("EXEC_DEFAULT", True, drag=0),
    lambda: ops.enable_drags("EXEC_DEFAULT", True, drag=0),
    lambda: ops.rename_drag("EXEC_DEFAULT", True, drag=0, name="other"),
    lambda: ops.select_points("EXEC_DEFAULT", True, mode="ALL"),
    lambda: ops.delete_points("EXEC_DEFAULT", True, points="1:0"),
    lambda: ops.remove_drag("EXEC_DEFAULT", True, index=0),
]


def state():
    """Everything stored about the drags."""
    settings = bpy.context.scene.puppet_master
    return [
        (drag.name, drag.ease, drag.enabled, drag.anchor_state, places(drag), [p.select for p in drag.points])
        for drag in settings.drags
    ]


def test_each_edit_is_exactly_one_undo_step(scene, drags):
    bpy.context.preferences.edit.undo_steps = 64
    bpy.ops.ed.undo_push(message="Start")
    states = [state()]
    for edit in EDITS:
        assert edit() == {"FINISHED"}
        states.append(state())
        assert states[-1] != states[-2]
    for expected in reversed(states[:-1]):
        bpy.ops.ed.undo()
        assert state() == expected
    for expected in states[1:]:
        bpy.ops.ed.redo()
        assert state() == expected


def test_drags_of_a_linked_scene_cannot_be_edited(scene, drags, tmp_path):
    path = str(tmp_path / "library.blend")
    scene.name = "Shot"
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_empty=True)
    with bpy.data.libraries.load(path, link=True) as (_, wanted):
        wanted.scenes = ["Shot"]
    linked = bpy.data.scenes["Shot"]
    with bpy.context.temp_override(scene=linked):
        assert not ops.add_pin.poll()
        with pytest.raises(RuntimeError, match='Scene "Shot" is linked from another file: make it local'):
            ops.add_pin()


def test_drags_of_two_scenes_are_kept_apart(scene, drags):
    other = bpy.data.scenes.new("Other")
    with bpy.context.temp_override(scene=other):
        ops.add_pin()
    assert len(other.puppet_master.drags) == 1
    assert len(scene.puppet_master.drags) == 2

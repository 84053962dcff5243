# SPDX-License-Identifier: GPL-3.0-or-later
"""Drags stored in scenes: conversion, refusal, editing, and surviving a save."""

import bpy
import pytest
from puppet_master.addon import handles
from puppet_master.backend.errors import InputError
from puppet_master.backend.protocol import Drag, DragPoint

PULL_POINTS = (DragPoint(0.0, 0.31, 0.52), DragPoint(0.3, 0.25, 0.55), DragPoint(1.0, -0.2, 0.6))
PULL = Drag("drawer", PULL_POINTS, "smooth")
PIN = Drag("pin", (DragPoint(0.0, 0.7, 0.1), DragPoint(1.0, 0.7, 0.1)))


def test_a_stored_drag_reads_back_exactly_as_it_was_written(scene):
    handles.add_drag(scene, PULL)
    handles.add_drag(scene, PIN)
    assert handles.drags_of(scene) == (PULL, PIN)
    assert scene.puppet_master.active_drag == 1


def test_drags_and_settings_survive_saving_and_opening_the_file(scene, tmp_path):
    handles.add_drag(scene, PULL)
    handles.add_drag(scene, PIN)
    scene.puppet_master.seed = 7
    scene.puppet_master.use_model_defaults = False
    path = str(tmp_path / "scene.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_empty=True)
    assert handles.drags_of(bpy.context.scene) == ()
    bpy.ops.wm.open_mainfile(filepath=path)
    again = bpy.context.scene
    assert handles.drags_of(again) == (PULL, PIN)
    assert again.puppet_master.seed == 7
    assert not again.puppet_master.use_model_defaults


def test_a_disabled_drag_is_kept_but_does_not_count(scene):
    handles.add_drag(scene, PULL).enabled = False
    handles.add_drag(scene, PIN)
    assert handles.drags_of(scene) == (PIN,)
    assert len(scene.puppet_master.drags) == 2


def test_equal_names_get_numbers(scene):
    assert [handles.add_drag(scene, PIN).name for _ in range(3)] == ["pin", "pin.001", "pin.002"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda item: setattr(item.points[1], "x", float("nan")), r'drag "drawer", point 1: x is nan'),
        (lambda item: setattr(item.points[1], "t", 0.0), r'"drawer", point 1: t = 0 does not come after'),
        (lambda item: setattr(item.points[0], "x", 1.5), r'drag "drawer" starts at \(1.5, 0.52\), outside'),
        (lambda item: item.points.clear(), r'drag "drawer" has 0 point'),
        (lambda item: setattr(item, "name", ""), r"name must be a non-empty text"),
    ],
)
def test_a_stored_drag_that_is_not_valid_is_refused_by_name(scene, spoil, message):
    spoil(handles.add_drag(scene, PULL))
    with pytest.raises(InputError, match=message):
        handles.drags_of(scene)


def test_the_add_operator_stores_a_straight_drag(scene):
    bpy.ops.puppet_master.add_drag(name="lid", start=(0.25, 0.5), end=(0.75, 0.5), ease="smooth")
    expected = Drag("lid", (DragPoint(0.0, 0.25, 0.5), DragPoint(1.0, 0.75, 0.5)), "smooth")
    assert handles.drags_of(scene) == (expected,)


def test_the_add_operator_refuses_a_start_outside_the_still_and_adds_nothing(scene):
    with pytest.raises(RuntimeError, match=r'drag "lid" starts at \(1.1, 0.5\), outside the still'):
        bpy.ops.puppet_master.add_drag(name="lid", start=(1.1, 0.5))
    assert len(scene.puppet_master.drags) == 0


def test_the_remove_operator_takes_the_active_drag_or_the_one_asked_for(scene):
    for drag in (PULL, PIN, PULL):
        handles.add_drag(scene, drag)
    bpy.ops.puppet_master.remove_drag()
    assert [item.name for item in scene.puppet_master.drags] == ["drawer", "pin"]
    assert scene.puppet_master.active_drag == 1
    bpy.ops.puppet_master.remove_drag(index=0)
    assert [item.name for item in scene.puppet_master.drags] == ["pin"]
    assert scene.puppet_master.active_drag == 0
    with pytest.raises(RuntimeError, match="there is no drag 5; the scene has 1"):
        bpy.ops.puppet_master.remove_drag(index=5)
    bpy.ops.puppet_master.remove_drag()
    assert not bpy.ops.puppet_master.remove_drag.poll()

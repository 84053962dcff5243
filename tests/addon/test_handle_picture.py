# SPDX-License-Identifier: GPL-3.0-or-later
"""Where handles are in a window, which of them the mouse takes, and the triangles they are drawn with."""

import numpy as np
import pytest
from puppet_master.addon import handles, picking
from puppet_master.addon.framing import Framing
from puppet_master.addon.shapes import Shapes
from puppet_master.backend.protocol import Drag, DragPoint

FRAME = Framing(100.0, 50.0, 400.0, 200.0)
WHITE = (1.0, 1.0, 1.0, 1.0)


def test_still_and_region_positions_turn_into_each_other():
    assert FRAME.to_region([[0.0, 0.0], [1.0, 1.0]]).tolist() == [[100.0, 250.0], [500.0, 50.0]]
    assert FRAME.to_still(300.0, 150.0) == (0.5, 0.5)


def test_a_part_of_a_frame_and_the_whole_of_a_part():
    region = (0.25, 0.1, 0.75, 0.6)
    part = FRAME.part(region)
    assert part == Framing(200.0, 130.0, 200.0, 100.0)
    assert part.whole(region) == FRAME


def test_an_image_of_another_aspect_lies_in_the_middle():
    assert FRAME.fitted(1.0) == Framing(200.0, 50.0, 200.0, 200.0)
    assert FRAME.fitted(4.0) == Framing(100.0, 100.0, 400.0, 100.0)


@pytest.fixture
def settings(scene):
    handles.add_drag(scene, Drag("pull", (DragPoint(0, 0.25, 0.5), DragPoint(1, 0.75, 0.5))))
    handles.add_drag(scene, Drag("close", (DragPoint(0, 0.76, 0.5), DragPoint(1, 0.9, 0.1))))
    return scene.puppet_master


def test_the_nearest_handle_within_reach_is_taken(settings):
    assert picking.handle_at(settings, FRAME, 200.0, 150.0, 1.0) == (0, 0)
    assert picking.handle_at(settings, FRAME, 401.0, 150.0, 1.0) == (0, 1)
    assert picking.handle_at(settings, FRAME, 405.0, 150.0, 1.0) == (1, 0)
    assert picking.handle_at(settings, FRAME, 300.0, 150.0, 1.0) is None


def test_a_box_holds_the_handles_in_it_whichever_corner_comes_first(settings):
    assert picking.handles_in(settings, FRAME, 390.0, 140.0, 410.0, 160.0) == [(0, 1), (1, 0)]
    assert picking.handles_in(settings, FRAME, 410.0, 160.0, 390.0, 140.0) == [(0, 1), (1, 0)]
    assert picking.handles_in(settings, FRAME, 210.0, 140.0, 390.0, 160.0) == []  # a path alone is no handle


def test_the_reach_grows_with_the_interface(settings):
    beside = 200.0, 150.0 + picking.HANDLE_PIXELS + 4.0
    assert picking.handle_at(settings, FRAME, *beside, 1.0) is None
    assert picking.handle_at(settings, FRAME, *beside, 2.0) == (0, 0)
    above = 300.0, 150.0 + picking.PATH_PIXELS + 2.0
    assert picking.path_at(settings, FRAME, *above, 1.0) is None
    assert picking.path_at(settings, FRAME, *above, 2.0) == 0


def test_of_handles_at_one_place_the_selected_comes_first(settings):
    for point in (settings.drags[0].points[1], settings.drags[1].points[0]):
        point.x = 0.75
    assert picking.handle_at(settings, FRAME, 400.0, 150.0, 1.0) == (0, 1)
    settings.drags[1].points[0].select = True
    assert picking.handle_at(settings, FRAME, 400.0, 150.0, 1.0) == (1, 0)


def test_the_distance_to_a_path_is_that_to_its_nearest_stretch():
    path = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]])
    assert picking.distance_to_path(path, 5.0, 3.0) == pytest.approx(3.0)
    assert picking.distance_to_path(path, 14.0, 13.0) == pytest.approx(5.0)
    assert picking.distance_to_path(np.full((2, 2), np.nan), 0.0, 0.0) == float("inf")


def area(shapes):
    """Area covered by the triangles, soft edges counted by their opacity."""
    positions, colours = shapes.arrays()
    corners = positions[:, :2].reshape(-1, 3, 2).astype(float)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    sizes = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2
    return float((sizes * colours[:, 3].reshape(-1, 3).mean(axis=1)).sum())


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (lambda shapes: shapes.disc((5.0, 5.0), 10.0, WHITE), np.pi * 100.0),
        (lambda shapes: shapes.ring((5.0, 5.0), 10.0, 4.0, WHITE), np.pi * (144.0 - 64.0)),
        (lambda shapes: shapes.line(np.array([[0.0, 0.0], [30.0, 40.0]]), 4.0, WHITE), 200.0),
    ],
)
def test_shapes_cover_what_they_should(draw, expected):
    shapes = Shapes()
    draw(shapes)
    assert area(shapes) == pytest.approx(expected, rel=0.03)


def test_places_that_are_not_finite_are_left_out():
    shapes = Shapes()
    shapes.line(np.array([[0.0, 0.0], [np.nan, 1.0], [10.0, 0.0]]), 2.0, WHITE)
    positions, colours = shapes.arrays()
    assert len(positions) == len(colours) == 18
    assert np.isfinite(positions).all()

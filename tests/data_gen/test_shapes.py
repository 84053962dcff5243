# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes are closed, face outwards and sit where they are asked to."""

from __future__ import annotations

import math

import bmesh
import numpy as np
import pytest
from puppet_master.data_gen.rigs.shapes import BOX_SIDES, Shape, arc, vessel_profile


def volume_of(shape: Shape) -> float:
    """Signed volume: positive when the faces look outwards."""
    mesh = bmesh.new()
    mesh.from_mesh(shape.to_mesh("probe"))
    assert all(edge.is_manifold for edge in mesh.edges), "the surface has a hole"
    volume = mesh.calc_volume(signed=True)
    mesh.free()
    return volume


def polygon_area(radius: float, segments: int) -> float:
    return segments / 2 * radius**2 * math.sin(2 * math.pi / segments)


def test_box_is_closed_and_has_its_volume(finish):
    assert volume_of(Shape().box((0, 0, 0), (1, 2, 3), finish)) == pytest.approx(6.0)


def test_box_takes_its_corners_in_any_order(finish):
    assert volume_of(Shape().box((1, 2, 3), (0, 0, 0), finish)) == pytest.approx(6.0)


@pytest.mark.parametrize("end", [(0, 0, 2), (2, 0, 0), (0, -2, 0), (2 / math.sqrt(3),) * 3])
def test_cylinder_along_any_direction(finish, end):
    shape = Shape().cylinder((0, 0, 0), end, 0.5, finish, segments=12)
    assert volume_of(shape) == pytest.approx(2 * polygon_area(0.5, 12), rel=1e-5)


def test_bar_along_a_straight_path_is_a_cylinder(finish):
    shape = Shape().tube([(0, 0, 0), (0, 1, 0), (0, 3, 0)], 0.2, finish, segments=8)
    assert volume_of(shape) == pytest.approx(3 * polygon_area(0.2, 8), rel=1e-5)


def test_closed_bar_is_a_ring(finish):
    circle = arc((0, 0, 0), (1, 0, 0), (0, 1, 0), 0, 2 * math.pi, 25)[:-1]
    ring = volume_of(Shape().tube(circle, 0.1, finish, segments=16, closed=True))
    assert ring == pytest.approx(2 * math.pi * math.pi * 0.1**2, rel=0.05)


def test_turned_vessel_is_closed_and_faces_outwards(finish):
    shape = Shape().lathe(vessel_profile(0.4, 0.5, 1.0, 0.05), finish, segments=24)
    solid = Shape().cylinder((0, 0, 0), (0, 0, 1), 0.4, finish, end_radius=0.5, segments=24)
    assert 0.05 * volume_of(solid) < volume_of(shape) < 0.5 * volume_of(solid)


def test_turned_closed_profile_is_a_ring_with_a_hole(finish):
    profile = [(0.5, 0), (1.0, 0), (1.0, 0.1), (0.5, 0.1)]
    shape = Shape().lathe(profile, finish, segments=64, closed=True)
    assert volume_of(shape) == pytest.approx(0.1 * (polygon_area(1.0, 64) - polygon_area(0.5, 64)), rel=1e-4)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_prism_along_each_axis(finish, axis):
    triangle = [(0, 0), (1, 0), (0, 1)]
    assert volume_of(Shape().prism(triangle, axis, -1, 1, finish)) == pytest.approx(1.0)


def test_turning_and_stretching_keep_the_faces_outwards(finish):
    shape = Shape().box((0, 0, 0), (1, 1, 1), finish).turn(0.3).stretch((1, 2, 1))
    assert volume_of(shape) == pytest.approx(2.0)


def test_added_shape_is_moved(finish):
    whole = Shape().add_shape(Shape().box((0, 0, 0), (1, 1, 1), finish), (5, 0, 0))
    assert whole.vertices()[:, 0].min() == pytest.approx(5.0)


def test_mesh_is_relative_to_its_origin(finish):
    mesh = Shape().box((1, 1, 1), (2, 2, 2), finish).to_mesh("box", origin=(1, 1, 1))
    points = np.array([vertex.co for vertex in mesh.vertices])
    np.testing.assert_allclose(points.min(0), 0)
    np.testing.assert_allclose(points.max(0), 1)


def uv_of_side(shape: Shape, side: str) -> np.ndarray:
    mesh = shape.to_mesh("box")
    face = mesh.polygons[list(BOX_SIDES).index(side)]
    layer = mesh.uv_layers[0].uv
    return np.array([layer[loop].vector for loop in face.loop_indices])


def test_fitted_side_shows_its_texture_once(finish):
    uv = uv_of_side(Shape().box((0, 0, 0), (3, 1, 2), finish, fitted=["front"]), "front")
    np.testing.assert_allclose(uv, [(0, 0), (1, 0), (1, 1), (0, 1)])


def test_box_mapped_side_repeats_by_size(finish):
    uv = uv_of_side(Shape().box((0, 0, 0), (3, 1, 2), finish), "front")
    np.testing.assert_allclose(np.ptp(uv, axis=0), (3 / finish.tile, 2 / finish.tile))


@pytest.mark.parametrize("end", [(0, 0, 2), (2, 0, 0), (0, -2, 0)])
def test_capsule_is_closed_and_reaches_beyond_its_ends_by_its_radii(finish, end):
    shape = Shape().capsule((0, 0, 0), end, 0.5, finish, end_radius=0.25, segments=32)
    assert volume_of(shape) > volume_of(Shape().cylinder((0, 0, 0), end, 0.5, finish, end_radius=0.25))
    along = shape.vertices() @ (np.array(end) / 2)
    assert along.min() == pytest.approx(-0.5) and along.max() == pytest.approx(2.25)


def test_loft_of_four_corners_is_a_box_of_its_half_extents(finish):
    shape = Shape().loft((0, 0, 0), (1, 0, 0), [(0, 0.5, 0.25), (3, 0.5, 0.25)], finish, segments=4)
    assert volume_of(shape) == pytest.approx(3.0 * 1.0 * 0.5)
    np.testing.assert_allclose(np.ptp(shape.vertices(), axis=0), (3, 0.5, 1.0))  # side is along z, up along y


def test_ellipsoid_has_its_half_extents_about_its_centre(finish):
    shape = Shape().ellipsoid((1, 2, 3), (0.5, 1, 2), finish)
    assert volume_of(shape) == pytest.approx(4 / 3 * math.pi, rel=0.12)
    np.testing.assert_allclose(shape.vertices().max(0), (1.5, 3, 5), atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_turning_goes_counter_clockwise_about_each_axis(finish, axis):
    shape = Shape()
    shape.add_points([np.eye(3)[(axis + 1) % 3]])
    np.testing.assert_allclose(shape.turn(math.pi / 2, axis).vertices()[0], np.eye(3)[(axis + 2) % 3], atol=1e-9)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Features of motions whose values are known; what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from known_motions import make_motion, turn_about_z
from puppet_master.data_gen.filter.features import FEATURES, Features, measure
from puppet_master.data_gen.reasons import Rejection


def size_of(places):
    """Twice the radius that holds 98 % of the points, the median over time."""
    radius = np.linalg.norm(places - places.mean(1, keepdims=True), axis=2)
    return 2 * np.median(np.quantile(radius, 0.98, axis=1, method="inverted_cdf"))


def still(points, frames=25):
    return np.broadcast_to(points, (frames, *points.shape)).copy()


def test_nothing_moves(ball):
    found = measure(make_motion(still(ball)))
    assert found.displacement == found.relative_displacement == found.global_travel == found.speed == 0
    assert found.static_share == pytest.approx(1) and found.moving_share == 0
    assert found.global_scale == found.extent_growth == found.stretch == found.loop == 1
    assert found.parts == 1 and found.rigid_share == pytest.approx(1)
    assert found.frames == 25 and found.seconds == 1.0


def test_every_feature_has_a_meaning_and_is_finite(cabinet):
    places, owner = cabinet
    values = measure(make_motion(places, owner)).to_json()
    assert set(values) == set(FEATURES) and all(len(meaning) > 20 for meaning in FEATURES.values())
    assert np.isfinite(list(values.values())).all()
    assert Features.from_json(values).to_json() == values


def test_a_door_that_opens(cabinet):
    places, owner = cabinet
    found, size = measure(make_motion(places, owner)), size_of(places)
    assert found.displacement == pytest.approx(0.4 * np.sqrt(2) / size, rel=0.01)  # a quarter circle's chord
    assert found.relative_displacement == pytest.approx(found.displacement)
    assert found.parts == 2 and found.rigid_share == pytest.approx(1)
    assert found.part_turn == pytest.approx(90, abs=0.1)
    assert found.part_travel == pytest.approx(0.2 * 10 / 9 * np.sqrt(2) / size, rel=0.01)  # its hinge stands still
    assert found.global_travel == found.global_turn == 0 and found.global_scale == 1
    assert found.static_share == pytest.approx(0.8, abs=0.03)
    assert found.moving_share == pytest.approx(0.2, abs=0.03)
    assert found.internal_share == 1
    assert found.speed == pytest.approx(0.4 * np.pi / 2 / size, rel=0.01)  # the edge's way in a second
    assert found.jump == pytest.approx(0, abs=1e-3)
    assert found.periodicity < 0.3 and found.loop < 0.05


@pytest.mark.parametrize("direction", [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)])
def test_travel_is_found_in_every_direction(ball, direction):
    path = np.linspace(0, 0.9, 25)[:, None, None] * np.array(direction)
    found = measure(make_motion(ball + path))
    assert found.global_travel == pytest.approx(0.9, rel=0.02)
    assert found.relative_displacement == pytest.approx(0, abs=1e-3)
    assert found.internal_share < 0.01


def test_travel_there_and_back_is_found_though_the_ends_agree(ball):
    path = np.sin(np.linspace(0, np.pi, 25))[:, None, None] * (0.0, 0.7, 0.0)
    assert measure(make_motion(ball + path)).global_travel == pytest.approx(0.7, rel=0.02)


@pytest.mark.parametrize("angle", [75.0, -75.0])
def test_turning_is_found_both_ways(ball, angle):
    places = np.einsum("fij,pj->fpi", turn_about_z(np.linspace(0, angle, 25)), ball)
    found = measure(make_motion(places))
    assert found.global_turn == pytest.approx(75, abs=0.5) and found.global_travel == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(("first", "last"), [(1, 2), (2, 1), (1, 0.5), (0.5, 1)])
def test_growing_and_shrinking_count_alike(ball, first, last):
    found = measure(make_motion(ball * np.linspace(first, last, 25)[:, None, None]))
    assert found.global_scale == pytest.approx(2, rel=0.01)
    assert found.extent_growth == pytest.approx(1, abs=0.01)


def test_the_sign_of_the_scale_counts(ball):
    places = still(ball + np.array((0.0, 0.0, 0.2)) * np.abs(ball[:, :1]))  # no mirror plane through the points
    places[12:] *= (-1, 1, 1)
    found = measure(make_motion(places))
    assert found.mirrored == pytest.approx(12 / 25)
    assert found.global_scale == pytest.approx(1, abs=0.01)


def test_turning_a_flat_thing_over_is_no_mirroring():
    plate = np.stack(np.meshgrid(np.linspace(-0.5, 0.5, 15), np.linspace(-0.4, 0.4, 15), [0.0]), -1).reshape(-1, 3)
    over = plate * (1, -1, -1)
    assert measure(make_motion(np.stack([plate] * 6 + [over] * 6))).mirrored == 0


def test_changes_count_within_a_clip_not_over_the_whole_animation(ball):
    path = np.linspace(0, 4, 97)[:, None, None] * (1.0, 0.0, 0.0)  # four sizes in four seconds
    found = measure(make_motion(ball + path, window=1.0))
    assert found.global_travel == pytest.approx(1, rel=0.05)
    assert found.whole_travel == pytest.approx(4, rel=0.02)


def test_limbs_beside_a_travelling_body(ball):
    """A third of the surface swings while all of it travels: both are found, apart from each other."""
    limb = np.arange(300) % 3 == 0
    path = np.linspace(0, 0.5, 25)[:, None, None] * (1.0, 0.0, 0.0)
    swing = 0.2 * np.sin(np.linspace(0, 2 * np.pi, 25))[:, None, None] * (0.0, 0.0, 1.0)
    places = ball + path + swing * limb[:, None]
    found, size = measure(make_motion(places, limb.astype(int))), size_of(places)
    assert found.global_travel == pytest.approx(0.5 / size, rel=0.01)
    assert found.relative_displacement == pytest.approx(0.4 / size, rel=0.01)
    assert found.moving_share == pytest.approx(1 / 3, abs=0.02)
    assert found.relative_median == pytest.approx(0, abs=1e-3)


def test_a_jump_is_told_from_fast_motion(ball):
    fast = np.linspace(0, 6, 25)[:, None, None] * (1.0, 0.0, 0.0)  # a quarter of its size a frame, throughout
    assert measure(make_motion(ball + fast)).jump == pytest.approx(0, abs=1e-3)
    places = still(ball)
    places[13:] += (0.5, 0.0, 0.0)
    found = measure(make_motion(places))
    assert found.jump == pytest.approx(0.5, rel=0.02)
    assert found.speed == pytest.approx(0.5 * 24, rel=0.02) and found.speed_median == 0
    assert found.acceleration == pytest.approx(0.5 * 24**2, rel=0.02)


@pytest.mark.parametrize("frame", [1, 24])
def test_a_jump_at_either_end_is_found(ball, frame):
    places = still(ball)
    places[frame:] += (0.0, 0.6, 0.0)
    assert measure(make_motion(places)).jump == pytest.approx(0.6, rel=0.02)


def test_a_small_part_jumping_is_found(ball):
    places = still(ball)
    places[10:, :6] += (0.7, 0.0, 0.0)
    assert measure(make_motion(places)).jump > 0.6


def test_items_that_are_hidden_pop(cabinet):
    places, owner = cabinet
    present = np.ones((25, 2), bool)
    present[7:, 1] = False
    places = places.copy()
    places[7:, owner == 1] = np.nan
    found = measure(make_motion(places, owner, present))
    assert found.pop == pytest.approx(0.2)
    assert found.jump == pytest.approx(0, abs=0.01) and np.isfinite(list(found.to_json().values())).all()


def test_items_scaled_down_to_nothing_pop(cabinet):
    places, owner = (part.copy() for part in cabinet)
    places[7:, owner == 1] = (0.5, 0.0, 0.0)
    assert measure(make_motion(places, owner)).pop == pytest.approx(0.2)


def test_an_item_that_shows_up_in_between_pops(ball):
    present = np.ones((25, 2), bool)
    present[:9, 1] = False
    found = measure(make_motion(still(ball), present=present, area=(3.0, 1.0)))
    assert found.pop == pytest.approx(0.25)


def test_bursting_grows_the_extent(ball):
    places = still(ball)
    places[:, ::6] *= np.linspace(1, 5, 25)[:, None, None]  # a sixth of the points flies off
    found = measure(make_motion(places))
    assert found.extent_growth == pytest.approx(5, rel=0.02)
    assert found.stretch > 3
    assert found.global_scale == pytest.approx(1, abs=0.01)


def test_a_repeating_motion_is_told_from_a_single_one(ball):
    limb = (np.arange(300) % 3 == 0)[:, None]
    time = np.arange(61)[:, None, None]
    swing = 0.3 * np.sin(2 * np.pi * time / 20) * (0.0, 0.0, 1.0) * limb
    circling = swing + 0.3 * np.cos(2 * np.pi * time / 20) * (0.0, 1.0, 0.0) * limb
    found = measure(make_motion(ball + circling))
    assert found.periodicity > 0.9 and found.period == pytest.approx(20 / 24, rel=0.08) and found.loop > 0.95
    once = measure(make_motion(ball + 0.5 * (time / 60) * (0.0, 0.0, 1.0) * limb))
    assert once.periodicity < 0.2 and once.period == 0 and once.loop < 0.05


def test_parts_going_through_each_other(ball):
    motion = make_motion(
        np.concatenate((still(ball), still(ball * 0.5 + np.array((0, 0, 0.9)))), axis=1), np.repeat((0, 1), 300)
    )
    outward = np.concatenate((ball, ball)) / 0.5
    for depth, expected in ((0.1, 0.0), (0.6, 0.1)):
        places = motion.points.copy()
        places[:, 300:] -= np.linspace(0, depth, 25)[:, None, None] * (0.0, 0.0, 1.0)
        normals = np.broadcast_to(outward, places.shape).astype(np.float32)
        moved = make_motion(places, motion.owner)
        object.__setattr__(moved, "normals", normals)
        found = measure(moved).intersection
        assert found >= expected and (expected > 0) == (found > 0)


def test_counts_are_passed_on(ball):
    found = measure(make_motion(still(ball), vertices=12, triangles=20, missing_textures=3))
    assert (found.vertices, found.triangles, found.items, found.missing_textures) == (12, 20, 1, 3)


INVARIANT = [name for name in FEATURES if name not in ("whole_turn",)]


def lively(cabinet):
    """A cabinet that also travels, turns and grows a little."""
    places, owner = cabinet
    turned = np.einsum("fij,fpj->fpi", turn_about_z(np.linspace(0, 20, 25)), places)
    grown = turned * np.linspace(1, 1.1, 25)[:, None, None]
    return grown + np.linspace(0, 0.2, 25)[:, None, None] * (0.0, 1.0, 0.5), owner


def close(a, b, relative=1e-3, absolute=2e-3):
    for name in INVARIANT:
        assert getattr(b, name) == pytest.approx(getattr(a, name), rel=relative, abs=absolute), name


@pytest.mark.parametrize("scale", [1e-3, 250.0])
def test_the_assets_scale_changes_nothing(cabinet, scale):
    places, owner = lively(cabinet)
    close(measure(make_motion(places, owner)), measure(make_motion(places * scale, owner)))


def test_where_the_asset_stands_and_how_it_is_turned_changes_nothing(cabinet):
    places, owner = lively(cabinet)
    tilt = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    tilt *= np.sign(np.linalg.det(tilt))
    # part_travel is the diagonal of an upright box: turning may change it a little.
    moved = measure(make_motion(places @ tilt.T + (30.0, -20.0, 10.0), owner))
    close(measure(make_motion(places, owner)), moved, relative=5e-3, absolute=0.03)


def test_the_order_of_the_points_changes_nothing(cabinet):
    places, owner = lively(cabinet)
    order = np.random.default_rng(2).permutation(len(owner))
    close(measure(make_motion(places, owner)), measure(make_motion(places[:, order], owner[order])))


def test_the_frame_rate_changes_nothing_but_the_count_of_frames(cabinet):
    places, owner = lively(cabinet)
    at_24 = measure(make_motion(places, owner))
    between = (places[1:] + places[:-1]) / 2
    doubled = np.empty((49, *places.shape[1:]))
    doubled[::2], doubled[1::2] = places, between
    at_48 = measure(make_motion(doubled, owner, fps=48.0))
    assert at_48.frames == 49
    for name in (
        "seconds",
        "displacement",
        "relative_displacement",
        "global_travel",
        "global_turn",
        "part_turn",
        "speed",
    ):
        assert getattr(at_48, name) == pytest.approx(getattr(at_24, name), rel=0.02), name


def test_irregular_moments_are_measured_as_they_lie(ball):
    """Only a few moments of a long animation: speeds come from the time between them."""
    times = np.array([0.0, 24, 48, 72, 73, 74, 96])
    path = (times / 96)[:, None, None] * (2.0, 0.0, 0.0)
    found = measure(make_motion(ball + path, times=times))
    assert found.speed == pytest.approx(0.5, rel=0.03) and found.jump == pytest.approx(0, abs=1e-3)
    assert found.frames == 97 and found.seconds == 4


@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_places_that_are_no_numbers_are_degenerate(ball, fault):
    places = still(ball)
    places[3, 5, 1] = fault
    with pytest.raises(Rejection, match="degenerate geometry"):
        measure(make_motion(places))


def test_a_surface_without_extent_is_degenerate():
    with pytest.raises(Rejection, match=r"degenerate geometry.*extent"):
        measure(make_motion(np.ones((10, 50, 3))))


def test_two_moments_are_enough(ball):
    found = measure(make_motion(np.stack((ball, ball + np.array((0.1, 0.0, 0.0))))))
    assert found.jump == 0 and found.acceleration == 0 and found.global_travel == pytest.approx(0.1, rel=0.02)


def needle():
    points = np.zeros((50, 3))
    points[:, 0] = np.linspace(-0.5, 0.5, 50)
    return points


STRANGE = {
    "noise": np.random.default_rng(0).normal(size=(25, 300, 3)),
    "three points": np.random.default_rng(1).normal(size=(20, 3, 3)),
    "a needle": needle() + np.linspace(0, 0.4, 25)[:, None, None] * (0.0, 1.0, 0.0),
    "grown from nothing": needle() * np.linspace(0, 1, 25)[:, None, None],
    "far away": needle() + 1e5 + np.zeros((25, 1, 3)),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", list(STRANGE))
def test_strange_motions_give_finite_features(name):
    values = measure(make_motion(STRANGE[name])).to_json()
    assert np.isfinite(list(values.values())).all()


@pytest.mark.filterwarnings("error")
def test_what_is_scaled_to_nothing_most_of_the_time_pops(ball):
    found = measure(make_motion(ball * np.repeat((0.0, 1.0), (20, 5))[:, None, None]))
    assert found.pop == 1 and found.global_scale >= 100


def test_a_needle_has_no_turn_about_itself():
    assert measure(make_motion(STRANGE["a needle"])).global_turn == 0


def test_every_object_by_itself(ball):
    """More items than a part can have neighbours: half of them move."""
    path = np.linspace(0, 0.5, 25)[:, None, None] * (1.0, 0.0, 0.0)
    places = ball + path * (np.arange(300) % 2)[:, None]
    found = measure(make_motion(places, np.arange(300)))
    assert found.items == 300 and found.moving_share == pytest.approx(0.5, abs=0.01) and found.pop == 0

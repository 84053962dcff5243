# SPDX-License-Identifier: GPL-3.0-or-later
"""Trackers find known motions of textures, and keep still what does not move."""

import cv2
import numpy as np
import pytest
from puppet_master.training.tracking import DEFAULT_TRACKER, TRACKERS, Neighbourhood, follow, stay

FRAMES = 7
MOVING = sorted(set(TRACKERS) - {"still"})
CENTRE = np.array([128.0, 128.0])


def texture(seed=0, size=256):
    """A smooth random picture, uint8 `[size, size, 3]`."""
    noise = np.random.default_rng(seed).normal(size=(size, size, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return np.clip(128 + 45 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def patch_on_white(matrices, half=40):
    """A textured square in the middle of white frames, moved by each of the 2 x 3 `matrices`."""
    still = np.full((256, 256, 3), 255, np.uint8)
    middle = slice(128 - half, 128 + half)
    still[middle, middle] = texture()[middle, middle]
    warp = {"flags": cv2.INTER_LINEAR, "borderValue": (255, 255, 255)}
    return np.stack([cv2.warpAffine(still, matrix, (256, 256), **warp) for matrix in matrices])


def shifts(by):
    return [np.array([[1, 0, by[0] * i], [0, 1, by[1] * i]], float) for i in range(FRAMES)]


@pytest.mark.parametrize("name", MOVING)
def test_a_shifted_patch_is_followed(name):
    step = np.array([4.0, -3.0])
    starts = np.array([CENTRE, CENTRE + 20])
    found = TRACKERS[name](patch_on_white(shifts(step)), starts)
    expected = starts[:, None] + step * np.arange(FRAMES)[:, None]
    assert found.shape == (2, FRAMES, 2)
    assert np.linalg.norm(found - expected, axis=-1).max() < 1.0


@pytest.mark.parametrize("name", [DEFAULT_TRACKER, "dis"])
def test_a_turning_patch_is_followed_along_its_arc(name):
    start = CENTRE + np.array([28, 0])
    turns = [cv2.getRotationMatrix2D(CENTRE.tolist(), -6.0 * i, 1.0) for i in range(FRAMES)]
    found = TRACKERS[name](patch_on_white(turns), start[None])[0]
    expected = np.stack([turn @ (*start, 1.0) for turn in turns])
    assert np.linalg.norm(expected[-1] - start) > 15
    assert np.linalg.norm(found - expected, axis=-1).max() < 2.5


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_nothing_moves_in_a_frozen_clip(name):
    frozen = np.broadcast_to(texture(), (FRAMES, 256, 256, 3))
    starts = np.array([[10.3, 200.7], [128.0, 128.0], [-0.5, 255.5]])
    found = TRACKERS[name](frozen, starts)
    assert np.abs(found - starts[:, None]).max() < 0.05


def test_the_neighbourhood_carries_a_start_that_lies_just_beside_its_part():
    step = np.array([5.0, 0.0])
    beside = np.array([[128.0, 128.0 - 41.5]])  # white, a pixel and a half above the patch
    frames = patch_on_white(shifts(step))
    expected = beside[:, None] + step * np.arange(FRAMES)[:, None]
    error = np.linalg.norm(TRACKERS[DEFAULT_TRACKER](frames, beside) - expected, axis=-1)
    assert error.max() < 3.0


def test_the_neighbourhood_keeps_the_start_exactly():
    starts = np.array([[100.25, 90.75]])
    found = Neighbourhood(stay, radius=6)(patch_on_white(shifts((3, 3))), starts)
    assert np.array_equal(found[:, 0], starts)


def test_trackers_are_told_nothing_but_the_starts():
    """The same frames and starts give the same tracks: no state survives a call."""
    frames, other = patch_on_white(shifts((4, 1))), patch_on_white(shifts((-3, 2)))
    starts = CENTRE[None]
    track = TRACKERS[DEFAULT_TRACKER]
    first = track(frames, starts)
    track(other, starts)
    assert np.array_equal(track(frames, starts), first)


def test_dragged_starts_and_points_are_followed_in_one_look_as_each_is_alone():
    frames = patch_on_white(shifts((4, 2)))
    dragged, points = np.array([[128.0, 128.0], [110.0, 140.0]]), np.array([[120.0, 120.0], [20.0, 30.0]])
    around = Neighbourhood(TRACKERS["dis"], radius=6)
    drags, surface = follow(around, frames, dragged, points)
    assert np.array_equal(drags, around(frames, dragged))
    assert np.array_equal(surface, TRACKERS["dis"](frames, points))
    together = follow(TRACKERS["dis"], frames, dragged, points)
    assert np.array_equal(np.concatenate(together), TRACKERS["dis"](frames, np.concatenate([dragged, points])))


@pytest.mark.parametrize("name", [DEFAULT_TRACKER, "dis"])
def test_nothing_to_follow_and_points_alone_are_no_fault(name):
    frames, none = patch_on_white(shifts((4, 2)))[:2], np.zeros((0, 2))
    drags, points = follow(TRACKERS[name], frames, none, none)
    assert drags.shape == points.shape == (0, 2, 2)
    drags, points = follow(TRACKERS[name], frames, none, CENTRE[None])
    assert drags.shape == (0, 2, 2) and points.shape == (1, 2, 2)


def test_more_points_than_opencv_looks_up_at_once_are_followed():
    frames = patch_on_white(shifts((3, 0)))[:2]
    places = np.tile(CENTRE, (70_000, 1))
    found = TRACKERS["dis"](frames, places)
    assert np.allclose(found[:, 1], found[0, 1]) and found[0, 1, 0] == pytest.approx(131, abs=0.5)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames: transparent around the object, textured, the same every time."""

from __future__ import annotations

import numpy as np
import pytest
from puppet_master.data_gen.cameras import Viewpoint, place_camera
from puppet_master.data_gen.render import Look, average_down, render_frames, set_up
from puppet_master.data_gen.rigs import Joint, Rig
from puppet_master.data_gen.rigs.finishes import finish_from_pixels
from puppet_master.data_gen.rigs.shapes import Shape
from puppet_master.data_gen.settings import RenderSettings

FLAT = Look("FLAT", 0.0, 0.0, (0.0, 0.0, 1.0), 0.0, False, 0.0)
HALVES = np.zeros((8, 8, 3), np.float32)
HALVES[:, :4, 0] = 1.0  # the left half red
HALVES[:, 4:, 2] = 1.0  # the right half blue


@pytest.fixture
def slider(scene) -> Rig:
    """A two-coloured board that slides to the right by its own width."""
    finish = finish_from_pixels("halves", HALVES)
    board = Shape().box((-0.5, -0.01, -0.5), (0.5, 0.01, 0.5), finish, fitted=["front"])
    rig = Rig("test")
    rig.add_part("frame", Shape().box((0, 0.5, 0), (0.01, 0.51, 0.01), finish))
    part = rig.add_part("board", board, joint=Joint("prismatic", "x", (0.0, 0.0, 0.0), (0.0, 1.0)))
    rig.animate(part, (0.0, 1.0), (1, 2))
    corners = [(-1, 0, -1), (2, 0, -1), (-1, 0, 2), (2, 0, 2)]
    place_camera(scene, corners, Viewpoint(0, 0, angle=20, fill=0.99))
    return rig


@pytest.mark.parametrize("engine", ["workbench", "cycles"])
def test_frames_show_the_texture_on_nothing(scene, slider, engine):
    settings = RenderSettings(size=48, engine=engine, samples=4)
    set_up(scene, settings, FLAT)
    first, second = render_frames(scene, [1, 2], settings)
    assert first.shape == (48, 48, 4) and first.dtype == np.uint8
    # The frame spans x and z from -1 to 2, 16 pixels a unit: the board begins at column 8, then at 24.
    assert first[31, 12, 0] > 120 > first[31, 12, 2]
    assert first[31, 20, 2] > 120 > first[31, 20, 0]
    assert first[31, 16, 3] == 255
    assert second[31, 28, 0] > 120 and second[31, 36, 2] > 120
    assert second[31, 20, 3] == 0 and first[31, 28, 3] == 0
    assert (first[first[..., 3] == 0] == 0).all()


def test_rendering_again_gives_the_same_pixels(scene, slider):
    settings = RenderSettings(size=32)
    set_up(scene, settings, FLAT)
    np.testing.assert_array_equal(render_frames(scene, [1, 2], settings), render_frames(scene, [1, 2], settings))


def test_averaging_weights_colours_by_alpha():
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = (200, 100, 50, 255)
    pixels[1, 1] = (100, 100, 250, 255)
    pixels[0, 1] = (9, 9, 9, 0)  # hidden colour must not shine through
    np.testing.assert_array_equal(average_down(pixels, 1), [[(150, 100, 150, 128)]])


def test_averaging_keeps_whole_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 6, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    np.testing.assert_array_equal(average_down(pixels, 6), pixels)

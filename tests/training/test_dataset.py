# SPDX-License-Identifier: GPL-3.0-or-later
"""Views move points with pixels; drags are drawn as an animator would set them."""

from __future__ import annotations

import numpy as np
import pytest
from puppet_master.backend.errors import InputError
from puppet_master.training.dataset import (
    TrainingClip,
    View,
    apply_view,
    clip_files,
    draw_drags,
    load_clip,
    random_view,
)

FRAMES, SIDE = 6, 64


def make_clip():
    """A red square that moves right on a still green one; tracks on both."""
    frames = np.zeros((FRAMES, SIDE, SIDE, 4), dtype=np.uint8)
    frames[:, 40:56, 8:24] = (0, 200, 0, 255)
    centres = []
    for n in range(FRAMES):
        left = 10 + 5 * n
        frames[n, 12:24, left : left + 12] = (220, 0, 0, 255)
        centres.append(((left + 6) / SIDE, 18 / SIDE))
    moving = np.array(centres, dtype=np.float32)
    still = np.repeat(np.array([[16 / SIDE, 48 / SIDE]], dtype=np.float32), FRAMES, axis=0)
    tracks = np.stack([moving, moving + np.float32(0.03), still, still + np.float32(0.02)])
    return TrainingClip(frames, tracks, np.ones((4, FRAMES), dtype=bool), np.array([1, 1, 0, 0], dtype=np.int16))


def red_centre(frame):
    """Normalised centre of the red pixels of a frame `[S, S, 3]` in [-1, 1]."""
    rows, columns = np.nonzero((frame[..., 0] > 0.3) & (frame[..., 1] < -0.3))
    return (columns.mean() + 0.5) / frame.shape[1], (rows.mean() + 0.5) / frame.shape[0]


@pytest.mark.parametrize(
    "view",
    [
        View(),
        View(flip=True),
        View(reverse=True),
        View(zoom=0.9, centre=(0.55, 0.45)),
        View(zoom=1.25, centre=(0.4, 0.5), flip=True, reverse=True),
    ],
)
def test_points_stay_on_the_pixels_they_mark(view):
    frames, seen = apply_view(make_clip(), view, 96)
    assert frames.shape == (FRAMES, 96, 96, 3)
    for n in range(FRAMES):
        assert red_centre(frames[n]) == pytest.approx(tuple(seen.tracks[0, n]), abs=0.012)


def test_the_background_shows_where_nothing_is():
    frames, _ = apply_view(make_clip(), View(background=(0.0, 0.5, 1.0)), SIDE)
    assert frames[0, 0, 0].tolist() == pytest.approx([-1.0, 0.0, 1.0], abs=1e-5)


def test_points_that_leave_the_window_are_no_longer_visible():
    _, seen = apply_view(make_clip(), View(zoom=0.5, centre=(0.25, 0.25)), SIDE)
    assert seen.visible[0, 0] and not seen.visible[0, -1]


def test_random_views_keep_the_object_in_sight():
    clip, rng = make_clip(), np.random.default_rng(0)
    for _ in range(20):
        frames, _ = apply_view(clip, random_view(clip, rng), 48)
        assert frames.std() > 0.05


def test_each_moving_part_gets_a_drag_that_starts_visible_and_follows_its_track():
    clip = make_clip()
    for seed in range(20):
        drags = draw_drags(clip, np.random.default_rng(seed), slots=3, straighten=0.0, pins=0.0)
        assert len(drags) >= 1
        for path in drags:
            assert any(np.array_equal(path, track) for track in clip.tracks[:2])


def test_straightened_drags_keep_their_ends_and_go_at_constant_speed():
    clip = make_clip()
    clip.tracks[:2, 2, 1] += 0.1
    path = draw_drags(clip, np.random.default_rng(0), slots=1, straighten=1.0)[0]
    steps = np.diff(path, axis=0)
    assert np.allclose(steps, steps[0], atol=1e-6)
    assert any(np.allclose(path[[0, -1]], track[[0, -1]]) for track in clip.tracks[:2])


def test_pins_rest_on_still_points():
    drags = draw_drags(make_clip(), np.random.default_rng(0), slots=5, straighten=0.0, pins=1.0)
    pins = [path for path in drags if (path == path[0]).all()]
    assert len(pins) == 2
    assert all(pin[0, 1] > 0.7 for pin in pins)


def test_hidden_points_and_still_clips_give_no_drags():
    clip = make_clip()
    clip.visible[:, 0] = False
    assert draw_drags(clip, np.random.default_rng(0), slots=3, pins=1.0).shape == (0, FRAMES, 2)


def test_an_empty_folder_and_a_damaged_clip_are_named(tmp_path):
    with pytest.raises(InputError, match="no clips"):
        clip_files(tmp_path)
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(InputError, match=r"bad\.npz cannot be used for training"):
        load_clip(tmp_path / "bad.npz")

# SPDX-License-Identifier: GPL-3.0-or-later
"""Views move points with pixels; drags are drawn as an animator would set them."""

from __future__ import annotations

import numpy as np
import pytest
from puppet_master.backend.errors import InputError
from puppet_master.backend.shards import write_tar
from puppet_master.training.dataset import (
    RenderedClips,
    TrackedPoints,
    View,
    apply_view,
    draw_drags,
    random_view,
)
from puppet_master.training.settings import ViewSettings
from rendered_clips import FRAMES, SIDE, a_clip, damage, write_dataset


def points():
    """Two points on a moving part, two on a still one."""
    clip = a_clip()
    return TrackedPoints(clip.tracks, clip.visible, clip.part)


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
        View(start=1, stride=2, frames=2),
        View(start=1, stride=2, frames=2, reverse=True, flip=True),
    ],
)
def test_points_stay_on_the_pixels_they_mark(view):
    frames, seen = apply_view(a_clip(), view, 96)
    count = view.frames or FRAMES
    assert frames.shape == (count, 96, 96, 3) and seen.tracks.shape == (4, count, 2)
    for n in range(count):
        assert red_centre(frames[n]) == pytest.approx(tuple(seen.tracks[0, n]), abs=0.012)


def test_the_background_shows_where_nothing_is():
    frames, _ = apply_view(a_clip(), View(background=(0.0, 0.5, 1.0)), SIDE)
    assert frames[0, 0, 0].tolist() == pytest.approx([-1.0, 0.0, 1.0], abs=1e-5)


def test_points_that_leave_the_window_are_no_longer_visible():
    _, seen = apply_view(a_clip(), View(zoom=0.5, centre=(0.25, 0.25)), SIDE)
    assert seen.visible[0, 0] and not seen.visible[0, -1]


def test_random_views_keep_the_object_in_sight():
    clip, rng = a_clip(), np.random.default_rng(0)
    for _ in range(20):
        frames, _ = apply_view(clip, random_view(clip, rng), 48)
        assert frames.std() > 0.05


def test_views_of_fewer_frames_are_strided_at_random_within_the_clip():
    clip, rng = a_clip(), np.random.default_rng(0)
    views = [random_view(clip, rng, ViewSettings(frames=3)) for _ in range(40)]
    shown = [tuple(sorted(view.order(FRAMES))) for view in views]
    assert {len(frames) for frames in shown} == {3}
    assert {frames[1] - frames[0] for frames in shown} == {1, 2}
    assert min(frames[0] for frames in shown) == 0 and max(frames[-1] for frames in shown) == FRAMES - 1
    with pytest.raises(InputError, match="has 6 frames, but views of 9 are asked for"):
        random_view(clip, rng, ViewSettings(frames=9))


def test_each_moving_part_gets_a_drag_that_starts_visible_and_follows_its_track():
    given = points()
    for seed in range(20):
        drags = draw_drags(given, np.random.default_rng(seed), slots=3, straighten=0.0, pins=0.0)
        assert len(drags) >= 1
        for path in drags:
            assert any(np.array_equal(path, track) for track in given.tracks[:2])


def test_straightened_drags_keep_their_ends_and_go_at_constant_speed():
    given = points()
    given.tracks[:2, 2, 1] += 0.1
    path = draw_drags(given, np.random.default_rng(0), slots=1, straighten=1.0)[0]
    steps = np.diff(path, axis=0)
    assert np.allclose(steps, steps[0], atol=1e-6)
    assert any(np.allclose(path[[0, -1]], track[[0, -1]]) for track in given.tracks[:2])


def test_pins_rest_on_still_points():
    drags = draw_drags(points(), np.random.default_rng(0), slots=5, straighten=0.0, pins=1.0)
    pins = [path for path in drags if (path == path[0]).all()]
    assert len(pins) == 2
    assert all(pin[0, 1] > 0.7 for pin in pins)


def test_hidden_points_and_still_clips_give_no_drags():
    given = points()
    given.visible[:, 0] = False
    assert draw_drags(given, np.random.default_rng(0), slots=3, pins=1.0).shape == (0, FRAMES, 2)


def test_drags_follow_the_parts_that_the_data_names():
    """Two parts that move alike get a drag each, one part of the same points only one."""
    moving = points().tracks[:2]
    for part, drags in (([1, 1], 1), ([1, 2], 2)):
        given = TrackedPoints(moving, np.ones((2, FRAMES), dtype=bool), np.array(part, dtype=np.int16))
        assert len(draw_drags(given, np.random.default_rng(0), slots=4, pins=0.0)) == drags


def test_the_clips_of_several_folders_come_one_after_the_other(tmp_path):
    folders = [write_dataset(tmp_path / "a", 3), write_dataset(tmp_path / "b", 1, prefix="other")]
    clips = RenderedClips(folders)
    assert clips.names == ["square-0", "square-1", "square-2", "other-0"]
    assert [clips.load(index).meta["shift"] for index in range(len(clips))] == [0, 1, 2, 0]
    assert np.array_equal(clips.load(2).frames, a_clip(2).frames)


def test_a_folder_without_clips_is_named(tmp_path):
    with pytest.raises(InputError, match=f"no shards .* in {tmp_path}"):
        RenderedClips([tmp_path])
    write_tar(tmp_path / "clips-000000.tar", [])
    with pytest.raises(InputError, match="hold no clips"):
        RenderedClips([tmp_path])


def test_a_damaged_clip_is_named_with_its_shard_and_the_others_can_be_read(tmp_path):
    shard = write_dataset(tmp_path, 2) / "clips-000000.tar"
    damage(shard, at=b"IDAT")
    clips = RenderedClips([tmp_path])
    with pytest.raises(InputError, match=r"square-0 in .*clips-000000\.tar cannot be read") as caught:
        clips.load(0)
    assert "\n" not in str(caught.value)
    assert clips.load(1).meta["shift"] == 1

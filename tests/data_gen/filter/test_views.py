# SPDX-License-Identifier: GPL-3.0-or-later
"""What one camera sees, on tracks and pictures of known content."""

from __future__ import annotations

import numpy as np
import pytest
from puppet_master.data_gen.filter.thresholds import decide_view
from puppet_master.data_gen.filter.views import VIEW_FEATURES, view_features


def tracks_of(count=100, frames=14, movers=40, by=0.2):
    """Points on a grid; the first `movers` go right."""
    start = np.random.default_rng(0).uniform(0.2, 0.6, (count, 1, 2))
    tracks = np.repeat(start, frames, axis=1)
    tracks[:movers, :, 0] += np.linspace(0, by, frames)
    return tracks.astype(np.float32), np.ones((count, frames), bool)


def picture(color, alpha=255, frames=3, size=32):
    """A covered square in the middle."""
    found = np.zeros((frames, size, size, 4), np.uint8)
    found[:, 8:24, 8:24] = (*color, alpha)
    return found


def test_a_good_view():
    tracks, visible = tracks_of()
    frames = picture((200, 60, 20))
    frames[:, 8:16, 8:24, :3] = 30
    found = view_features(tracks, visible, frames)
    assert found.image_motion == pytest.approx(0.2, abs=1e-4)
    assert found.movers_seen == 40 and found.motion_seen == 1 and found.seen_later == 1
    assert found.off_screen == found.off_screen_later == 0
    assert found.coverage == 0.25 and found.white == found.black == 0 and found.contrast > 0.1
    assert decide_view(found) is None
    assert set(found.to_json()) == set(VIEW_FEATURES)


def test_without_pictures_nothing_counts_as_blank():
    assert decide_view(view_features(*tracks_of())) is None


def test_motion_on_the_far_side_is_invisible():
    tracks, visible = tracks_of()
    visible[:40] = False
    found = view_features(tracks, visible)
    assert found.movers_seen == 0 and found.motion_seen == 0 and found.image_motion == 0
    assert decide_view(found).reason == "invisible"


def test_motion_that_shows_only_later_is_invisible():
    """A drag begins in the first frame."""
    tracks, visible = tracks_of()
    visible[:40, 0] = False
    assert decide_view(view_features(tracks, visible)).reason == "invisible"


def test_what_begins_or_goes_outside_is_off_screen():
    tracks, visible = tracks_of()
    outside = tracks.copy()
    outside[:20] += 2
    assert view_features(outside, visible).off_screen == pytest.approx(0.2)
    assert decide_view(view_features(outside, visible)).reason == "off-screen"
    tracks, visible = tracks_of(movers=60, by=1.0)
    found = view_features(tracks, visible)
    assert found.off_screen == 0 and found.off_screen_later == pytest.approx(0.6)
    assert decide_view(found).reason == "off-screen"


@pytest.mark.parametrize(
    ("frames", "feature"),
    [(picture((255, 255, 255)), "white"), (picture((0, 0, 0)), "black"), (picture((90, 90, 90), alpha=10), "coverage")],
)
def test_white_black_and_empty_pictures_are_blank(frames, feature):
    found = view_features(*tracks_of(), frames)
    assert getattr(found, feature) == (0 if feature == "coverage" else 1)
    assert decide_view(found).reason == "blank"


def test_one_empty_frame_is_enough():
    frames = picture((90, 60, 90))
    frames[1] = 0
    assert decide_view(view_features(*tracks_of(), frames)).reason == "blank"


def test_no_points_at_all_are_invisible_not_an_error():
    found = view_features(np.zeros((0, 14, 2), np.float32), np.zeros((0, 14), bool))
    assert decide_view(found) is not None

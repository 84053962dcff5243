# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels beside points: near them, in the region, none over another."""

import itertools

import numpy as np
import pytest
from puppet_master.addon import labels

OFFSET, KEEP_OFF, GAP = (9.0, -16.0), 6.0, 3.0
SIZE = (34.0, 9.0)


def place(anchors, sizes=None, region=(600.0, 400.0)):
    anchors = tuple((float(x), float(y)) for x, y in anchors)
    return labels.place(anchors, sizes or (SIZE,) * len(anchors), region, OFFSET, KEEP_OFF, GAP)


def overlaps(corners, sizes):
    """Pairs of labels of which one covers a part of the other."""
    boxes = [(*corner, *size) for corner, size in zip(corners, sizes, strict=True)]
    return [
        (a, b) for (a, (x, y, w, h)), (b, (u, v, s, t)) in itertools.combinations(enumerate(boxes), 2)
        if x < u + s and u < x + w and y < v + t and v < y + h
    ]  # fmt: skip


def test_a_label_that_has_room_lies_where_it_is_wanted():
    assert place([(100, 200), (300, 200)]) == ((109.0, 184.0), (309.0, 184.0))


def test_the_second_of_two_ends_at_one_place_gives_way_by_the_shortest_way():
    first, second = place([(100, 200), (100, 200)])
    assert first == (109.0, 184.0)
    assert second == (109.0, 184.0 - SIZE[1] - GAP)


@pytest.mark.parametrize("spread", [0.0, 15.0, 60.0])
def test_twenty_labels_of_ends_close_together_do_not_overlap_and_stay_in_the_region(spread):
    rng = np.random.default_rng(3)
    anchors = rng.normal((580.0, 20.0), spread, (20, 2)).clip(0.0, (600.0, 400.0))
    sizes = tuple((float(width), 9.0) for width in rng.uniform(25.0, 45.0, 20))
    corners = place(anchors, sizes)
    assert overlaps(corners, sizes) == []
    for (x, y), (width, height) in zip(corners, sizes, strict=True):
        assert 0.0 <= x <= 600.0 - width
        assert 0.0 <= y <= 400.0 - height
    labels.place.cache_clear()
    assert place(anchors, sizes) == corners


def test_labels_do_not_hide_the_ends_of_others():
    anchors = [(100.0, 200.0), (120.0, 190.0), (105.0, 178.0)]
    for x, y in place(anchors):
        for u, v in anchors:
            assert not (x < u < x + SIZE[0] and y < v < y + SIZE[1])


def test_without_room_for_all_they_stay_in_the_region():
    region = (50.0, 24.0)
    for x, y in place([(10, 10)] * 5, region=region):
        assert 0.0 <= x <= 50.0 - SIZE[0]
        assert 0.0 <= y <= 24.0 - SIZE[1]
    assert place([(10, 10)], region=(20.0, 5.0)) == ((0.0, 0.0),)


def test_no_labels_have_no_places():
    assert place([]) == ()


def test_a_line_to_a_label_ends_at_its_nearest_point():
    assert labels.nearest_point((10.0, 10.0), (20.0, 5.0), (0.0, 12.0)) == (10.0, 12.0)
    assert labels.nearest_point((10.0, 10.0), (20.0, 5.0), (15.0, 12.0)) == (15.0, 12.0)

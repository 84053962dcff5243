# SPDX-License-Identifier: GPL-3.0-or-later
"""What a shot is about: told from boxes that stand in a set and move or do not."""

import numpy as np
import pytest
from puppet_master.data_gen.focus import find_focus
from puppet_master.data_gen.recording import Recording

CORNERS = np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
FACES = np.array([(0, 1, 2), (1, 3, 2), (4, 6, 5), (5, 6, 7)], np.int32)


def recording(**boxes):
    """Boxes by name: (place, size, and how far it goes along x) at three moments."""
    placed = [
        np.stack([np.asarray(place) + (share * way, 0, 0) + CORNERS * size for share in (0, 0.5, 1)])
        for place, size, way in boxes.values()
    ]
    order = np.arange(len(boxes), dtype=np.int32)
    return Recording(
        times=np.arange(3.0),
        positions=np.concatenate(placed, axis=1).astype(np.float32),
        triangles=np.concatenate([FACES + 8 * item for item in order]).astype(np.int32),
        owner=np.repeat(order, len(FACES)),
        names=tuple(boxes),
        vertex_owner=np.repeat(order, 8),
        present=np.ones((3, len(boxes)), bool),
    )


def test_a_drawer_and_its_cabinet_are_the_subject_and_the_floor_is_not():
    shot = recording(
        drawer=((0, 0, 0.5), 0.4, 0.4), cabinet=((-0.5, -1, 0), 2, 0), floor=((-25, -25, -50), 50, 0),
        tree=((9, 9, 0), 3, 0),
    )  # fmt: skip
    assert find_focus(shot) == {"drawer", "cabinet"}


def test_a_large_thing_that_moves_is_never_a_backdrop():
    shot = recording(ball=((0, 0, 0), 0.2, 0.5), ground=((-25, -25, -50), 50, 2.0), stone=((-60, 0, 0), 1, 0))
    assert find_focus(shot) == {"ball", "ground"}


@pytest.mark.parametrize("way", [0.0, 1.0])
def test_without_motion_or_without_a_set_all_of_it_is_the_subject(way):
    assert find_focus(recording(lid=((0, 0, 1), 1, way), box=((0, 0, 0), 1, 0))) is None


def test_what_pops_up_is_part_of_the_subject():
    shot = recording(lid=((0, 0, 1), 1, 0.5), ghost=((0, 0, 3), 1, 0), far=((50, 0, 0), 1, 0))
    shot.present[1, 1] = False
    assert find_focus(shot) == {"lid", "ghost"}


def test_a_recording_of_some_items_alone_is_one_of_its_own():
    shot = recording(lid=((0, 0, 1), 1, 0.5), box=((0, 0, 0), 1, 0), floor=((-9, -9, -20), 20, 0))
    alone = shot.only({"lid", "floor"})
    assert alone.names == ("lid", "floor")
    assert alone.triangles.max() == 15
    assert np.array_equal(alone.owner, np.repeat([0, 1], 4))
    assert np.array_equal(alone.positions[:, :8], shot.positions[:, :8])
    assert np.array_equal(alone.positions[:, 8:], shot.positions[:, 16:])
    low, high = alone.bounds()
    assert low[0].tolist() == [-9, -9, -20] and high[2].tolist() == [11, 11, 2]
    assert shot.only(None) is shot

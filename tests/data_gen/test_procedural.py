# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole clips of procedural rigs."""

from __future__ import annotations

import numpy as np
import pytest
from puppet_master.backend.errors import InputError
from puppet_master.data_gen import film
from puppet_master.data_gen.drags import displacement
from puppet_master.data_gen.procedural import make_procedural_clip
from puppet_master.data_gen.rigs import BUILDERS
from puppet_master.data_gen.settings import RenderSettings
from puppet_master.data_gen.tracks import Tracks

SMALL = RenderSettings(size=48)


def make(kind="cabinet", seed=3, frames=5):
    return make_procedural_clip(kind, seed, frames, SMALL)


def test_a_seed_always_gives_the_same_clip_whatever_came_before():
    first = make()
    make("laptop", 8)
    second = make()
    for name in ("frames", "drags", "tracks", "visible", "part"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.meta == second.meta


def test_seeds_give_different_clips():
    assert not np.array_equal(make(seed=3).frames, make(seed=4).frames)


@pytest.mark.parametrize("kind", BUILDERS)
def test_a_clip_of_every_kind_moves_and_is_dragged_where_it_can_be_seen(kind):
    clip = make(kind, seed=1)
    assert clip.frames.shape == (5, 48, 48, 4)
    assert 0.02 < (clip.frames[0, ..., 3] > 0).mean() < 0.95
    changed = (clip.frames[0].astype(int) != clip.frames[-1]).any(-1).mean()
    assert changed > 0.002
    assert 1 <= len(clip.drags) <= 5
    starts = clip.drags[:, 0]
    assert ((starts >= 0) & (starts <= 1)).all()
    assert displacement(clip.drags)[0] >= 0.02
    for drag in clip.drags:
        index = np.flatnonzero((clip.tracks == drag).all((1, 2)))
        assert len(index) and clip.visible[index[0], 0]


def test_tracks_on_the_object_lie_where_the_frames_are_opaque():
    clip = make("fridge", seed=2)
    for frame in range(5):
        opaque = np.pad(clip.frames[frame, ..., 3] > 0, 1)
        x, y = np.moveaxis((clip.tracks[clip.visible[:, frame], frame] * 48).astype(int) + 1, 1, 0)
        # A point on the outline may fall into the next pixel, which its surface hardly touches.
        beside = [opaque[y + dy, x + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        assert np.any(beside, axis=0).all()


def test_metadata_say_what_moves_and_from_where_it_is_seen():
    meta = make().meta
    assert meta["kind"] == "cabinet" and meta["seed"] == 3
    assert {"azimuth", "elevation", "angle", "fill"} <= set(meta["viewpoint"])
    assert all({"part", "start", "end"} <= set(move) for move in meta["moves"])


def test_unknown_kind_is_refused():
    with pytest.raises(InputError, match="'sofa'"):
        make("sofa")


def test_a_stage_that_never_moves_is_given_up(monkeypatch):
    monkeypatch.setattr(film, "MIN_MOTION", 10.0)
    with pytest.raises(InputError, match="none of 12 draws is worth a clip"):
        make("box")


def test_faults_are_told():
    still = Tracks(np.full((9, 4, 2), 0.5, np.float32), np.ones((9, 4), bool), np.zeros(9, np.int16))
    assert "0 of the points seen at the start move" in film.find_fault(still, np.array([0]))
    moving = still.xy.copy()
    moving[:, -1] += 0.3
    assert film.find_fault(Tracks(moving, still.visible, still.part), np.array([0])) == ""
    assert "inside the first frame" in film.find_fault(Tracks(moving + 2, still.visible, still.part), np.array([0]))

# SPDX-License-Identifier: GPL-3.0-or-later
"""Procedural rigs as sources of one animation."""

from __future__ import annotations

import numpy as np
import pytest
from puppet_master.backend.errors import InputError
from puppet_master.data_gen.procedural import RigSource
from puppet_master.data_gen.recording import record
from puppet_master.data_gen.rigs import BUILDERS


def recorded(kind: str, seed: int, attempt: int = 0, frames: int = 4):
    playback = RigSource(kind, seed, frames, attempt).play(0)
    return playback, record(playback, range(1, frames + 1))


def test_a_seed_always_gives_the_same_rig_and_motion_whatever_came_before():
    _, first = recorded("cabinet", 3)
    recorded("laptop", 8)
    _, second = recorded("cabinet", 3)
    np.testing.assert_array_equal(first.positions, second.positions)


def test_another_attempt_or_seed_is_another_rig():
    positions = [recorded("cabinet", seed, attempt)[1].positions for seed, attempt in ((3, 0), (4, 0), (3, 1))]
    assert len({moment.tobytes() for moment in positions}) == 3


@pytest.mark.parametrize("kind", BUILDERS)
def test_what_the_groups_name_moves_and_the_rest_stays(kind):
    playback, recording = recorded(kind, 1)
    named = {part for group in playback.groups for part in group}
    labels = {item.name_full: label for item, label in zip(playback.objects, playback.labels, strict=True)}
    moved = np.linalg.norm(recording.positions - recording.positions[0], axis=-1).max(0)
    for index, name in enumerate(recording.names):
        reach = moved[recording.vertex_owner == index].max()
        assert reach > 0.01 if labels[name] in named else reach < 1e-5, name


def test_the_animation_is_as_long_as_a_clip_and_named_after_what_moves():
    source = RigSource("cabinet", 3, 9)
    playback = source.play(0)
    assert (playback.first, playback.last) == (1, 9)
    assert source.animations() == [" + ".join(move["name"] for move in source.meta["moves"])]


def test_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match="'sofa'"):
        RigSource("sofa", 0, 4)

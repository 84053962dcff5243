# SPDX-License-Identifier: GPL-3.0-or-later
"""Drags from ComfyUI's track JSON and from Wan-Move's arrays."""

from __future__ import annotations

import json

import numpy as np
import pytest
from puppet_master.backend.batch.track_files import read_drags
from puppet_master.backend.errors import InputError
from puppet_master.backend.protocol import trajectories

SIZE = (832, 480)
FRAMES = 81


@pytest.fixture
def tracks():
    """`[frames, 2 tracks, 2]` in pixels: one along an arc, one at rest."""
    angle = np.linspace(0, np.pi / 2, FRAMES)
    arc = np.stack([300 + 100 * np.cos(angle), 200 + 100 * np.sin(angle)], -1)
    return np.stack([arc, np.full((FRAMES, 2), (416.0, 240.0))], 1)


def close(drags, tracks):
    """The drags, sampled at the tracks' frames, are the tracks within a third of a pixel."""
    got = trajectories(drags, len(tracks)).transpose(1, 0, 2) * np.array(SIZE)
    return np.abs(got - tracks).max() < 0.33


@pytest.mark.parametrize("batched", [False, True])
def test_wan_move_tracks_become_drags(tmp_path, tracks, batched):
    np.save(tmp_path / "tracks.npy", (tracks[None] if batched else tracks).astype(np.float32))
    drags = read_drags(tmp_path / "tracks.npy", SIZE)
    assert close(drags, tracks)
    assert [drag.is_pin for drag in drags] == [False, True]
    assert len(drags[0].points) < 30 and len(drags[1].points) == 2  # a path, not every frame


def test_what_is_unseen_leaves_its_track_or_all_of_it_out(tmp_path, tracks):
    seen = np.ones((1, FRAMES, 2), bool)
    seen[0, 20:40, 0] = False
    tracks[20:40, 0] = 0  # whatever stands where nothing is seen
    seen[0, 0, 1] = False
    np.save(tmp_path / "tracks.npy", tracks[None])
    np.save(tmp_path / "seen.npy", seen)
    (drag,) = read_drags(tmp_path / "tracks.npy", SIZE, tmp_path / "seen.npy")
    got = drag.resample(FRAMES) * np.array(SIZE)
    assert drag.name == "track 0"
    assert np.abs(got[:20] - tracks[:20, 0]).max() < 0.33 and np.abs(got[40:] - tracks[40:, 0]).max() < 0.33
    assert np.abs(np.diff(got, axis=0)).max() < 10  # straight on through what is not seen


@pytest.mark.parametrize("quotes", ['"', "'"])
def test_comfyui_tracks_become_drags(tmp_path, tracks, quotes):
    content = [[{"x": x, "y": y} for x, y in tracks[:, k].tolist()] for k in range(2)]
    path = tmp_path / "tracks.json"
    path.write_text(json.dumps(content).replace('"', quotes))
    assert close(read_drags(path, SIZE), tracks)
    path.write_text(json.dumps(content[0]))
    (only,) = read_drags(path, SIZE)
    assert close([only], tracks[:, :1])


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = tmp_path / "tracks.json"
    path.write_text('[{"x": 8, "y": 8}, {"x": 16, "y": 8}]', encoding="utf-8-sig")
    assert len(read_drags(path, SIZE)) == 1


def test_our_own_files_need_no_size(tmp_path):
    path = tmp_path / "drags.json"
    path.write_text('{"version": 1, "drags": [{"name": "a", "points": [{"t":0,"x":0,"y":0},{"t":1,"x":1,"y":1}]}]}')
    assert read_drags(path, None)[0].name == "a"


@pytest.mark.parametrize(
    "content, words",
    [
        ([[{"x": 900, "y": 10}, {"x": 0, "y": 0}]], r"outside the still.*taken as pixels of 832x480"),
        ([[{"x": 1}]], "track 0: each place must be"),
        ([1, 2], "neither a drag file"),
        ([[]], "holds no track that is seen"),
        ([[{"x": 10**400, "y": 1}]], "track 0: each place must be"),
        ({"version": 1, "drags": [{"points": [{"t": 10**400, "x": 0, "y": 0}]}]}, "larger than any number"),
    ],
)
def test_what_is_no_track_is_named(tmp_path, content, words):
    path = tmp_path / "tracks.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=words):
        read_drags(path, SIZE)


def test_arrays_of_other_shapes_are_named(tmp_path, tracks):
    np.save(tmp_path / "flat.npy", np.zeros((5, 2)))
    np.save(tmp_path / "tracks.npy", tracks)
    np.save(tmp_path / "seen.npy", np.ones((3, 2), bool))
    (tmp_path / "text.npy").write_text("hello")
    with pytest.raises(InputError, match=r"the shape \[5, 2\]"):
        read_drags(tmp_path / "flat.npy", SIZE)
    with pytest.raises(InputError, match=r"\[3, 2\], but its tracks have \[81, 2\]"):
        read_drags(tmp_path / "tracks.npy", SIZE, tmp_path / "seen.npy")
    with pytest.raises(InputError, match="as an array"):
        read_drags(tmp_path / "text.npy", SIZE)
    (tmp_path / "torn.npy").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InputError, match="as an array"):
        read_drags(tmp_path / "torn.npy", SIZE)
    whole = (tmp_path / "tracks.npy").read_bytes()
    (tmp_path / "huge.npy").write_bytes(whole.replace(b"(81,", b"(9" + b"0" * 15 + b","))
    with pytest.raises(InputError, match="as an array"):
        read_drags(tmp_path / "huge.npy", SIZE)
    with (tmp_path / "many.npy").open("wb") as stream:
        np.savez(stream, tracks=tracks)
    with pytest.raises(InputError, match="an archive of arrays"):
        read_drags(tmp_path / "many.npy", SIZE)
    np.save(tmp_path / "complex.npy", tracks + 1j)
    with pytest.raises(InputError, match="type complex128"):
        read_drags(tmp_path / "complex.npy", SIZE)
    with pytest.raises(InputError, match='"tracks_size"'):
        read_drags(tmp_path / "tracks.npy", None)

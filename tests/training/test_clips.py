# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips to measure on: read from shards and from archives, with every fault named."""

from dataclasses import replace

import numpy as np
import pytest
from puppet_master.backend.clips import encode_clip
from puppet_master.backend.errors import InputError
from puppet_master.backend.shards import write_tar
from puppet_master.training.clips import read_clips, read_npz
from puppet_master.training.evaluate import score_clips
from rendered_clips import SIDE, a_clip, write_dataset
from sliding_squares import FRAMES, QUICK, frozen, sliding_clip


def write(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


def test_rgba_clips_are_read_on_white(tmp_path):
    frames = np.zeros((2, 16, 16, 4), np.uint8)
    path = write(tmp_path / "clear.npz", frames=frames, drags=np.zeros((0, 2, 2), np.float32))
    assert (read_npz(path).frames == 255).all()


def good():
    return {"frames": np.zeros((3, 16, 16, 3), np.uint8), "drags": np.full((1, 3, 2), 0.5, np.float32)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": None}, "has no array frames"),
        ({"frames": None, "drags": None}, "has no array frames and none drags"),
        ({"frames": np.zeros((3, 16, 16, 3), np.float32)}, "frames must be uint8"),
        ({"frames": np.zeros((3, 16, 16), np.uint8)}, "frames must be uint8"),
        ({"frames": np.zeros((1, 16, 16, 3), np.uint8)}, r"it has 1 frame\(s\)"),
        ({"frames": np.zeros((3, 8, 16, 3), np.uint8)}, "too small"),
        ({"drags": np.zeros((1, 4, 2), np.float32)}, r"drags must be float \[K, 3, 2\]"),
        ({"drags": np.zeros((1, 3, 2), np.int32)}, "drags must be float"),
        ({"drags": np.full((1, 3, 2), np.nan, np.float32)}, "not finite"),
        ({"drags": np.full((1, 3, 2), 1.5, np.float32)}, "drag 0 starts at"),
        ({"drags": np.array([[{}]], dtype=object)}, "pickled objects"),
    ],
)
def test_a_clip_that_cannot_be_used_is_named_with_its_fault(tmp_path, change, message):
    arrays = {name: array for name, array in (good() | change).items() if array is not None}
    arrays = arrays or {"other": np.zeros(1)}
    path = write(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError, match=message) as caught:
        read_npz(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_an_unreadable_clip_is_named(tmp_path, content):
    path = tmp_path / "broken.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.npz"):
        read_npz(path)


def test_a_clip_damaged_on_disk_is_named(tmp_path):
    path = write(tmp_path / "damaged.npz", **good())
    data = bytearray(path.read_bytes())
    data[90:130] = bytes(40)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"damaged\.npz"):
        read_npz(path)


def test_an_array_file_under_a_clips_name_is_refused(tmp_path):
    path = tmp_path / "array.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match="single array"):
        read_npz(path)


def test_a_missing_or_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        read_clips(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no clips"):
        read_clips(tmp_path)


def test_rendered_clips_are_read_from_their_shards_on_white_with_their_own_drags(tmp_path):
    write_dataset(tmp_path, 3)
    clips = list(read_clips(tmp_path, limit=2))
    assert [clip.name for clip in clips] == ["square-0", "square-1"]
    assert clips[0].frames.shape == (FRAMES, SIDE, SIDE, 3)
    assert clips[1].frames[0, 0, 0].tolist() == [255, 255, 255]
    assert clips[1].frames[0, 13, 10].tolist() == [220, 0, 0]
    assert np.array_equal(clips[1].drags, a_clip(1).drags)


def test_a_clip_has_the_same_scores_from_a_shard_and_from_an_npz(tmp_path):
    write_dataset(tmp_path / "shards", 1)
    clip = a_clip()
    points = {"tracks": clip.tracks, "visible": clip.visible, "part": clip.part}
    write(tmp_path / "square-0.npz", frames=clip.frames, drags=clip.drags, **points)
    scores = [score_clips(read_clips(folder), frozen, QUICK)[0] for folder in (tmp_path, tmp_path / "shards")]
    assert replace(scores[0], seconds=0.0) == replace(scores[1], seconds=0.0)
    assert scores[0].truth.points_error is not None


def test_points_are_read_where_all_of_them_is_there(tmp_path):
    clip = a_clip()
    whole = {"tracks": clip.tracks, "visible": clip.visible, "part": clip.part}
    for missing in (None, "tracks", "visible", "part"):
        arrays = {name: array for name, array in whole.items() if name != missing}
        points = read_npz(write(tmp_path / "clip.npz", frames=clip.frames, drags=clip.drags, **arrays)).points
        if missing:
            assert points is None
        else:
            assert np.array_equal(points.tracks, clip.tracks) and points.part.tolist() == [1, 1, 0, 0]


def test_a_clip_with_no_points_at_all_has_none(tmp_path):
    empty = {
        "tracks": np.zeros((0, 3, 2), np.float32),
        "visible": np.zeros((0, 3), bool),
        "part": np.zeros(0, np.int16),
    }
    assert read_npz(write(tmp_path / "clip.npz", **good(), **empty)).points is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tracks": np.zeros((4, 3, 3), np.float32)}, r"tracks must be float \[P, 3, 2\]"),
        ({"tracks": np.zeros((4, 3, 2), np.int16)}, "tracks must be float"),
        ({"visible": np.ones((4, 2), bool)}, r"visible must be bool \[4, 3\]"),
        ({"visible": np.ones((4, 3), np.uint8)}, "visible must be bool"),
        ({"part": np.zeros(3, np.int16)}, r"part must be integers \[4\]"),
        ({"tracks": np.full((4, 3, 2), np.nan, np.float32)}, "not finite"),
    ],
)
def test_points_that_cannot_be_used_are_named_with_their_fault(tmp_path, change, message):
    points = {"tracks": np.full((4, 3, 2), 0.5, np.float32), "visible": np.ones((4, 3), bool)}
    points |= {"part": np.zeros(4, np.int16)} | change
    with pytest.raises(InputError, match=message) as caught:
        read_npz(write(tmp_path / "bad.npz", **good(), **points))
    assert "bad.npz" in str(caught.value)


def test_places_of_hidden_points_may_be_anything(tmp_path):
    visible = np.array([[True, False, False]])
    tracks = np.where(visible[..., None], [0.5, 0.5], np.nan).astype(np.float32)
    points = read_npz(
        write(tmp_path / "clip.npz", **good(), tracks=tracks, visible=visible, part=np.zeros(1, np.int16))
    ).points
    assert points.visible.sum() == 1


def test_the_object_is_told_by_alpha_or_else_by_what_differs_from_the_border(tmp_path):
    write_dataset(tmp_path, 1)
    (clip,) = read_clips(tmp_path)
    assert np.array_equal(clip.object_cover, clip.alpha > 0)
    by_colour = replace(clip, alpha=None).object_cover
    assert np.array_equal(by_colour, clip.object_cover)


def test_the_digest_knows_a_clip_by_all_but_its_name():
    clip = sliding_clip(points=True)
    assert replace(clip, name="other").digest == clip.digest
    changed = clip.frames.copy()
    changed[3, 0, 0, 0] += 1
    others = [
        replace(clip, frames=changed),
        replace(clip, drags=clip.drags + np.float32(0.01)),
        replace(clip, points=None),
        replace(clip, points=replace(clip.points, visible=~clip.points.visible)),
    ]
    assert len({clip.digest, *(other.digest for other in others)}) == 5


def test_a_rendered_clip_that_cannot_be_measured_is_named(tmp_path):
    clip = replace(a_clip(), drags=np.full((1, FRAMES, 2), 1.5, np.float32))
    write_tar(tmp_path / "clips-000000.tar", [("outside", encode_clip(clip))])
    with pytest.raises(InputError, match=r"clip outside in .*: drag 0 starts at"):
        list(read_clips(tmp_path))

# SPDX-License-Identifier: GPL-3.0-or-later
"""The clip format: what is written is what is read, by us and by others."""

from __future__ import annotations

import io
import os
from dataclasses import replace

import numpy as np
import pytest
import webdataset as wds
from PIL import Image
from puppet_master.backend.clips import Clip, decode_clip, encode_clip
from puppet_master.backend.errors import InputError, OutputError
from puppet_master.backend.png import encode_png
from puppet_master.backend.shards import ShardFolder, read_tar, shard_name, write_tar


def a_clip(seed: int = 0, frames: int = 3, height: int = 8, width: int = 10) -> Clip:
    rng = np.random.default_rng(seed)
    passes = {
        "depth": rng.random((frames, height, width)).astype(np.float16),
        "flow": rng.normal(size=(frames - 1, height, width, 2)).astype(np.float16),
        "part": rng.integers(0, 9, (frames, height, width)).astype(np.uint8),
        "normal": rng.integers(0, 256, (frames, height, width, 3)).astype(np.uint8),
        "paths": rng.normal(size=(frames - 1, height, width, 3)).astype(np.float16),
    }
    return Clip(
        frames=rng.integers(0, 256, (frames, height, width, 4)).astype(np.uint8),
        drags=rng.random((2, frames, 2)).astype(np.float32),
        tracks=rng.random((5, frames, 2)).astype(np.float32),
        visible=rng.random((5, frames)) < 0.5,
        part=np.arange(5, dtype=np.int16),
        meta={"asset": "Schrank ü", "seed": seed},
        extra={"depths": rng.random((5, frames)).astype(np.float32)},
        passes=passes,
    )


def same(one: Clip, other: Clip) -> bool:
    arrays = ("frames", "drags", "tracks", "visible", "part")
    return (
        all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays)
        and one.meta == other.meta
        and all(np.array_equal(one.passes[name], other.passes[name]) for name in one.passes)
        and all(np.array_equal(one.extra[name], other.extra[name]) for name in one.extra)
    )


@pytest.mark.parametrize("shape", [(1, 1, 4), (5, 7, 1), (5, 7, 2), (4, 3, 3), (16, 16, 4), (9, 4)])
@pytest.mark.parametrize("content", ["noise", "ramp", "flat"])
def test_a_png_decodes_to_the_same_pixels(shape, content):
    pixels = {
        "noise": np.random.default_rng(1).integers(0, 256, shape),
        "ramp": np.arange(np.prod(shape)).reshape(shape) * 3 % 256,
        "flat": np.full(shape, 77),
    }[content].astype(np.uint8)
    decoded = np.asarray(Image.open(io.BytesIO(encode_png(pixels))))
    assert np.array_equal(decoded.reshape(pixels.shape), pixels)


def test_a_png_of_a_smooth_picture_is_a_fraction_of_its_pixels():
    y, x = np.mgrid[:128, :128]
    pixels = np.stack((x, y, x + y, np.full_like(x, 255)), -1).astype(np.uint8)
    assert len(encode_png(pixels)) < pixels.nbytes / 40


def test_a_png_of_other_than_bytes_is_refused():
    with pytest.raises(InputError, match="float64"):
        encode_png(np.zeros((2, 2, 3)))


def test_damaged_bytes_give_a_clip_or_an_input_error_that_names_it():
    members, rng = encode_clip(a_clip()), np.random.default_rng(0)
    refused = 0
    for turn in range(2000):
        ending = list(members)[turn % len(members)]
        content = bytearray(members[ending])
        # Headers are the first 200 bytes; that is where readers stumble in the most ways.
        place = rng.integers(min(len(content), 200 if turn % 2 else len(content)))
        content[place : place + 3] = rng.bytes(len(content[place : place + 3]))
        try:
            decode_clip("hurt", members | {ending: bytes(content)})
        except InputError as error:
            refused += 1
            assert "clip hurt" in str(error)
    assert refused > 500


def test_a_clip_reads_back_as_written():
    clip = a_clip()
    assert same(decode_clip("a", encode_clip(clip)), clip)


def test_a_clip_whose_first_frame_alone_was_rendered_reads_back():
    clip = a_clip()
    clip = replace(clip, frames=clip.frames[:1], meta={**clip.meta, "still_only": True})
    assert same(decode_clip("a", encode_clip(clip)), clip)


def test_frames_that_are_missing_are_noticed():
    clip = a_clip()
    with pytest.raises(InputError, match=r"frames is uint8 \[1, "):
        encode_clip(replace(clip, frames=clip.frames[:1]))


def test_equal_clips_give_equal_bytes():
    assert encode_clip(a_clip()) == encode_clip(a_clip())


def test_a_clip_whose_arrays_do_not_fit_is_not_written():
    with pytest.raises(InputError, match="tracks is float64"):
        encode_clip(replace(a_clip(), tracks=np.zeros((5, 3, 2))))


@pytest.mark.parametrize("ending", ["frames.png", "points.npz", "meta.json"])
def test_a_missing_or_damaged_member_is_named(ending):
    members = encode_clip(a_clip())
    with pytest.raises(InputError, match=f"clip door-1 has no {ending}"):
        decode_clip("door-1", {key: value for key, value in members.items() if key != ending})
    with pytest.raises(InputError, match="door-1"):
        decode_clip("door-1", members | {ending: members[ending][: len(members[ending]) // 2]})


def test_shards_give_their_clips_in_order_and_at_any_place(tmp_path):
    clips = {f"c{index}": a_clip(index) for index in range(5)}
    names = list(clips)
    write_tar(tmp_path / shard_name("clips", 0), ((name, encode_clip(clips[name])) for name in names[:3]))
    write_tar(tmp_path / shard_name("clips", 1), ((name, encode_clip(clips[name])) for name in names[3:]))
    folder = ShardFolder(tmp_path)
    assert folder.names == names
    assert len(folder) == 5
    assert same(folder.load(3), clips["c3"])
    assert folder.meta(1) == {"asset": "Schrank ü", "seed": 1}


def test_a_shard_holds_nothing_of_the_moment_it_was_written(tmp_path):
    for name in ("one", "two"):
        write_tar(tmp_path / f"{name}.tar", [("c", encode_clip(a_clip()))])
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_webdataset_reads_a_shard_with_no_code_of_ours(tmp_path):
    clip = a_clip()
    write_tar(tmp_path / "clips-000000.tar", [("c", encode_clip(clip))])
    url = (tmp_path / "clips-000000.tar").as_posix()
    (sample,) = wds.WebDataset(url, shardshuffle=False).decode("rgba8")
    assert sample["__key__"] == "c"
    assert np.array_equal(sample["frames.png"].reshape(clip.frames.shape), clip.frames)
    assert np.array_equal(sample["points.npz"]["tracks"], clip.tracks)
    assert np.array_equal(sample["depth.npy"], clip.passes["depth"])
    assert sample["meta.json"] == clip.meta


def test_a_truncated_shard_is_refused(tmp_path):
    path = tmp_path / "clips-000000.tar"
    write_tar(path, [("c", encode_clip(a_clip()))])
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"clips-000000\.tar cannot be read"):
        ShardFolder(tmp_path)


def test_a_folder_without_shards_is_refused(tmp_path):
    with pytest.raises(InputError, match="no shards"):
        ShardFolder(tmp_path)


def test_a_failing_source_leaves_no_shard(tmp_path):
    def samples():
        yield "c", encode_clip(a_clip())
        raise RuntimeError("the renderer stopped")

    with pytest.raises(RuntimeError):
        write_tar(tmp_path / "clips-000000.tar", samples())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
def test_a_full_disk_is_an_output_error_and_leaves_no_shard(tmp_path):
    import resource
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"clips-000000\.tar"):
            write_tar(tmp_path / "clips-000000.tar", [("c", encode_clip(a_clip(height=64, width=64)))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert list(tmp_path.iterdir()) == []


def test_a_name_with_a_dot_is_refused(tmp_path):
    with pytest.raises(ValueError, match="dots"):
        write_tar(tmp_path / "x.tar", [("a.b", {})])
    assert list(tmp_path.iterdir()) == []


def test_read_tar_gives_members_by_ending(tmp_path):
    write_tar(tmp_path / "x.tar", [("a", {"meta.json": b"{}"}), ("b", {"meta.json": b"[]"})])
    assert list(read_tar(tmp_path / "x.tar")) == [("a", {"meta.json": b"{}"}), ("b", {"meta.json": b"[]"})]

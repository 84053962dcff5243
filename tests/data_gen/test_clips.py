# SPDX-License-Identifier: GPL-3.0-or-later
"""Clip files: read back as written, free of pickles, refused when damaged."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from puppet_master.backend.errors import InputError, OutputError
from puppet_master.data_gen.clips import Clip, read_clip, write_clip


@pytest.fixture
def clip() -> Clip:
    rng = np.random.default_rng(0)
    return Clip(
        frames=rng.integers(0, 255, (3, 8, 8, 4), dtype=np.uint8),
        drags=rng.random((2, 3, 2), dtype=np.float32),
        tracks=rng.random((5, 3, 2), dtype=np.float32),
        visible=rng.random((5, 3)) < 0.5,
        part=np.arange(5, dtype=np.int16),
        meta={"kind": "cabinet", "seed": 7},
    )


def test_a_clip_is_read_back_as_written(tmp_path, clip):
    write_clip(clip, tmp_path / "a.npz")
    again = read_clip(tmp_path / "a.npz")
    for name in ("frames", "drags", "tracks", "visible", "part"):
        np.testing.assert_array_equal(getattr(again, name), getattr(clip, name))
    assert again.meta == clip.meta


def test_the_folder_holds_nothing_but_the_clip(tmp_path, clip):
    write_clip(clip, tmp_path / "a.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_no_array_needs_pickle(tmp_path, clip):
    write_clip(clip, tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        for name in archive.namelist():
            with archive.open(name) as stream:
                assert not np.lib.format.read_array(stream, allow_pickle=False).dtype.hasobject


@pytest.mark.parametrize("keep", [0, 10, 300])
def test_a_cut_off_file_is_refused_by_name(tmp_path, clip, keep):
    path = tmp_path / "a.npz"
    write_clip(clip, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"a\.npz cannot be read"):
        read_clip(path)


def test_flipped_bytes_are_refused(tmp_path, clip):
    path = tmp_path / "a.npz"
    write_clip(clip, path)
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"a\.npz"):
        read_clip(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"gone\.npz"):
        read_clip(tmp_path / "gone.npz")


def test_a_missing_array_is_refused(tmp_path, clip):
    np.savez(tmp_path / "a.npz", frames=clip.frames)
    with pytest.raises(InputError, match="drags"):
        read_clip(tmp_path / "a.npz")


def test_a_pickled_array_is_refused(tmp_path, clip):
    path = tmp_path / "a.npz"
    arrays = {name: getattr(clip, name) for name in ("frames", "drags", "tracks", "visible", "part")}
    np.savez(path, **arrays, meta=np.array({"kind": "x"}, dtype=object))
    with pytest.raises(InputError, match=r"a\.npz"):
        read_clip(path)


def test_arrays_that_do_not_fit_together_are_named(tmp_path, clip):
    write_clip(Clip(clip.frames, clip.drags[:, :2], clip.tracks, clip.visible, clip.part, {}), tmp_path / "a.npz")
    with pytest.raises(InputError, match=r"drags is float32 \[2, 2, 2\], expected float32 \[2, 3, 2\]"):
        read_clip(tmp_path / "a.npz")


def test_an_unwritable_folder_is_an_output_error(tmp_path, clip):
    with pytest.raises(OutputError, match="cannot write clip"):
        write_clip(clip, tmp_path / "no such folder" / "a.npz")

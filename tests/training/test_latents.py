# SPDX-License-Identifier: GPL-3.0-or-later
"""The latent cache: what it holds, that it can be interrupted and shared out, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from puppet_master.backend.autoencoder import encode
from puppet_master.backend.errors import InputError, OutputError
from puppet_master.training import latents
from puppet_master.training.dataset import RenderedClips, apply_view, random_view
from puppet_master.training.latents import read_cache, write_cache
from puppet_master.training.settings import LatentSettings, VaeSettings, ViewSettings
from puppet_master.training.vae import build_vae
from rendered_clips import FRAMES, a_clip, damage, write_dataset

SETTINGS = LatentSettings(count=2, size=32, still_size=16, seed=5)
SHARDS = ["latents-000000.tar", "latents-000001.tar", "latents-000002.tar"]


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return build_vae(VaeSettings()).eval().requires_grad_(False)


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """Five clips of two folders, of which two make a shard of latents."""
    monkeypatch.setattr(latents, "CLIPS_PER_SHARD", 2)
    return RenderedClips([write_dataset(tmp_path / "first", 4), write_dataset(tmp_path / "second", 1)])


def write(clips, vae, out, settings=SETTINGS, share=(0, 1)):
    write_cache(clips, vae, out, settings, share, log=lambda line: None)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_each_view_of_each_clip_is_there_with_its_points(tmp_path, clips, vae):
    write(clips, vae, tmp_path / "out")
    assert sorted(contents(tmp_path / "out")) == ["cache.json", *SHARDS]
    found = list(read_cache(tmp_path / "out"))
    assert len(found) == 10
    rng = np.random.default_rng([5, *b"square-1"])
    for view in found[2:4]:
        frames, points = apply_view(a_clip(1), random_view(a_clip(1), rng), 32)
        expected = encode(vae, torch.from_numpy(frames).permute(0, 3, 1, 2)).numpy()
        assert view.latents.shape == (FRAMES, 4, 4, 4) and view.latents.dtype == np.float16
        assert np.allclose(view.latents, expected, atol=1e-2)
        assert view.still.shape == (16, 16, 3)
        assert np.array_equal(view.points.tracks, points.tracks)
        assert np.array_equal(view.points.visible, points.visible)
        assert view.points.part.tolist() == [1, 1, 0, 0]


def test_clips_of_one_name_in_two_folders_are_both_kept(tmp_path, clips, vae):
    assert clips.names.count("square-0") == 2
    write(clips, vae, tmp_path / "out")
    found = list(read_cache(tmp_path / "out"))
    assert np.array_equal(found[0].latents, found[8].latents)


def test_an_interrupted_cache_goes_on_to_the_same_bytes(tmp_path, clips, vae, monkeypatch):
    write(clips, vae, tmp_path / "whole")
    load = RenderedClips.load

    def fail(self, index):
        if index == 3:
            raise KeyboardInterrupt
        return load(self, index)

    monkeypatch.setattr(RenderedClips, "load", fail)
    with pytest.raises(KeyboardInterrupt):
        write(clips, vae, tmp_path / "out")
    assert sorted(contents(tmp_path / "out")) == ["cache.json", SHARDS[0]]
    monkeypatch.setattr(RenderedClips, "load", load)
    kept = (tmp_path / "out" / SHARDS[0]).stat().st_mtime_ns
    write(clips, vae, tmp_path / "out")
    assert (tmp_path / "out" / SHARDS[0]).stat().st_mtime_ns == kept
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_processes_that_share_the_work_make_the_same_cache(tmp_path, clips, vae):
    write(clips, vae, tmp_path / "whole")
    write(clips, vae, tmp_path / "out", share=(1, 2))
    assert sorted(contents(tmp_path / "out")) == ["cache.json", SHARDS[1]]
    write(clips, vae, tmp_path / "out", share=(0, 2))
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_cache_of_other_clips_views_or_vae_is_not_added_to(tmp_path, clips, vae):
    out = tmp_path / "out"
    write(clips, vae, out, share=(2, 3))
    with pytest.raises(InputError, match="made with other views; choose another"):
        write(clips, vae, out, SETTINGS.model_copy(update={"views": ViewSettings(white=1.0)}))
    with pytest.raises(InputError, match="made with other clips"):
        write(RenderedClips([tmp_path / "first"]), vae, out)
    with pytest.raises(InputError, match="made with other vae"):
        write(clips, build_vae(VaeSettings()), out)
    (out / "cache.json").write_text("[]")
    with pytest.raises(InputError, match=r"cache\.json cannot be read"):
        write(clips, vae, out)


def test_a_folder_without_latents_is_named(tmp_path):
    with pytest.raises(InputError, match=f"no latents .* in {tmp_path}; make some with"):
        list(read_cache(tmp_path))


def test_damaged_latents_are_named_with_their_clip_and_shard(tmp_path, clips, vae):
    write(clips, vae, tmp_path, share=(1, 3))
    damage(tmp_path / SHARDS[1], at=b"stills.npy")
    with pytest.raises(InputError, match=r"00000002-square-2 in .*latents-000001\.tar cannot be read") as caught:
        list(read_cache(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path, clips, vae):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        write(clips, vae, tmp_path / "file" / "out")

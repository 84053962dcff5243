# SPDX-License-Identifier: GPL-3.0-or-later
"""The way from shards of clips to a model that makes previews, by the commands alone, in miniature."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from puppet_master.backend.cli import main
from puppet_master.backend.media import encode_png
from puppet_master.backend.pipeline import PreviewPipeline
from puppet_master.backend.protocol import PreviewRequest
from puppet_master.training import tiny
from puppet_master.training.clips import read_clips
from puppet_master.training.diffusion import Stage
from puppet_master.training.evaluate import path_to_drag
from rendered_clips import FRAMES, write_dataset


@pytest.fixture
def miniature(monkeypatch):
    """The recipe of `tiny`, as small as its parts allow."""
    unet = tiny.DIFFUSION.unet | {"block_out_channels": (32, 32), "num_attention_heads": (1, 1), "num_drags": 2}
    small = {
        "SIZE": 32,
        "FRAMES": FRAMES,
        "VIEWS": 2,
        "SLOTS": 2,
        "VAE": replace(tiny.VAE, size=32, steps=2, batch=2),
        "DIFFUSION": replace(tiny.DIFFUSION, unet=unet, stages=(Stage(2, 2, 3, (1e-3, 1e-3)),)),
    }
    for name, value in small.items():
        monkeypatch.setattr(tiny, name, value)


def run(*arguments):
    """The command's exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def test_shards_become_a_model_that_previews_and_can_be_measured(tmp_path, miniature, capsys):
    clips, more = write_dataset(tmp_path / "clips", 3), write_dataset(tmp_path / "more", 1)
    vae, latents, trained, model = (tmp_path / name for name in ("vae", "latents", "run", "model"))
    assert run("train", "vae", clips, more, "--out", vae) == 0
    assert run("train", "latents", clips, more, "--vae", vae, "--out", latents) == 0
    assert run("train", "diffusion", latents, "--vae", vae, "--out", trained) == 0
    assert run("train", "publish", trained, "--vae", vae, "--out", model) == 0
    assert json.loads((trained / "settings.json").read_text())["clips"] == 4 * 2

    clip = next(read_clips(clips))
    request = PreviewRequest(still_png=encode_png(clip.still), drags=(path_to_drag("drag", clip.drags[0]),))
    frames, result = PreviewPipeline.load(model).generate(request)
    assert frames.shape == (FRAMES, 64, 64, 3)
    assert result.model == "tiny" and np.ptp(frames) > 0

    capsys.readouterr()
    assert run("eval", clips, "--model", model, "--device", "cpu", "--json") == 0
    assert [row["clip"] for row in json.loads(capsys.readouterr().out)["per_clip"]] == [
        "square-0",
        "square-1",
        "square-2",
    ]


@pytest.mark.parametrize("share", ["2/2", "1", "a/b", "-1/2", "0/0"])
def test_a_share_that_is_none_is_refused(tmp_path, share, capsys):
    clips = write_dataset(tmp_path, 1)
    assert main(["train", "latents", str(clips), "--vae", "vae", "--out", "out", "--share", share]) == 4
    assert f"--share {share}" in capsys.readouterr().err


def test_a_folder_without_a_vae_is_named(tmp_path, capsys):
    clips = write_dataset(tmp_path / "clips", 1)
    assert main(["train", "latents", str(clips), "--vae", str(tmp_path), "--out", str(tmp_path / "out")]) == 4
    assert f"there is no VAE in {tmp_path}" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["vae", "latents"])
def test_a_damaged_shard_ends_the_command_with_one_line_that_names_it(tmp_path, command, capsys, miniature):
    shard = write_dataset(tmp_path / "clips", 2) / "clips-000000.tar"
    shard.write_bytes(shard.read_bytes()[:3000])
    vae = [] if command == "vae" else ["--vae", str(tmp_path / "vae")]
    assert main(["train", command, str(tmp_path / "clips"), *vae, "--out", str(tmp_path / "out")]) == 4
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and str(shard) in said
    assert not (tmp_path / "out").exists()

# SPDX-License-Identifier: GPL-3.0-or-later
"""The way from shards of clips to a model that makes previews, by one command, in miniature."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from puppet_master.backend.cli import main
from puppet_master.backend.clips import encode_clip
from puppet_master.backend.media import encode_png
from puppet_master.backend.pipeline import PreviewPipeline
from puppet_master.backend.protocol import PreviewRequest
from puppet_master.backend.shards import write_tar
from puppet_master.training.clips import read_clips
from puppet_master.training.evaluate import path_to_drag
from puppet_master.training.settings import VaeSettings
from puppet_master.training.vae import build_vae
from rendered_clips import FRAMES, a_clip, write_dataset


def run(*arguments):
    """The command's exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def test_shards_become_a_model_that_previews_and_can_be_measured(tmp_path, capsys):
    clips, more = write_dataset(tmp_path / "clips", 3), write_dataset(tmp_path / "more", 1)
    out = tmp_path / "out"
    assert run("train", "debug", "--set", f'data.clips=["{clips}", "{more}"]', "--set", f"out={out}") == 0
    stages = {path.name for path in out.iterdir()}
    assert stages == {"vae", "latents", "diffusion", "distill", "model"}
    assert (out / "diffusion" / "samples" / "000000000032.png").is_file()

    clip = next(read_clips(clips))
    request = PreviewRequest(still_png=encode_png(clip.still), drags=(path_to_drag("drag", clip.drags[0]),))
    pipeline = PreviewPipeline.load(out / "model")
    frames, result = pipeline.generate(request)
    assert frames.shape == (FRAMES, 64, 64, 3)
    assert result.model == "debug" and np.ptp(frames) > 0
    # What it was distilled for is what it is sampled with.
    assert (pipeline.info.steps, pipeline.info.guidance) == (2, (1.0, 1.0))
    about = json.loads((out / "diffusion" / "run.json").read_text())
    assert pipeline.info.target_scale == about["target_scale"]

    capsys.readouterr()
    assert run("eval", clips, "--model", out / "model", "--device", "cpu", "--json") == 0
    assert [row["clip"] for row in json.loads(capsys.readouterr().out)["per_clip"]] == [
        "square-0",
        "square-1",
        "square-2",
    ]


def test_a_damaged_shard_ends_the_command_with_one_line_that_names_it(tmp_path, capsys):
    shard = write_dataset(tmp_path / "clips", 2) / "clips-000000.tar"
    shard.write_bytes(shard.read_bytes()[:3000])
    out = tmp_path / "out"
    assert main(["train", "debug", "--set", f'data.clips=["{tmp_path / "clips"}"]', "--set", f"out={out}"]) == 4
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and str(shard) in said
    assert not out.exists()


def test_clips_with_the_still_alone_are_refused_by_name(tmp_path, capsys):
    clip = a_clip()
    still = replace(clip, frames=clip.frames[:1], meta={"still_only": True})
    (tmp_path / "clips").mkdir()
    write_tar(tmp_path / "clips" / "clips-000000.tar", [("alone", encode_clip(still))])
    build_vae(VaeSettings()).save_pretrained(tmp_path / "vae")
    given = [f'data.clips=["{tmp_path / "clips"}"]', f"out={tmp_path / 'out'}", f"latents.vae={tmp_path / 'vae'}"]
    assert main(["train", "debug", "--only", "latents", *(w for g in given for w in ("--set", g))]) == 4
    assert "clip alone has its still alone; render it with all its frames" in capsys.readouterr().err

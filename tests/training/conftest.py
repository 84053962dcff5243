# SPDX-License-Identifier: GPL-3.0-or-later
"""A small cache of latents, and runs on it by the preset `debug`."""

from __future__ import annotations

import json

import pytest
from rendered_clips import write_dataset


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A folder with `clips`, an untrained `vae` and their `latents`."""
    import torch
    from puppet_master.training.config import load_config
    from puppet_master.training.dataset import RenderedClips
    from puppet_master.training.latents import write_cache
    from puppet_master.training.settings import VaeSettings
    from puppet_master.training.vae import build_vae

    folder = tmp_path_factory.mktemp("prepared")
    clips = RenderedClips([write_dataset(folder / "clips", 7, per_shard=3)])
    torch.manual_seed(0)
    vae = build_vae(VaeSettings()).eval().requires_grad_(False)
    vae.save_pretrained(folder / "vae")
    settings = load_config("debug", [f'data.clips=["{folder / "clips"}"]', f"out={folder}"]).section("latents")
    write_cache(clips, vae, folder / "latents", settings, log=lambda line: None)
    return folder


def arguments_of(prepared, out, settings):
    """The arguments of a run of the stage `diffusion` into `out`, no VAE trained, nothing drawn."""
    given = {
        "out": out,
        "latents.vae": prepared / "vae",
        "diffusion.latents": prepared / "latents",
        "diffusion.samples_every": 0,
        "diffusion.log_every": 4,
        **settings,
    }
    return ["debug", "--only", "diffusion", *(word for k, v in given.items() for word in ("--set", f"{k}={v}"))]


@pytest.fixture
def diffusion_run(prepared, tmp_path):
    """The arguments of a run of the stage `diffusion` into `tmp_path / NAME`."""
    return lambda name, **settings: arguments_of(prepared, tmp_path / name, settings)


@pytest.fixture(scope="session")
def whole_run(prepared, tmp_path_factory):
    """The folder of a run of the stage `diffusion` that was never stopped; not to be changed."""
    from puppet_master.backend.cli import main

    out = tmp_path_factory.mktemp("whole")
    with pytest.raises(SystemExit) as ended:
        main(["train", *arguments_of(prepared, out, {})])
    assert ended.value.code == 0
    return out / "diffusion"


@pytest.fixture
def stats():
    """The lines of a run's statistics."""

    def read(run):
        return [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]

    return read

# SPDX-License-Identifier: GPL-3.0-or-later
"""Two processes train what one trains, each with a copy of the model or with half of it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from puppet_master.backend.cli import main
from puppet_master.training.checkpoint import CHECKPOINT

LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"],
    "accelerate": ["accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1",
                   "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"],
}  # fmt: skip
# Two processes add up the same numbers in another order.
TOLERANCE = 1e-5


def train_alone(arguments):
    with pytest.raises(SystemExit) as ended:
        main(["train", *arguments])
    assert ended.value.code == 0


def train_together(arguments, launcher):
    command = [sys.executable, "-m", *LAUNCHERS[launcher], "-m", "puppet_master.training", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]


def assert_alike(one, other, stats):
    assert len(stats(one)) == len(stats(other))
    for ours, theirs in zip(stats(one), stats(other), strict=True):
        assert (ours["step"], ours["seen"]) == (theirs["step"], theirs["seen"])
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=TOLERANCE)
        assert ours["gradient_norm"] == pytest.approx(theirs["gradient_norm"], rel=TOLERANCE * 10)
    found, wanted = (torch.load(run / CHECKPOINT, weights_only=True)["averages"][0.1] for run in (one, other))
    for name, value in wanted.items():
        # Adam divides by the gradient's size: where that is tiny, the last bits decide a whole step of lr.
        assert (found[name] - value).abs().mean() < 1e-4, name


@pytest.mark.parametrize("sharding", ["ddp", "fsdp"])
def test_two_processes_go_on_with_what_one_began_and_end_alike(diffusion_run, tmp_path, stats, whole_run, sharding):
    """8 of 32 clips alone, up to 24 by two processes, the rest alone again; beside a run that was always alone."""
    given = {"diffusion.sharding": sharding}
    train_alone(diffusion_run("both", **given, **{"diffusion.clips": 8}))
    train_together(diffusion_run("both", **given, **{"diffusion.clips": 24}), "torchrun")
    train_alone(diffusion_run("both", **given))
    assert_alike(tmp_path / "both" / "diffusion", whole_run, stats)


def test_accelerate_launches_it_too(diffusion_run, tmp_path, stats):
    given = {"diffusion.clips": 8, "data.workers": 1}
    train_together(diffusion_run("both", **given), "accelerate")
    train_alone(diffusion_run("alone", **given))
    assert_alike(tmp_path / "both" / "diffusion", tmp_path / "alone" / "diffusion", stats)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop on a small diffusion run: what it leaves, that it can be stopped at any moment, and how it fails."""

from __future__ import annotations

import io
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from puppet_master.backend.cli import main
from puppet_master.backend.clips import decode_arrays, encode_arrays
from puppet_master.backend.shards import read_tar, write_tar
from puppet_master.training import loop
from puppet_master.training.checkpoint import CHECKPOINT
from puppet_master.training.diffusion import DiffusionStage
from puppet_master.training.networks import averaged_weights
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

FIGURES = ("step", "seen", "lr", "loss", "gradient_norm")


def train(arguments):
    """The command's exit code."""
    try:
        return main(["train", *arguments])
    except SystemExit as ended:
        return ended.code


def weights(run):
    return torch.load(run / CHECKPOINT, weights_only=True)


def assert_same_run(one, other, stats):
    """Equal to the last bit: figures, weights, optimizer, averages, position."""
    assert [[line[key] for key in FIGURES] for line in stats(one)] == [
        [line[key] for key in FIGURES] for line in stats(other)
    ]
    found, wanted = weights(one), weights(other)
    assert found["position"] == wanted["position"]
    for part in ("model", *found["averages"]):
        ours, theirs = (state.get(part, state["averages"].get(part)) for state in (found, wanted))
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    moments = [state["optimizer"]["state"] for state in (found, wanted)]
    assert all(torch.equal(moments[0][name]["exp_avg"], moments[1][name]["exp_avg"]) for name in moments[1])


@pytest.fixture
def copy(whole_run, tmp_path):
    """A copy of the whole run, to be gone on with as `copy`."""
    return shutil.copytree(whole_run, tmp_path / "copy" / "diffusion")


def test_a_run_leaves_figures_snapshots_and_a_checkpoint(whole_run, stats):
    assert [line["seen"] for line in stats(whole_run)] == list(range(4, 33, 4))
    assert all(np.isfinite(line["loss"]) and 0 <= line["waiting"] <= 1 for line in stats(whole_run))
    assert len(list((whole_run / "snapshots").glob("*.safetensors"))) == 2 * 4
    last = weights(whole_run)
    assert last["position"] == {"step": 8, "seen": 32}
    average = averaged_weights(whole_run, 0.10)
    for name, value in last["averages"][0.10].items():
        assert torch.allclose(average[name.removeprefix("networks.")], value, atol=1e-3)


def test_stopped_at_a_checkpoint_and_gone_on_is_the_same_run(diffusion_run, tmp_path, whole_run, stats):
    for clips in (12, 20, 32):
        assert train(diffusion_run("resumed", **{"diffusion.clips": clips, "diffusion.snapshot_every": 8})) == 0
    assert_same_run(tmp_path / "resumed" / "diffusion", whole_run, stats)


def test_killed_at_any_moment_and_gone_on_is_the_same_run(diffusion_run, tmp_path, stats):
    """Killed twice while it runs; what came after the last checkpoint is made again."""
    long = {"diffusion.clips": 60, "diffusion.save_every": 12, "diffusion.snapshot_every": 60}
    assert train(diffusion_run("whole", **long)) == 0
    run = tmp_path / "killed" / "diffusion"
    for enough in (16, 32):
        process = subprocess.Popen(
            [sys.executable, "-m", "puppet_master.training", *diffusion_run("killed", **long)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if (run / "stats.jsonl").is_file() and (lines := stats_or_none(run, stats)) and lines[-1]["seen"] >= enough:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert weights(run)["position"]["seen"] % 12 == 0
    assert train(diffusion_run("killed", **long)) == 0
    assert_same_run(run, tmp_path / "whole" / "diffusion", stats)


def stats_or_none(run, stats):
    """The lines so far; None while the last one is being written."""
    try:
        return stats(run)
    except ValueError:
        return None


def test_a_request_to_stop_is_met_with_a_checkpoint(diffusion_run, tmp_path, capsys, whole_run, stats):
    asked = []

    def ask(every, seen, batch, known=loop.due):
        if seen == 12 and not asked:
            asked.append(os.kill(os.getpid(), signal.SIGTERM))
        return known(every, seen, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "due", ask)
        assert train(diffusion_run("stopped", **{"diffusion.save_every": 1000})) == 130
    assert "diffusion was stopped after" in capsys.readouterr().err
    assert weights(tmp_path / "stopped" / "diffusion")["position"]["seen"] in (12, 16)
    assert train(diffusion_run("stopped")) == 0
    assert_same_run(tmp_path / "stopped" / "diffusion", whole_run, stats)


def test_on_a_full_disk_the_last_good_checkpoint_is_kept(diffusion_run, tmp_path, capsys, whole_run, stats):
    assert train(diffusion_run("full", **{"diffusion.clips": 16})) == 0
    run = tmp_path / "full" / "diffusion"
    before = (run / CHECKPOINT).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        assert train(diffusion_run("full")) == 7
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = capsys.readouterr().err.splitlines()[-1]
    assert "cannot write" in said and "make room" in said
    assert (run / CHECKPOINT).read_bytes() == before
    assert not list(run.rglob("*.partial"))
    assert train(diffusion_run("full")) == 0
    assert_same_run(run, whole_run, stats)


def rewrite(shard, change):
    """Change the arrays of each stored clip of a cache's shard."""
    samples = [(name, decode_arrays(members["views.npz"])) for name, members in read_tar(shard)]
    for _, arrays in samples:
        change(arrays)
    write_tar(shard, [(name, {"views.npz": encode_arrays(arrays)}) for name, arrays in samples])


@pytest.fixture
def own_latents(prepared, tmp_path):
    """A copy of the cache that a test may spoil."""
    folder = tmp_path / "latents"
    folder.mkdir()
    for path in (prepared / "latents").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_loss_that_is_no_number_stops_the_run_and_the_batch_is_saved(
    diffusion_run, own_latents, tmp_path, capsys
):
    given = {"diffusion.latents": own_latents}
    assert train(diffusion_run("bad", **given, **{"diffusion.clips": 8})) == 0

    def spoil(arrays):
        arrays["latents"][:, 2:] = np.nan

    rewrite(own_latents / "latents-000000.tar", spoil)
    assert train(diffusion_run("bad", **given)) == 5
    run = tmp_path / "bad" / "diffusion"
    said = capsys.readouterr().err.splitlines()[-1]
    saved = run / "bad-batch-00000002-0.pt"
    assert "loss nan" in said and "after 8 clips" in said and str(saved) in said and "lower diffusion.lr" in said
    batch = torch.load(saved, weights_only=True)[0]
    assert batch["target"].shape[0] == 4 and batch["target"].isnan().any()
    assert weights(run)["position"]["seen"] == 8
    assert all(value.isfinite().all() for value in weights(run)["model"].values())


def test_clips_that_do_not_move_are_refused(diffusion_run, own_latents, capsys):
    def freeze(arrays):
        arrays["latents"][:] = arrays["latents"][:, :1]

    rewrite(own_latents / "latents-000000.tar", freeze)
    assert train(diffusion_run("still", **{"diffusion.latents": own_latents})) == 4
    assert "nothing moves in the first 14 views" in capsys.readouterr().err


def test_clips_that_are_too_short_are_named(diffusion_run, own_latents, capsys):
    def shorten(arrays):
        for key, axis in (("latents", 1), ("tracks", 2), ("visible", 2)):
            arrays[key] = np.take(arrays[key], [0, 1], axis=axis)

    rewrite(own_latents / "latents-000000.tar", shorten)
    assert train(diffusion_run("short", **{"diffusion.latents": own_latents})) == 4
    assert "has 2 frames, mixture.frames asks for 3" in capsys.readouterr().err


def test_a_run_of_another_architecture_is_not_gone_on_with(diffusion_run, copy, capsys):
    other = {"diffusion.unet.num_drags": 3}
    assert train(diffusion_run("copy", **other)) == 5
    assert "is the run of another model: its unet is" in capsys.readouterr().err
    assert train(diffusion_run("copy", **{"diffusion.ema": "[0.06, 0.1]", "diffusion.clips": 40})) == 5
    assert "diffusion.ema = [0.06, 0.1], but" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_named(diffusion_run, copy, capsys):
    path = copy / CHECKPOINT
    path.write_bytes(path.read_bytes()[:5000])
    assert train(diffusion_run("copy")) == 5
    assert f"{path} is damaged" in capsys.readouterr().err


def test_a_step_in_parts_is_the_same_step(diffusion_run, tmp_path, whole_run, stats):
    assert train(diffusion_run("parts", **{"diffusion.accumulate": 2})) == 0
    for one, other in zip(stats(tmp_path / "parts" / "diffusion"), stats(whole_run), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)


@pytest.mark.parametrize("setting", [{"checkpointing": "true"}, {"precision": "bf16"}, {"weighting": "learned"}])
def test_what_saves_memory_or_weighs_otherwise_trains_too(diffusion_run, tmp_path, whole_run, stats, setting):
    given = {f"diffusion.{key}": value for key, value in setting.items()}
    assert train(diffusion_run("other", **given, **{"diffusion.clips": 8})) == 0
    found, wanted = stats(tmp_path / "other" / "diffusion")[0], stats(whole_run)[0]
    # The first step begins at the same weights, and an uncertainty that says nothing yet.
    assert found["loss"] == pytest.approx(wanted["loss"], rel=2e-2 if "precision" in setting else 1e-5)


def test_sample_grids_show_what_is_real_above_what_is_made(diffusion_run, tmp_path):
    assert train(diffusion_run("seen", **{"diffusion.clips": 4, "diffusion.samples_every": 4})) == 0
    content = (tmp_path / "seen" / "diffusion" / "samples" / "000000000004.png").read_bytes()
    with Image.open(io.BytesIO(content)) as grid:
        # 3 clips, two rows each; 6 frames of 32 pixels, enlarged twice.
        assert grid.size == (6 * 68 - 4, 6 * 68 - 4)
        assert len(grid.getcolors(1 << 20)) > 20


def test_tensorboard_shows_the_figures_and_the_grids(diffusion_run, tmp_path, stats):
    assert train(diffusion_run("board", **{"diffusion.clips": 8, "diffusion.samples_every": 8})) == 0
    run = tmp_path / "board" / "diffusion"
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    shown = {event.step: event.value for event in events.Scalars("loss")}
    assert shown == {line["seen"]: pytest.approx(line["loss"], rel=1e-5) for line in stats(run)}
    assert [image.step for image in events.Images("samples")] == [8]


def test_tensorboard_that_is_not_installed_is_a_clear_error(diffusion_run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert train(diffusion_run("board", **{"log.tensorboard": "true"})) == 8
    assert "the package tensorboard is not installed" in capsys.readouterr().err


@pytest.mark.parametrize("full", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")])
def test_out_of_memory_names_what_lowers_the_need(diffusion_run, monkeypatch, capsys, full):
    def fail(self, batch):
        raise full

    monkeypatch.setattr(DiffusionStage, "loss", fail)
    assert train(diffusion_run("memory")) == 8
    assert "raise diffusion.accumulate, or set diffusion.checkpointing = true" in capsys.readouterr().err

# SPDX-License-Identifier: GPL-3.0-or-later
"""The ablation: what its variants leave out, what is measured, and that it goes on where it was stopped."""

from __future__ import annotations

import json

import numpy as np
import pytest
from puppet_master.backend.cli import main
from puppet_master.backend.errors import InputError
from puppet_master.training.ablation import FULL, VARIANTS, AblationOrder, Row, SomeClips, summary, table
from rendered_clips import write_dataset


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return write_dataset(folder / "held", 3, prefix="held"), write_dataset(folder / "all", 9, prefix="any")


@pytest.fixture
def ablate(prepared, folders, tmp_path, capsys):
    """Run the command with further arguments; its report."""
    held, unfiltered = folders
    given = {
        "out": tmp_path / "out", "latents.vae": prepared / "vae", "data.clips": [str(prepared / "clips")],
        "diffusion.samples_every": 0, "diffusion.unet.dense_bandwidths": [], "diffusion.clips": 16,
        "diffusion.snapshot_every": 16, "publish.source": "diffusion",
    }  # fmt: skip
    options = [word for key, value in given.items() for word in ("--set", f"{key}={value}")]

    def run(*more):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["train", "ablate", "debug", "--held-out", str(held), "--unfiltered", str(unfiltered), "--json",
                  "--draws", "2", *options, *more])  # fmt: skip
        return ended.value.code, json.loads(capsys.readouterr().out)

    return run


def test_variants_are_trained_compared_and_not_trained_twice(ablate, tmp_path):
    code, first = ablate("--only", FULL, "--only", "no-scale")
    assert code == 0
    names = [row["variant"] for row in first["variants"]]
    assert names == [FULL, "no-scale", "drags-withheld", "frozen-still"]
    full, other, withheld, still = first["variants"]
    assert (full["difference"], full["difference_95"]) == (0, [0, 0])
    assert other["parameters"] < full["parameters"] and other["difference"] != 0
    assert withheld["difference"] != 0 and still["loss"] > 0
    assert (first["held_out_clips"], first["training_clips"]) == (3, 7)
    run = tmp_path / "out" / "no-scale" / "diffusion"
    assert json.loads((run / "run.json").read_text())["unet"]["drag_scale"] is False
    before = (run / "stats.jsonl").read_bytes(), (run / "checkpoint.pt").stat().st_mtime_ns

    code, again = ablate("--only", "no-scale", "--only", "no-filter", "--eval-clips", "1")
    assert code == 0
    assert (run / "stats.jsonl").read_bytes() == before[0]
    rows = {row["variant"]: row for row in again["variants"]}
    assert list(rows) == [FULL, "no-scale", "no-filter", "drags-withheld", "frozen-still"]
    assert rows["no-scale"]["loss"] == other["loss"] and rows["no-filter"]["difference"] != 0
    assert rows["no-filter"]["motion_error"] > 0 and rows["no-scale"]["motion_error_difference"] is not None
    assert (tmp_path / "out" / "ablation.md").read_text() == table(again)
    scales = [json.loads((tmp_path / "out" / name / "diffusion" / "run.json").read_text())["target_scale"]
              for name in ("full", "no-filter")]  # fmt: skip
    assert scales[0] == scales[1]


def test_there_are_no_figures_before_the_full_model_is_trained(ablate):
    code, report = ablate("--only", "no-tokens")
    assert code == 0 and report["variants"] == []


def test_each_variant_changes_one_thing():
    from puppet_master.training.settings import UnetSettings

    changes = [change for name, (change,) in ((n, c) for n, c in VARIANTS.items() if c)]
    fields = [change.removeprefix("diffusion.unet.").partition("=")[0] for change in changes]
    assert len(set(fields)) == len(fields) == 4
    assert all(getattr(UnetSettings(), field) is True for field in fields)


def test_an_order_that_cannot_be_carried_out_says_why():
    with pytest.raises(InputError, match="no variant 'nothing'; known are full"):
        AblationOrder("debug", (), only=("nothing",))
    with pytest.raises(InputError, match="give them by --unfiltered"):
        AblationOrder("debug", (), only=("no-filter",))


def test_as_many_clips_are_drawn_as_asked_for(folders):
    _, unfiltered = folders
    few = SomeClips([unfiltered], 4, seed=1)
    assert len(few) == 4 and len(set(few.names)) == 4
    assert [few.load(index).meta["shift"] for index in range(4)] == [int(name.split("-")[1]) for name in few.names]
    assert few.names != SomeClips([unfiltered], 4, seed=2).names
    more = SomeClips([unfiltered], 4, 1, others=[folders[0]])
    assert more.names == [*few.names, "held-0", "held-1", "held-2"] and more.load(6).meta["shift"] == 2
    with pytest.raises(InputError, match="there are 9 unfiltered clips, and 10 filtered ones"):
        SomeClips([unfiltered], 10, seed=1)


def test_differences_are_taken_clip_by_clip():
    clips = np.array([[0.1, 0.3], [1.0, 1.2], [5.0, 5.2], [9.0, 9.4]])
    full, worse = Row("full", clips, 7), Row("no-scale", clips + np.array([0.2, 0.4]), 5)
    found = summary(worse, full)
    assert found["difference"] == pytest.approx(0.3) and found["difference_95"] == pytest.approx((0.3, 0.3))
    assert found["loss"] == pytest.approx(clips.mean() + 0.3) and found["loss_by_level"][1] == pytest.approx(4.425)
    lines = table({"variants": [summary(full, full), found]}).splitlines()
    assert lines[2] == "| the full model | 3.9000 |  |  |"
    assert lines[3] == "| without scale (shift alone) | 4.2000 | +0.3000 (+0.3000 ... +0.3000) | +7.7% |"

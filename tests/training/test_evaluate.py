# SPDX-License-Identifier: GPL-3.0-or-later
"""The evaluation as a whole: folders of clips and models in, one report out, and killed runs that go on."""

import hashlib
import io
import json

import numpy as np
import pytest
import torch
from puppet_master.backend.cli import main
from puppet_master.backend.errors import InputError, OutputError
from puppet_master.backend.protocol import PreviewRequest
from puppet_master.training import report as report_module
from puppet_master.training.candidates import Candidate
from puppet_master.training.clips import RealClip
from puppet_master.training.eval_progress import EvalProgress
from puppet_master.training.eval_table import print_report
from puppet_master.training.evaluate import PipelineUnderTest, path_to_drag
from puppet_master.training.report import EvaluationOrder, evaluate_models
from puppet_master.training.tracking import DEFAULT_TRACKER
from rendered_clips import damage, write_dataset
from rich.console import Console
from sliding_squares import FRAMES, Mover, sliding_clip

NAMED_KEYS = {
    "schema", "clips", "psnr", "psnr_still", "ssim", "ssim_still", "psnr_moving", "psnr_moving_still", "motion_error",
    "motion_error_still", "motion_error_truth", "motion_gap_closed", "seconds_per_clip", "confidence_95",
    "difference_to_still", "per_clip", "models", "dataset", "tracker", "points_error", "points_gap_closed",
    "pin_error", "rest_motion", "part_motion", "whole_to_part", "psnr_first", "lpips", "fvd", "fvd_still",
}  # fmt: skip


@pytest.fixture
def clips():
    return [sliding_clip("a", (6, 0), 1), sliding_clip("b", (3, 4), 2, pin=True)]


@pytest.fixture
def models(monkeypatch):
    """Movers by the name they are asked for by; everything else is real, but for a quicker tracker."""
    known = {"tiny": Mover(), "lazy": Mover(share=0.5), "frozen": Mover(share=0.0)}
    monkeypatch.setattr(report_module, "load_model", lambda model, device: known[model])
    monkeypatch.setattr(report_module, "DEFAULT_TRACKER", "dis")
    return known


def write(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


def write_clip(folder, clip):
    return write(folder / f"{clip.name}.npz", frames=clip.frames, drags=clip.drags)


def candidates(*names):
    return tuple(Candidate.parse(name) for name in names)


def test_the_request_holds_the_still_and_the_drags_at_each_frame():
    clip, pipeline = sliding_clip(step=(3, 2)), Mover()
    frames = PipelineUnderTest(pipeline, {"seed": 7, "steps": 4})(clip)
    (request,) = pipeline.requests
    assert isinstance(request, PreviewRequest)
    assert (request.seed, request.steps, request.frames) == (7, 4, FRAMES)
    assert np.allclose(request.drags[0].resample(FRAMES), clip.drags[0], atol=1e-6)
    assert np.array_equal(frames, clip.frames)  # the stand-in is as exact as the clip


def test_drags_beyond_the_models_slots_are_left_out_pins_first():
    clip = sliding_clip(pin=True)
    clip = RealClip(clip.name, clip.frames, clip.drags[[1, 0, 0]])
    under_test = PipelineUnderTest(Mover(slots=2))
    assert under_test.leaves_out(clip) and not under_test.leaves_out(sliding_clip())
    assert not any(drag.is_pin for drag in under_test.request(clip).drags)


def test_a_path_becomes_a_drag_that_passes_each_of_its_places():
    path = np.random.default_rng(0).uniform(0.2, 0.8, (14, 2)).astype(np.float32)
    assert np.allclose(path_to_drag("arc", path).resample(14), path, atol=1e-6)


def test_a_candidate_is_a_model_with_settings_of_its_own():
    plain = Candidate.parse("tiny", seed=3, steps=None)
    assert (plain.model, plain.settings) == ("tiny", {"seed": 3})
    own = Candidate.parse("out/m@1@steps=4,guidance=1:3,seed=9", seed=3, steps=8)
    assert (own.model, own.settings) == ("out/m@1", {"seed": 9, "steps": 4, "guidance": (1.0, 3.0)})
    assert Candidate.parse("models/a@home").model == "models/a@home"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tiny@size=4", "no setting 'size'; known are steps, seed, guidance, fit"),
        ("tiny@steps=few", "steps cannot be 'few'"),
        ("tiny@guidance=a:b", "guidance must be a number"),
    ],
)
def test_a_setting_that_is_none_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        Candidate.parse(text)


def test_a_folder_of_clips_becomes_a_report_a_page_and_sheets(tmp_path, clips, models, capsys):
    for clip in clips:
        write_clip(tmp_path, clip)
    out, sheets = tmp_path / "out", tmp_path / "sheets"
    report = evaluate_models(EvaluationOrder(tmp_path, candidates("tiny"), out=out, sheets=sheets))
    assert set(report) >= NAMED_KEYS
    assert (report["schema"], report["clips"], report["model"], report["label"]) == (2, 2, "mover", "tiny")
    assert report["motion_gap_closed"] == pytest.approx(1.0)
    assert json.loads((out / "report.json").read_text())["psnr"] == report["psnr"] == 100.0
    assert "<!doctype html>" in (out / "report.html").read_text()
    assert sorted(file.name for file in sheets.iterdir()) == ["a.png", "b.png"]
    print_report(report)
    assert "motion gap closed" in capsys.readouterr().out


def test_models_stand_side_by_side_on_the_same_clips(tmp_path, clips, models, capsys):
    for clip in clips:
        write_clip(tmp_path, clip)
    report = evaluate_models(EvaluationOrder(tmp_path, candidates("tiny", "lazy", "frozen")))
    gaps = [model["motion_gap_closed"] for model in report["models"]]
    assert gaps == [pytest.approx(1.0), pytest.approx(0.5, abs=0.05), pytest.approx(0.0, abs=0.01)]
    assert [model["label"] for model in report["models"]] == ["tiny", "lazy", "frozen"]
    assert len({model["psnr_still"] for model in report["models"]}) == 1
    assert report["motion_error"] == report["models"][0]["motion_error"]
    assert "difference_to_first" not in report["models"][0]
    assert report["models"][2]["difference_to_first"]["motion_error"]["mean"] > 5
    print_report(report, Console(width=100))
    assert "lazy" in capsys.readouterr().out


def test_the_same_model_with_other_settings_is_another_candidate(tmp_path, clips, models):
    write_clip(tmp_path, clips[0])
    report = evaluate_models(EvaluationOrder(tmp_path, candidates("tiny", "tiny@steps=8")))
    assert [model["steps"] for model in report["models"]] == [3, 8]


def test_a_model_given_twice_is_refused(tmp_path, clips, models):
    write_clip(tmp_path, clips[0])
    with pytest.raises(InputError, match="tiny is given twice"):
        evaluate_models(EvaluationOrder(tmp_path, candidates("tiny", "lazy", "tiny")))


def test_a_run_goes_on_where_it_was_stopped(tmp_path, clips, models):
    for clip in clips:
        write_clip(tmp_path, clip)
    out = tmp_path / "out"
    first = evaluate_models(EvaluationOrder(tmp_path, candidates("tiny"), limit=1, out=out))
    assert len(models["tiny"].requests) == 1
    whole = evaluate_models(EvaluationOrder(tmp_path, candidates("tiny"), out=out))
    assert len(models["tiny"].requests) == 2
    again = evaluate_models(EvaluationOrder(tmp_path, candidates("tiny"), out=out))
    assert len(models["tiny"].requests) == 2
    assert again == whole  # seconds included: they are those of the making
    assert whole["per_clip"][0] == first["per_clip"][0]


def test_what_was_killed_half_way_or_damaged_is_made_anew(tmp_path, clips, models):
    write_clip(tmp_path, clips[0])
    order = EvaluationOrder(tmp_path, candidates("tiny"), out=tmp_path / "out")
    before = evaluate_models(order)
    for path in (tmp_path / "out" / "made").iterdir():
        path.write_bytes(path.read_bytes()[:20])
    after = evaluate_models(order)
    assert len(models["tiny"].requests) == 2
    assert after["psnr"] == before["psnr"] and after["motion_error"] == before["motion_error"]


def test_nothing_of_another_model_clip_or_setting_is_taken_for_what_was_made(tmp_path, clips, models):
    write_clip(tmp_path, clips[0])
    out = tmp_path / "out"
    evaluate_models(EvaluationOrder(tmp_path, candidates("tiny"), out=out))
    evaluate_models(EvaluationOrder(tmp_path, candidates("tiny@seed=1"), out=out))
    models["tiny"].model_hash = "trained on"
    evaluate_models(EvaluationOrder(tmp_path, candidates("tiny"), out=out))
    assert len(models["tiny"].requests) == 3
    other = sliding_clip("a", (2, 0), 1)
    write_clip(tmp_path, other)
    report = evaluate_models(EvaluationOrder(tmp_path, candidates("tiny"), out=out))
    assert len(models["tiny"].requests) == 4
    assert report["motion_error_still"] == pytest.approx(6.0, abs=0.02)


class Difference(torch.nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a - b).abs().mean(dim=(1, 2, 3))


class Colours(torch.nn.Module):
    def forward(self, video: torch.Tensor) -> torch.Tensor:
        return video.mean(dim=(3, 4)).flatten(1)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_networks_that_are_given_are_measured_with_and_named(tmp_path, clips, models):
    for clip in clips:
        write_clip(tmp_path, clip)
    for name, network in (("lpips.pt", Difference()), ("fvd.pt", Colours())):
        torch.jit.script(network).save(str(tmp_path / name))
    networks = {"lpips": tmp_path / "lpips.pt", "fvd": tmp_path / "fvd.pt"}
    plain = evaluate_models(EvaluationOrder(tmp_path, candidates("frozen"), out=tmp_path / "out"))
    assert plain["lpips"] is plain["fvd"] is plain["lpips_network"] is None
    report = evaluate_models(EvaluationOrder(tmp_path, candidates("frozen", "tiny"), out=tmp_path / "out", **networks))
    assert len(models["frozen"].requests) == 2  # what was made for the first report serves this one
    frozen, real = report["models"]
    assert frozen["lpips"] == frozen["lpips_still"] > 0 and frozen["fvd"] == pytest.approx(
        frozen["fvd_still"], rel=0.01
    )
    assert real["lpips"] == 0.0 and real["fvd"] == pytest.approx(0.0, abs=1e-9)
    assert report["lpips_network"] == hashlib.sha256(networks["lpips"].read_bytes()).hexdigest()
    assert real["difference_to_still"]["lpips"]["mean"] < 0


def test_clips_without_drags_and_without_motion_are_measured_as_far_as_they_can_be(tmp_path, models):
    still = sliding_clip("still", (0, 0))
    write(tmp_path / "none.npz", frames=still.frames, drags=np.zeros((0, FRAMES, 2), np.float32))
    report = evaluate_models(EvaluationOrder(tmp_path, candidates("tiny"), out=tmp_path / "out"))
    assert report["motion_error"] is report["motion_gap_closed"] is report["psnr_moving"] is None
    assert report["clips_without_moving_drags"] == ["none"]
    assert report["psnr"] == 100.0
    print_report(report)


def test_the_command_measures_a_real_model_and_prints_one_json_object(tmp_path, model_folder, capsys):
    write_clip(tmp_path, sliding_clip(size=(64, 64), step=(1, 0), square=24))
    with pytest.raises(SystemExit, match="0"):
        main(["eval", str(tmp_path), "--model", str(model_folder), "--steps", "1", "--device", "cpu", "--json"])
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert said.err == ""
    assert set(report) >= NAMED_KEYS
    assert (report["clips"], report["model"], report["steps"]) == (1, "random", 1)
    assert report["psnr"] < report["psnr_still"]  # random weights
    assert report["tracker"] == DEFAULT_TRACKER


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["nowhere"], 4),
        ([".", "--model", "no-such-model"], 5),
        ([".", "--model", "tiny@size=3"], 4),
        ([".", "--lpips", "nowhere.safetensors"], 5),
        ([".", "--fvd", "slide.npz"], 5),
    ],
)
def test_the_command_ends_with_one_line_and_the_documented_code(tmp_path, monkeypatch, capsys, arguments, status):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path, sliding_clip())
    assert main(["eval", *arguments]) == status
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("what", ["sheets", "out"])
def test_folders_that_cannot_be_written_are_refused_before_work_begins(tmp_path, clips, models, what):
    write_clip(tmp_path, clips[0])
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        evaluate_models(EvaluationOrder(tmp_path, candidates("tiny"), **{what: tmp_path / "file" / "x"}))
    assert models["tiny"].requests == []


def test_a_bad_clip_is_refused_before_the_model_runs(tmp_path, clips, models):
    write_clip(tmp_path, clips[0])
    write(tmp_path / "z.npz", frames=clips[0].frames)
    with pytest.raises(InputError, match=r"z\.npz has no array drags"):
        evaluate_models(EvaluationOrder(tmp_path, candidates("tiny")))
    assert models["tiny"].requests == []


def test_a_damaged_shard_ends_the_evaluation_before_the_model_runs(tmp_path, models):
    damage(write_dataset(tmp_path, 3) / "clips-000001.tar", at=b"IDAT")
    with pytest.raises(InputError, match=r"square-2 in .*clips-000001\.tar"):
        evaluate_models(EvaluationOrder(tmp_path, candidates("tiny")))
    assert models["tiny"].requests == []


def test_a_log_is_told_the_time_left_of_what_is_worked_on():
    said, now = io.StringIO(), [0.0]
    with (
        EvalProgress(Console(file=said, force_terminal=False), clock=lambda: now[0]) as progress,
        progress.stage("making", 10) as advance,
    ):
        for _ in range(4):
            advance(False)  # made by an earlier run: no time at all
        for _ in range(6):
            now[0] += 30
            advance(True)
    lines = said.getvalue().splitlines()
    assert lines[0] == "making: 5 of 10 clips, about 2 min left"
    assert lines[-1] == "making: 9 of 10 clips, about 30 s left"

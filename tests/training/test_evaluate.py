# SPDX-License-Identifier: GPL-3.0-or-later
"""The report on clips whose true motion is known, with stand-ins for a model at both ends of the scale."""

import json
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from puppet_master.backend.cli import main
from puppet_master.backend.clips import encode_clip
from puppet_master.backend.errors import InputError, OutputError
from puppet_master.backend.protocol import PreviewRequest
from puppet_master.backend.shards import write_tar
from puppet_master.training import report as report_module
from puppet_master.training.clips import RealClip, read_clips, read_npz
from puppet_master.training.evaluate import (
    MEASURES,
    PipelineUnderTest,
    path_to_drag,
    score_clip,
    score_clips,
    summarise,
)
from puppet_master.training.tracking import DEFAULT_TRACKER, TRACKERS
from rendered_clips import FRAMES, SIDE, a_clip, damage, write_dataset

NAMED_KEYS = {
    "clips",
    "psnr",
    "psnr_still",
    "ssim",
    "ssim_still",
    "psnr_moving",
    "psnr_moving_still",
    "motion_error",
    "motion_error_still",
    "motion_error_truth",
    "motion_gap_closed",
    "seconds_per_clip",
}
QUICK = TRACKERS["dis"]  # as good as the default on these textures, in a tenth of its time


def texture(seed, height, width):
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return np.clip(110 + 40 * smooth / smooth.std(), 0, 235).astype(np.uint8)


def sliding_clip(name="slide", step=(6, 0), seed=0, size=(256, 256), pin=False, square=60):
    """A textured square that slides `step` pixels a frame over a grey board; its drag says exactly that."""
    width, height = size
    board, part = np.full((height, width, 3), 225, np.uint8), texture(seed, square, square)
    corner = np.array([width, height]) // 4
    frames = []
    for index in range(FRAMES):
        frame = board.copy()
        x, y = corner + np.array(step) * index
        frame[y : y + square, x : x + square] = part
        frames.append(frame)
    centre = corner + square / 2 + np.array(step) * np.arange(FRAMES)[:, None]
    drags = [centre / size]
    if pin:
        drags.append(np.full((FRAMES, 2), 0.9))
    return RealClip(name, np.stack(frames), np.array(drags, np.float32))


def frozen(clip):
    return np.repeat(clip.still[None], len(clip.frames), axis=0)


def truth(clip):
    return clip.frames


@pytest.fixture
def clips():
    return [sliding_clip("a", (6, 0), 1), sliding_clip("b", (3, 4), 2, pin=True), sliding_clip("c", (0, 5), 3)]


def write(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


def write_clip(folder, clip):
    return write(folder / f"{clip.name}.npz", frames=clip.frames, drags=clip.drags)


def test_the_real_frames_close_the_whole_gap(clips):
    report = summarise(score_clips(clips, truth, QUICK))
    assert report["motion_gap_closed"] == pytest.approx(1.0)
    assert report["psnr"] == 100.0
    assert report["ssim"] == pytest.approx(1.0)
    assert report["motion_error"] == report["motion_error_truth"] < 0.5


def test_the_frozen_still_closes_none_of_it(clips):
    report = summarise(score_clips(clips, frozen, QUICK))
    assert report["motion_gap_closed"] == pytest.approx(0.0, abs=1e-6)
    assert report["psnr"] == report["psnr_still"]
    assert report["psnr_moving_gain"] == 0.0
    assert report["drift_untouched"] == 0.0
    assert report["psnr_untouched"] == 100.0


def test_the_frozen_baseline_equals_numbers_worked_out_by_hand():
    clip = sliding_clip(step=(6, 0))
    scores = score_clip(clip, truth(clip), 0.0, QUICK)
    errors = [((clip.frames[i].astype(float) - clip.still) ** 2).mean() for i in range(1, FRAMES)]
    assert scores.psnr_still == pytest.approx(np.mean(10 * np.log10(255**2 / np.array(errors))))
    assert scores.motion_error_still == pytest.approx(np.mean(6 * np.arange(1, FRAMES)), abs=0.02)


def test_half_the_way_closes_half_the_gap():
    full, half = sliding_clip(step=(8, 0)), sliding_clip(step=(4, 0))
    report = summarise([score_clip(full, half.frames, 0.0, QUICK)])
    assert report["motion_gap_closed"] == pytest.approx(0.5, abs=0.03)


def test_moving_pixels_weigh_more_where_little_moves():
    clip = sliding_clip()
    scores = score_clip(clip, frozen(clip), 0.0, QUICK)
    assert scores.psnr_moving < scores.psnr - 5
    assert scores.ssim_moving < scores.ssim


def test_damage_where_nothing_moves_is_told_from_damage_where_it_does():
    clip = sliding_clip()
    damaged = clip.frames.copy()
    damaged[1:, 200:, :] -= 10  # far from the square
    scores = score_clip(clip, damaged, 0.0, QUICK)
    assert scores.psnr_moving == 100.0
    assert scores.drift_untouched > 1.0
    assert scores.psnr_untouched < 50


def test_pins_are_measured_apart_from_moving_drags(clips):
    scores = score_clip(clips[1], clips[1].frames, 0.0, QUICK)
    assert clips[1].moving_drags.tolist() == [True, False]
    assert scores.pin_error < 1.0  # the flow bleeds a little into the plain board
    assert scores.motion_error < 0.5


def test_clips_without_moving_drags_are_named_and_left_out_of_the_motion_error():
    still_only = RealClip("still-only", sliding_clip().frames, np.zeros((0, FRAMES, 2), np.float32))
    pinned = RealClip("pinned", sliding_clip().frames, np.full((1, FRAMES, 2), 0.9, np.float32))
    report = summarise(score_clips([still_only, pinned, sliding_clip()], truth, QUICK))
    assert report["clips_without_moving_drags"] == ["still-only", "pinned"]
    assert report["motion_error_still"] == pytest.approx(18.0, abs=0.02)
    assert report["clips"] == 3


def test_distances_are_in_pixels_of_frames_256_wide_whatever_the_clip_size():
    small, large = sliding_clip(), sliding_clip()
    doubled = np.stack([cv2.resize(frame, (512, 512)) for frame in large.frames])
    large = RealClip("large", doubled, large.drags)
    at_256 = score_clip(small, frozen(small), 0.0, QUICK).motion_error_still
    assert score_clip(large, frozen(large), 0.0, QUICK).motion_error_still == pytest.approx(at_256, abs=0.02)


def test_wide_clips_keep_round_distances():
    clip = sliding_clip(size=(320, 256), step=(5, 0))
    assert clip.at_measuring_size(clip.frames).shape == (FRAMES, 205, 256, 3)
    error = score_clip(clip, frozen(clip), 0.0, QUICK).motion_error_still
    assert error == pytest.approx(np.mean(5 * np.arange(1, FRAMES)) * 256 / 320, abs=0.02)


def test_the_report_has_the_named_keys_intervals_and_every_clip(clips):
    report = summarise(score_clips(clips, frozen, QUICK))
    assert set(report) >= NAMED_KEYS
    assert json.loads(json.dumps(report)) is not None
    assert [row["clip"] for row in report["per_clip"]] == ["a", "b", "c"]
    for name in (*MEASURES, "motion_gap_closed", "psnr_moving_gain"):
        interval = report["confidence_95"][name]
        if name.startswith("pin_error"):
            assert interval is None  # one clip has a pin
        else:
            assert interval[0] <= report[name] <= interval[1]


def test_on_real_clips_the_default_tracker_follows_the_real_frames(shared):
    clip = read_npz(shared / "drag_a_move" / "00002.npz")
    scores = score_clip(clip, clip.frames, 0.0)
    assert scores.motion_error_truth < 0.6 * scores.motion_error_still


class FakePipeline:
    """Stands where the model does: notes what it is asked and answers with the still."""

    info = SimpleNamespace(num_drags=2)

    def __init__(self):
        self.requests = []

    def generate(self, request):
        self.requests.append(request)
        still = cv2.imdecode(np.frombuffer(request.still_png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        made = {"model": "fake", "model_hash": "0", "seed": request.seed, "steps": 3, "guidance": [1.0, 1.0]}
        made |= {"device": "cpu", "versions": {}}
        return np.repeat(still[None], request.frames, axis=0), SimpleNamespace(to_json=lambda: made)


def test_the_request_holds_the_still_and_the_drags_at_each_frame():
    clip, pipeline = sliding_clip(step=(3, 2)), FakePipeline()
    frames = PipelineUnderTest(pipeline, seed=7, steps=4)(clip)
    (request,) = pipeline.requests
    assert isinstance(request, PreviewRequest)
    assert (request.seed, request.steps, request.frames) == (7, 4, FRAMES)
    assert np.allclose(request.drags[0].resample(FRAMES), clip.drags[0], atol=1e-6)
    assert np.array_equal(frames[0], clip.still)


def test_drags_beyond_the_models_slots_are_left_out_pins_first():
    clip = sliding_clip(pin=True)
    clip = RealClip(clip.name, clip.frames, clip.drags[[1, 0, 0]])
    under_test = PipelineUnderTest(FakePipeline())
    under_test(clip)
    assert under_test.clips_cut == [clip.name]
    assert not any(drag.is_pin for drag in under_test.pipeline.requests[0].drags)


def test_a_path_becomes_a_drag_that_passes_each_of_its_places():
    path = np.random.default_rng(0).uniform(0.2, 0.8, (14, 2)).astype(np.float32)
    assert np.allclose(path_to_drag("arc", path).resample(14), path, atol=1e-6)


@pytest.fixture
def with_fake_model(monkeypatch):
    """The command with everything real but the model."""
    pipeline = FakePipeline()
    monkeypatch.setattr(report_module, "load_model", lambda model, device: pipeline)
    return pipeline


def test_a_folder_of_clips_becomes_a_report_and_sheets(tmp_path, clips, with_fake_model, capsys):
    for clip in clips:
        write_clip(tmp_path, clip)
    sheets = tmp_path / "sheets"
    order = report_module.EvaluationOrder(tmp_path, limit=2, sheets=sheets)
    report = report_module.evaluate_model(order)
    assert report["clips"] == 2
    assert report["model"] == "fake"
    assert report["motion_gap_closed"] == pytest.approx(0.0, abs=1e-6)
    assert sorted(file.name for file in sheets.iterdir()) == ["a.png", "b.png"]
    report_module.print_report(report)
    assert "motion gap closed" in capsys.readouterr().out


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


@pytest.mark.parametrize(("arguments", "status"), [(["nowhere"], 4), ([".", "--model", "no-such-model"], 5)])
def test_the_command_ends_with_one_line_and_the_documented_code(tmp_path, monkeypatch, capsys, arguments, status):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path, sliding_clip())
    assert main(["eval", *arguments]) == status
    assert capsys.readouterr().err.count("\n") == 1


def test_sheets_that_cannot_be_written_are_refused_before_work_begins(tmp_path, clips, with_fake_model):
    write_clip(tmp_path, clips[0])
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        report_module.evaluate_model(report_module.EvaluationOrder(tmp_path, sheets=tmp_path / "file" / "x"))
    assert with_fake_model.requests == []


def test_a_bad_clip_is_refused_before_the_model_runs(tmp_path, clips, with_fake_model):
    write_clip(tmp_path, clips[0])
    write(tmp_path / "z.npz", frames=clips[0].frames)
    with pytest.raises(InputError, match=r"z\.npz has no array drags"):
        report_module.evaluate_model(report_module.EvaluationOrder(tmp_path))
    assert with_fake_model.requests == []


def test_rgba_clips_are_read_on_white(tmp_path):
    frames = np.zeros((2, 16, 16, 4), np.uint8)
    path = write(tmp_path / "clear.npz", frames=frames, drags=np.zeros((0, 2, 2), np.float32))
    assert (read_npz(path).frames == 255).all()


def good():
    return {"frames": np.zeros((3, 16, 16, 3), np.uint8), "drags": np.full((1, 3, 2), 0.5, np.float32)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": None}, "has no array frames"),
        ({"frames": None, "drags": None}, "has no array frames and none drags"),
        ({"frames": np.zeros((3, 16, 16, 3), np.float32)}, "frames must be uint8"),
        ({"frames": np.zeros((3, 16, 16), np.uint8)}, "frames must be uint8"),
        ({"frames": np.zeros((1, 16, 16, 3), np.uint8)}, r"it has 1 frame\(s\)"),
        ({"frames": np.zeros((3, 8, 16, 3), np.uint8)}, "too small"),
        ({"drags": np.zeros((1, 4, 2), np.float32)}, r"drags must be float \[K, 3, 2\]"),
        ({"drags": np.zeros((1, 3, 2), np.int32)}, "drags must be float"),
        ({"drags": np.full((1, 3, 2), np.nan, np.float32)}, "not finite"),
        ({"drags": np.full((1, 3, 2), 1.5, np.float32)}, "drag 0 starts at"),
        ({"drags": np.array([[{}]], dtype=object)}, "pickled objects"),
    ],
)
def test_a_clip_that_cannot_be_used_is_named_with_its_fault(tmp_path, change, message):
    arrays = {name: array for name, array in (good() | change).items() if array is not None}
    arrays = arrays or {"other": np.zeros(1)}
    path = write(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError, match=message) as caught:
        read_npz(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_an_unreadable_clip_is_named(tmp_path, content):
    path = tmp_path / "broken.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.npz"):
        read_npz(path)


def test_a_clip_damaged_on_disk_is_named(tmp_path):
    path = write(tmp_path / "damaged.npz", **good())
    data = bytearray(path.read_bytes())
    data[90:130] = bytes(40)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"damaged\.npz"):
        read_npz(path)


def test_an_array_file_under_a_clips_name_is_refused(tmp_path):
    path = tmp_path / "array.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match="single array"):
        read_npz(path)


def test_a_missing_or_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        read_clips(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no clips"):
        read_clips(tmp_path)


def test_rendered_clips_are_read_from_their_shards_on_white_with_their_own_drags(tmp_path):
    write_dataset(tmp_path, 3)
    clips = list(read_clips(tmp_path, limit=2))
    assert [clip.name for clip in clips] == ["square-0", "square-1"]
    assert clips[0].frames.shape == (FRAMES, SIDE, SIDE, 3)
    assert clips[1].frames[0, 0, 0].tolist() == [255, 255, 255]
    assert clips[1].frames[0, 13, 10].tolist() == [220, 0, 0]
    assert np.array_equal(clips[1].drags, a_clip(1).drags)


def test_a_clip_has_the_same_scores_from_a_shard_and_from_an_npz(tmp_path):
    write_dataset(tmp_path / "shards", 1)
    clip = a_clip()
    write(tmp_path / "square-0.npz", frames=clip.frames, drags=clip.drags, tracks=clip.tracks)
    scores = [score_clips(read_clips(folder), frozen, QUICK)[0] for folder in (tmp_path, tmp_path / "shards")]
    assert replace(scores[0], seconds=0.0) == replace(scores[1], seconds=0.0)


def test_a_rendered_clip_that_cannot_be_measured_is_named(tmp_path):
    clip = replace(a_clip(), drags=np.full((1, FRAMES, 2), 1.5, np.float32))
    write_tar(tmp_path / "clips-000000.tar", [("outside", encode_clip(clip))])
    with pytest.raises(InputError, match=r"clip outside in .*: drag 0 starts at"):
        list(read_clips(tmp_path))


def test_a_damaged_shard_ends_the_evaluation_before_the_model_runs(tmp_path, with_fake_model):
    damage(write_dataset(tmp_path, 3) / "clips-000001.tar", at=b"IDAT")
    with pytest.raises(InputError, match=r"square-2 in .*clips-000001\.tar"):
        report_module.evaluate_model(report_module.EvaluationOrder(tmp_path))
    assert with_fake_model.requests == []

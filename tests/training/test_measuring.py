# SPDX-License-Identifier: GPL-3.0-or-later
"""The measures of clips whose true motion is known, with stand-ins for a model at both ends of the scale."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from puppet_master.training.clips import RealClip, read_npz
from puppet_master.training.evaluate import score_clips
from puppet_master.training.measuring import MEASURES, Measuring, score_clip
from puppet_master.training.summary import compare, summarise
from sliding_squares import FRAMES, QUICK, frozen, sliding_clip, texture, truth

NAMED_KEYS = {
    "clips", "psnr", "psnr_still", "ssim", "ssim_still", "psnr_moving", "psnr_moving_still", "motion_error",
    "motion_error_still", "motion_error_truth", "motion_gap_closed", "seconds_per_clip",
}  # fmt: skip
WAYS = np.arange(1, FRAMES)  # in steps of the square, from frame 2 on


@pytest.fixture
def clips():
    return [sliding_clip("a", (6, 0), 1), sliding_clip("b", (3, 4), 2, pin=True), sliding_clip("c", (0, 5), 3)]


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
    assert scores.still.psnr == pytest.approx(np.mean(10 * np.log10(255**2 / np.array(errors))))
    assert scores.still.motion_error == pytest.approx(np.mean(6 * np.arange(1, FRAMES)), abs=0.02)


def test_half_the_way_closes_half_the_gap():
    full, half = sliding_clip(step=(8, 0)), sliding_clip(step=(4, 0))
    report = summarise([score_clip(full, half.frames, 0.0, QUICK)])
    assert report["motion_gap_closed"] == pytest.approx(0.5, abs=0.03)


def test_moving_pixels_weigh_more_where_little_moves():
    clip = sliding_clip()
    scores = score_clip(clip, frozen(clip), 0.0, QUICK)
    assert scores.model.psnr_moving < scores.model.psnr - 5
    assert scores.model.ssim_moving < scores.model.ssim


def test_damage_where_nothing_moves_is_told_from_damage_where_it_does():
    clip = sliding_clip()
    damaged = clip.frames.copy()
    damaged[1:, 200:, :] -= 10  # far from the square
    scores = score_clip(clip, damaged, 0.0, QUICK)
    assert scores.model.psnr_moving == 100.0
    assert scores.model.drift_untouched > 1.0
    assert scores.model.psnr_untouched < 50


def test_pins_are_measured_apart_from_moving_drags(clips):
    scores = score_clip(clips[1], clips[1].frames, 0.0, QUICK)
    assert clips[1].moving_drags.tolist() == [True, False]
    assert scores.model.pin_error < 1.0  # the flow bleeds a little into the plain board
    assert scores.model.motion_error < 0.5


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
    at_256 = score_clip(small, frozen(small), 0.0, QUICK).still.motion_error
    assert score_clip(large, frozen(large), 0.0, QUICK).still.motion_error == pytest.approx(at_256, abs=0.02)


def test_wide_clips_keep_round_distances():
    clip = sliding_clip(size=(320, 256), step=(5, 0))
    assert clip.at_measuring_size(clip.frames).shape == (FRAMES, 205, 256, 3)
    error = score_clip(clip, frozen(clip), 0.0, QUICK).still.motion_error
    assert error == pytest.approx(np.mean(5 * np.arange(1, FRAMES)) * 256 / 320, abs=0.02)


def test_the_report_has_the_named_keys_intervals_and_every_clip(clips):
    report = summarise(score_clips(clips, frozen, QUICK))
    assert set(report) >= NAMED_KEYS
    assert json.loads(json.dumps(report)) is not None
    assert [row["clip"] for row in report["per_clip"]] == ["a", "b", "c"]
    for name in (*MEASURES, "motion_gap_closed", "psnr_moving_gain"):
        interval = report["confidence_95"][name]
        if name.startswith("pin_error") or report[name] is None:
            assert interval is None  # one clip has a pin; none has points
        else:
            assert interval[0] <= report[name] <= interval[1]


def test_on_real_clips_the_default_tracker_follows_the_real_frames(shared):
    clip = read_npz(shared / "drag_a_move" / "00002.npz")
    scores = score_clip(clip, clip.frames, 0.0)
    assert scores.truth.motion_error < 0.6 * scores.still.motion_error


def test_points_that_move_exactly_are_measured_exactly():
    clip = sliding_clip(step=(6, 0), points=True)
    scores = score_clip(clip, truth(clip), 0.0, QUICK)
    assert scores.model.points_error < 0.5
    assert scores.model.flow_error == scores.model.points_flow_error == 0.0
    # Half of the points rest: the frozen still is off by the square's way on the other half.
    assert scores.still.points_error == pytest.approx(np.mean(6 * WAYS) / 2, abs=0.01)
    assert scores.still.points_flow_error == pytest.approx(np.sqrt(np.mean(np.square(6 * WAYS)) / 2), abs=0.5)
    assert scores.still.flow_error == pytest.approx(np.sqrt(np.mean(np.square(6 * WAYS))), abs=0.5)


def test_half_the_way_closes_half_the_gap_of_all_points():
    full, half = sliding_clip(step=(8, 0), points=True), sliding_clip(step=(4, 0), points=True)
    report = summarise([score_clip(full, half.frames, 0.0, QUICK)])
    assert report["points_gap_closed"] == pytest.approx(0.5, abs=0.03)


def test_hidden_points_count_only_while_they_are_seen():
    clip = sliding_clip(step=(6, 0), points=True)
    visible = clip.points.visible.copy()
    visible[:9, 3:] = False  # the moving ones are hidden from frame 4 on
    visible[9:, 0] = False  # the resting ones are not seen in the still: not measured
    clip = replace(clip, points=replace(clip.points, visible=visible))
    assert score_clip(clip, frozen(clip), 0.0, QUICK).still.points_error == pytest.approx(np.mean([6, 12]), abs=0.01)


def test_a_part_that_moves_alone_is_told_from_a_picture_that_moves_as_a_whole():
    clip = sliding_clip(step=(6, 0), points=True)
    whole = np.stack([np.roll(clip.still, 6 * index, axis=1) for index in range(FRAMES)])
    alone, together = (summarise([score_clip(clip, frames, 0.0, QUICK)]) for frames in (clip.frames, whole))
    assert alone["part_motion"] == pytest.approx(np.mean(6 * WAYS), abs=0.3)
    assert alone["rest_motion"] < 0.5 and alone["whole_to_part"] < 0.05
    assert together["motion_gap_closed"] > 0.95  # by its drag alone it would pass
    assert together["rest_motion"] == pytest.approx(np.mean(6 * WAYS), abs=0.5)
    assert together["whole_to_part"] == pytest.approx(1.0, abs=0.05)
    assert together["whole_to_part_still"] is None  # nothing moves in it


def test_without_points_the_object_is_watched_on_a_grid():
    clip = replace(sliding_clip(step=(6, 0), points=True), points=None)
    whole = np.stack([np.roll(clip.still, 6 * index, axis=1) for index in range(FRAMES)])
    alone, together = (score_clip(clip, frames, 0.0, QUICK).model for frames in (clip.frames, whole))
    assert alone.points_error is None
    assert alone.part_motion == pytest.approx(np.mean(6 * WAYS), abs=0.3)
    assert alone.rest_motion < 0.5
    assert together.rest_motion == pytest.approx(np.mean(6 * WAYS), abs=0.5)


def test_a_background_with_texture_is_watched_and_a_plain_one_is_not():
    alpha = np.zeros((FRAMES, 256, 256), np.uint8)
    alpha[:, 100:150, 100:150] = 255
    still = texture(5, 256, 256)
    clip = RealClip("still", np.repeat(still[None], FRAMES, 0), np.zeros((0, FRAMES, 2), np.float32), None, alpha)
    sliding = np.stack([np.roll(still, 3 * index, axis=1) for index in range(FRAMES)])
    assert score_clip(clip, sliding, 0.0, QUICK).model.background_motion == pytest.approx(np.mean(3 * WAYS), abs=0.3)
    assert score_clip(clip, clip.frames, 0.0, QUICK).model.background_motion == pytest.approx(0.0, abs=1e-6)
    plain = sliding_clip()
    assert score_clip(plain, plain.frames, 0.0, QUICK).model.background_motion is None


def test_changes_of_the_background_are_counted_where_the_object_never_is():
    clip = sliding_clip()
    stained = clip.frames.copy()
    stained[1:, 250:, :] = 0  # six rows far from the square
    scores = score_clip(clip, stained, 0.0, QUICK)
    background = ~clip.object_cover.any(axis=0)
    assert 6 * 256 / background.sum() < scores.model.background_changed < 1.6 * 6 * 256 / background.sum()
    assert scores.truth.background_changed == 0.0


def test_the_first_frame_is_held_against_the_still():
    clip = sliding_clip()
    lighter = clip.frames.copy()
    lighter[0] += 10
    assert score_clip(clip, lighter, 0.0, QUICK).model.psnr_first == pytest.approx(20 * np.log10(255 / 10))
    assert score_clip(clip, clip.frames, 0.0, QUICK).model.psnr_first == 100.0


def test_a_clip_in_which_nothing_moves_has_no_gap_and_no_ratio():
    clip = sliding_clip(step=(0, 0), points=True)
    report = summarise(score_clips([clip], truth, QUICK))
    assert report["clips_without_moving_drags"] == ["slide"]
    for name in ("motion_error", "motion_gap_closed", "points_gap_closed", "psnr_moving", "part_motion"):
        assert report[name] is None
    assert report["pin_error"] == report["rest_motion"] == report["points_error"] == 0.0
    assert report["whole_to_part"] is None


def test_differences_to_the_still_are_paired_clip_by_clip(clips):
    scores = score_clips(clips, truth, QUICK)
    report = summarise(scores)
    each = [score.model.psnr_moving - score.still.psnr_moving for score in scores]
    difference = report["difference_to_still"]["psnr_moving"]
    assert difference["mean"] == pytest.approx(np.mean(each)) == report["psnr_moving_gain"]
    low, high = difference["confidence_95"]
    assert min(each) <= low <= difference["mean"] <= high <= max(each)
    assert report["difference_to_still"]["points_error"] is None
    assert report["difference_to_still"]["pin_error"]["confidence_95"] is None  # one clip alone has pins


def test_models_are_compared_with_the_first_on_the_same_clips(clips):
    still, real = (score_clips(clips, maker, QUICK) for maker in (frozen, truth))
    better = compare(real, still)
    assert better["motion_error"]["mean"] < -5 and better["motion_error"]["confidence_95"][1] < 0
    assert compare(real, real)["psnr"] == {"mean": 0.0, "confidence_95": (0.0, 0.0)}


def test_perceptual_distance_is_taken_where_there_is_a_network():
    clip = sliding_clip()
    measuring = Measuring(clip, QUICK, picture_distance=lambda a, b: float(np.abs(a.astype(float) - b).mean()))
    assert measuring.of(clip.frames).lpips == 0.0
    assert measuring.of(measuring.frozen).lpips > 1.0
    assert Measuring(clip, QUICK).of(clip.frames).lpips is None


def test_frames_of_another_size_are_a_fault_of_the_caller():
    clip = sliding_clip()
    with pytest.raises(ValueError, match="slide"):
        score_clip(clip, clip.frames[:, :100], 0.0, QUICK)

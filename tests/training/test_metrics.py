# SPDX-License-Identifier: GPL-3.0-or-later
"""The measures against numbers worked out by hand or by a plain, slow computation."""

import numpy as np
import pytest
from puppet_master.training import metrics


@pytest.fixture
def pair():
    """Two clips of 3 frames, 40 x 48, that differ by noise."""
    rng = np.random.default_rng(3)
    real = rng.integers(0, 256, (3, 40, 48, 3), dtype=np.uint8)
    noisy = np.clip(real + rng.normal(0, 12, real.shape), 0, 255).astype(np.uint8)
    return noisy, real


def test_psnr_of_a_constant_difference_is_the_textbook_value():
    real = np.full((2, 8, 8, 3), 100, np.uint8)
    assert metrics.psnr(real + 10, real) == pytest.approx(20 * np.log10(255 / 10))


def test_psnr_is_the_mean_of_the_frames_decibels_not_that_of_the_mean_error():
    real = np.full((2, 8, 8, 3), 100, np.uint8)
    frames = real.copy()
    frames[0] += 5
    frames[1] += 50
    assert metrics.psnr(frames, real) == pytest.approx(np.mean(20 * np.log10([255 / 5, 255 / 50])))


def test_equal_frames_count_with_a_finite_psnr():
    real = np.zeros((2, 8, 8, 3), np.uint8)
    assert metrics.psnr(real, real) == metrics.PSNR_OF_EQUALS
    smallest = np.zeros((1, 256, 256, 3), np.uint8)
    smallest[0, 0, 0, 0] = 1
    assert metrics.psnr(smallest, np.zeros_like(smallest)) == pytest.approx(metrics.PSNR_OF_EQUALS, abs=2)


def test_psnr_under_a_mask_sees_only_the_mask(pair):
    noisy, real = pair
    mask = np.zeros(real.shape[1:3], bool)
    mask[10:20, 5:30] = True
    inside = metrics.psnr(noisy[:, 10:20, 5:30], real[:, 10:20, 5:30])
    assert metrics.psnr(noisy, real, mask) == pytest.approx(inside)
    assert metrics.psnr(noisy, real, np.zeros_like(mask)) is None


def test_ssim_agrees_with_its_definition_at_a_pixel(pair):
    noisy, real = pair
    y, x, reach = 20, 24, 5
    offsets = np.arange(-reach, reach + 1)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    expected = []
    for channel in range(3):
        square = np.s_[1, y - reach : y + reach + 1, x - reach : x + reach + 1, channel]
        a, b = noisy[square].astype(float), real[square].astype(float)
        mean_a, mean_b = (window * a).sum(), (window * b).sum()
        var_a, var_b = (window * a * a).sum() - mean_a**2, (window * b * b).sum() - mean_b**2
        cov = (window * a * b).sum() - mean_a * mean_b
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
        expected.append(luminance * (2 * cov + c2) / (var_a + var_b + c2))
    assert metrics.ssim_map(noisy, real)[1, y, x] == pytest.approx(np.mean(expected), abs=1e-6)


def test_ssim_of_equal_frames_is_one(pair):
    _, real = pair
    assert metrics.ssim_map(real, real).min() == pytest.approx(1.0)


def test_transparent_frames_are_put_on_white():
    frames = np.zeros((1, 1, 3, 4), np.uint8)
    frames[0, 0] = [(10, 20, 30, 255), (10, 20, 30, 0), (0, 0, 0, 51)]
    assert metrics.composite(frames)[0, 0].tolist() == [[10, 20, 30], [255, 255, 255], [204, 204, 204]]


def test_frames_without_alpha_are_left_alone(pair):
    _, real = pair
    assert metrics.composite(real) is real


def test_the_moving_mask_holds_what_changes_and_a_margin():
    frames = np.full((3, 32, 32, 3), 200, np.uint8)
    frames[2, 16, 16, 1] -= metrics.MOVING_THRESHOLD + 1
    frames[1, 2, 2] -= metrics.MOVING_THRESHOLD  # noise: not above the threshold
    mask = metrics.moving_mask(frames)
    y, x = np.nonzero(mask)
    assert np.hypot(y - 16, x - 16).max() <= metrics.MOVING_MARGIN + 0.5
    assert mask[16 - metrics.MOVING_MARGIN, 16] and mask[16, 16 + metrics.MOVING_MARGIN]
    assert not mask[2, 2]


def test_drift_is_the_mean_absolute_change_under_the_mask():
    still = np.full((4, 4, 3), 100, np.uint8)
    frames = np.stack([still + 2, still - 4])
    frames[:, 0] = 0
    mask = np.ones((4, 4), bool)
    mask[0] = False
    assert metrics.drift(frames, still, mask) == pytest.approx(3.0)
    assert metrics.drift(frames, still, ~np.ones((4, 4), bool)) is None


def test_point_error_is_the_mean_distance_after_the_first_frame():
    asked = np.zeros((2, 3, 2))
    found = asked.copy()
    found[0, 1] = (3, 4)
    found[1, 2] = (0, 2)
    assert metrics.point_error(found, asked) == pytest.approx((5 + 0 + 0 + 2) / 4)
    assert metrics.point_error(found[:0], asked[:0]) is None


@pytest.mark.parametrize(("model", "expected"), [(10.0, 1.0), (26.0, 0.0), (18.0, 0.5), (30.0, -0.25), (6.0, 1.25)])
def test_gap_closed_runs_from_the_still_to_the_real_frames(model, expected):
    assert metrics.gap_closed(26.0, model, 10.0) == pytest.approx(expected)


def test_there_is_no_gap_where_the_tracker_fails_on_the_real_frames():
    assert metrics.gap_closed(10.0, 9.0, 11.0) is None


def test_the_bootstrap_interval_is_that_of_a_mean():
    rows = np.random.default_rng(0).normal(5.0, 2.0, (400, 1))
    low, high = metrics.bootstrap_interval(rows, lambda means: means[:, 0])
    spread = 1.96 * rows.std() / np.sqrt(len(rows))
    assert low == pytest.approx(rows.mean() - spread, abs=0.03)
    assert high == pytest.approx(rows.mean() + spread, abs=0.03)
    assert metrics.bootstrap_interval(rows, lambda means: means[:, 0]) == (low, high)
    assert metrics.bootstrap_interval(rows[:1], lambda means: means[:, 0]) is None


def test_means_leave_out_what_is_missing():
    assert metrics.mean_or_none([1.0, None, 3.0]) == 2.0
    assert metrics.mean_or_none([None]) is None

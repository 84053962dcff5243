# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures between a generated clip and the real one: pictures (PSNR, SSIM), places (distances), intervals.

Frames are uint8 RGB `[N, H, W, 3]`, compared frame by frame; frame 0 is the still itself and is left
out by the caller. Masks are bool `[H, W]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

Frames = NDArray[np.uint8]
Mask = NDArray[np.bool_]

# Equal pictures have no finite PSNR; a mean over frames needs one. 8-bit pictures that differ in one
# level of one channel of one pixel at 256x256 lie just above 100 dB.
PSNR_OF_EQUALS = 100.0

# Above what compression and render noise change, below what a part's edge changes (0-255).
MOVING_THRESHOLD = 12
# Grown by this many pixels so that the edge a part leaves or reaches counts as moving.
MOVING_MARGIN = 3

BOOTSTRAP_SAMPLES = 2000


def composite(frames: NDArray[np.uint8], background: int = 255) -> Frames:
    """RGB frames: straight-alpha RGBA `[N, H, W, 4]` over a grey `background`; RGB is returned as it is."""
    if frames.shape[-1] == 3:
        return frames
    alpha = frames[..., 3:].astype(np.float32) / 255.0
    mixed = frames[..., :3] * alpha + background * (1.0 - alpha)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def moving_mask(frames: Frames, margin: int = MOVING_MARGIN) -> Mask:
    """Where a clip moves, bool `[H, W]`.

    A pixel moves when any channel of any later frame differs from the still by more than
    `MOVING_THRESHOLD` levels; the area is then grown by `margin` pixels.
    """
    differs = np.abs(frames[1:].astype(np.int16) - frames[:1]).max(axis=(0, 3)) > MOVING_THRESHOLD
    size = 2 * margin + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return cv2.dilate(differs.astype(np.uint8), disc).astype(bool)


def psnr(frames: Frames, real: Frames, mask: Mask | None = None) -> float | None:
    """Mean over frames of each frame's peak signal-to-noise ratio in dB, `PSNR_OF_EQUALS` at most.

    With a `mask`, over its pixels alone; None where it has none.
    """
    if mask is not None and not mask.any():
        return None
    squared = (frames.astype(np.float64) - real) ** 2
    per_frame = squared.mean(axis=(1, 2, 3)) if mask is None else squared[:, mask].mean(axis=(1, 2))
    with np.errstate(divide="ignore"):
        decibels = 10.0 * np.log10(255.0**2 / per_frame)
    return float(np.minimum(decibels, PSNR_OF_EQUALS).mean())


def ssim_map(frames: Frames, real: Frames) -> NDArray[np.float64]:
    """Structural similarity at each pixel, `[N, H, W]` in [-1, 1], mean of the three channels.

    Gaussian window of sigma 1.5 and population statistics, as in Wang et al. (2004).
    """
    return np.stack([_ssim_of_frame(a, b) for a, b in zip(frames, real, strict=True)])


def masked_mean(values: NDArray[np.float64], mask: Mask) -> float | None:
    """Mean over frames and the pixels of `mask`; None where it has none."""
    return float(values[:, mask].mean()) if mask.any() else None


def drift(frames: Frames, still: Frames, mask: Mask) -> float | None:
    """Mean absolute difference from `still` `[H, W, 3]` over the pixels of `mask`, in levels of 255."""
    if not mask.any():
        return None
    return float(np.abs(frames[:, mask].astype(np.int16) - still[mask]).mean())


def point_error(found: NDArray[np.floating], asked: NDArray[np.floating]) -> float | None:
    """Mean distance over drags and frames 2...N between two sets of paths `[K, N, 2]`; None without drags."""
    if len(asked) == 0:
        return None
    return float(np.linalg.norm(found[:, 1:] - asked[:, 1:], axis=-1).mean())


def changed_share(frames: Frames, still: Frames, mask: Mask) -> float | None:
    """Share of the pixels of `mask`, over all frames, that differ from `still` by more than `MOVING_THRESHOLD`."""
    if not mask.any():
        return None
    differs = np.abs(frames[:, mask].astype(np.int16) - still[mask]).max(axis=-1)
    return float((differs > MOVING_THRESHOLD).mean())


def mean_distance(
    paths: NDArray[np.floating], other: NDArray[np.floating], seen: NDArray[np.bool_], squared: bool = False
) -> float | None:
    """Mean distance over points and frames 2...N between `[P, N, 2]` and what broadcasts to it, where `seen` `[P, N]`.

    `squared` gives the root of the mean squared distance instead. None where nothing is seen.
    """
    if not seen[:, 1:].any():
        return None
    distances = np.linalg.norm(np.broadcast_to(paths - other, paths.shape)[:, 1:], axis=-1)[seen[:, 1:]]
    return float(np.sqrt(np.square(distances).mean()) if squared else distances.mean())


def gap_closed(still: float, model: float, truth: float) -> float | None:
    """The share of the distance from the frozen still to the real frames that the model went.

    1 is as good as the real frames, 0 no better than the frozen still, below 0 worse. None where the
    real frames themselves are no better than the still, so that there is no gap to close.
    """
    gap = still - truth
    return (still - model) / gap if gap > 0 else None


def bootstrap_interval(
    rows: NDArray[np.float64],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    seed: int = 0,
) -> tuple[float, float] | None:
    """95 % percentile interval of a statistic of column means, over clips drawn with replacement.

    Args:
        rows: `[clips, columns]`, finite.
        statistic: from the column means of each draw, `[draws, columns]`, to `[draws]`.
        seed: of the draws, so that a report repeats.

    Returns:
        Low and high end; None with fewer than two clips, or where some draw has no such statistic (not finite).
    """
    if len(rows) < 2:
        return None
    draws = np.random.default_rng(seed).integers(len(rows), size=(BOOTSTRAP_SAMPLES, len(rows)))
    values = statistic(rows[draws].mean(axis=1))
    if not np.isfinite(values).all():
        return None
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def mean_or_none(values: Sequence[float | None]) -> float | None:
    """Mean of the values that are there; None where none is."""
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None


def _ssim_of_frame(frame: Frames, real: Frames) -> NDArray[np.float64]:
    _, per_channel = structural_similarity(
        frame,
        real,
        data_range=255,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return per_channel.mean(axis=-1)

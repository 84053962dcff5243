# SPDX-License-Identifier: GPL-3.0-or-later
"""Detail of the still is kept exactly where nothing changed, and not at all where something did."""

from __future__ import annotations

import numpy as np
from puppet_master.backend.detail import keep_still_detail


def textured_still():
    rng = np.random.default_rng(0)
    return np.clip(128 + rng.normal(0, 12, (96, 96, 3)), 0, 255).astype(np.uint8)


def test_an_unchanged_frame_becomes_the_still_exactly():
    still = textured_still()
    blurred = np.full_like(still, 128)
    assert np.array_equal(keep_still_detail(blurred[None], blurred, still)[0], still)


def test_what_changed_is_left_as_decoded_and_the_rest_is_exact():
    still = textured_still()
    blurred = np.full_like(still, 128)
    frame = blurred.copy()
    frame[30:60, 30:60] = 20
    result = keep_still_detail(frame[None], blurred, still)[0]
    assert (result[30:60, 30:60] == 20).all()
    assert np.array_equal(result[:15], still[:15]) and np.array_equal(result[:, 75:], still[:, 75:])


def test_a_perfect_decoder_has_nothing_to_add():
    still = textured_still()
    frames = np.random.default_rng(1).integers(0, 255, (3, 96, 96, 3), dtype=np.uint8)
    assert np.array_equal(keep_still_detail(frames, still, still), frames)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Stills of any aspect: decoded on the background, fitted without squashing, mapped back with their drags."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from puppet_master.backend.errors import InputError
from puppet_master.backend.fitting import Fit, decode_still

WHITE = (1.0, 1.0, 1.0)


def encoded(image, form="PNG"):
    stream = io.BytesIO()
    image.save(stream, form)
    return stream.getvalue()


def photo(width, height, seed=0):
    small = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def test_transparency_shows_the_background():
    image = Image.new("RGBA", (16, 16), (200, 0, 0, 0))
    image.paste((0, 0, 250, 128), (0, 0, 8, 16))
    still = decode_still(encoded(image), (0.0, 1.0, 0.0))
    assert still[4, 12].tolist() == [0, 255, 0]
    assert still[4, 2].tolist() == pytest.approx([0, 127, 125], abs=1)


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "I;16", "LA"])
def test_any_colour_mode_is_read(mode):
    assert decode_still(encoded(Image.new(mode, (20, 10))), WHITE).shape == (10, 20, 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"not an image", "cannot be read as an image"),
        (encoded(Image.fromarray(photo(64, 64)))[:400], "cannot be read as an image"),
        (encoded(Image.new("RGB", (4, 64))), "4x64; it needs at least 8"),
        (encoded(Image.new("L", (9000, 8000))), "9000x8000; at most 64 megapixels"),
    ],
)
def test_what_is_no_usable_still_is_refused(data, message):
    with pytest.raises(InputError, match=message):
        decode_still(data, WHITE)


@pytest.mark.parametrize("mode", ["letterbox", "crop"])
@pytest.mark.parametrize("size", [(300, 100), (100, 300), (640, 480), (64, 64), (37, 128)])
def test_a_point_of_the_picture_stays_on_the_same_thing(mode, size):
    still = np.full((size[1], size[0], 3), 255, dtype=np.uint8)
    x, y = 0.45, 0.55
    row, column = int(y * size[1]), int(x * size[0])
    radius = max(2, min(size) // 12)
    still[max(row - radius, 0) : row + radius + 1, max(column - radius, 0) : column + radius + 1] = 0
    fit = Fit.of(size, (128, 128), mode)
    seen = fit.to_model(still, WHITE)
    assert seen.shape == (128, 128, 3)
    rows, columns = np.nonzero(seen[..., 0] < 128)
    where = fit.points_to_model(np.array([(column + 0.5) / size[0], (row + 0.5) / size[1]]))
    assert (columns.mean() + 0.5) / 128 == pytest.approx(where[0], abs=0.015)
    assert (rows.mean() + 0.5) / 128 == pytest.approx(where[1], abs=0.015)


def test_letterboxing_does_not_squash_and_pads_with_the_background():
    still = np.zeros((100, 200, 3), dtype=np.uint8)
    seen = Fit.of((200, 100), (128, 128), "letterbox").to_model(still, (1.0, 0.5, 0.0))
    assert (seen[32:96] == 0).all()
    assert (seen[:32] == (255, 128, 0)).all() and (seen[96:] == (255, 128, 0)).all()


@pytest.mark.parametrize("mode", ["letterbox", "crop"])
@pytest.mark.parametrize("size", [(300, 100), (101, 257), (128, 128), (512, 512)])
def test_frames_come_back_at_the_stills_size_and_place(mode, size):
    still = photo(*size)
    fit = Fit.of(size, (128, 128), mode)
    seen = fit.to_model(still, WHITE)
    back = fit.from_model(seen[None], still)[0]
    assert back.shape == still.shape
    assert np.abs(back.astype(int) - still.astype(int)).mean() < 4


def test_what_a_crop_cut_off_is_the_stills_own():
    still = photo(256, 128)
    fit = Fit.of((256, 128), (128, 128), "crop")
    back = fit.from_model(np.zeros((2, 128, 128, 3), dtype=np.uint8), still)
    assert (back[:, :, 64:192] == 0).all()
    assert (back[1, :, :64] == still[:, :64]).all() and (back[1, :, 192:] == still[:, 192:]).all()

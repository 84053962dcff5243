# SPDX-License-Identifier: GPL-3.0-or-later
"""PNG, mp4, strips and stills."""

import io

import av
import numpy as np
import pytest
from PIL import Image
from puppet_master.backend import media
from puppet_master.backend.errors import InputError


@pytest.fixture
def frames():
    """Six frames in which a bright square walks to the right."""
    clip = np.full((6, 48, 64, 3), 40, np.uint8)
    for index in range(6):
        clip[index, 16:32, 4 + 8 * index : 20 + 8 * index] = (220, 120, 30)
    return clip


def decoded(mp4):
    with av.open(io.BytesIO(mp4)) as video:
        stream = video.streams.video[0]
        return stream.average_rate, [frame.to_ndarray(format="rgb24") for frame in video.decode(stream)]


def test_png_keeps_every_pixel(frames):
    assert np.array_equal(media.decode_png(media.encode_png(frames[2])), frames[2])


def test_mp4_has_every_frame_in_order(frames):
    rate, read = decoded(media.encode_mp4(frames))
    assert rate == 7
    assert len(read) == 6
    for expected, got in zip(frames, read, strict=True):
        # Lossy, but each frame is nearer to its own than to any other.
        errors = [np.abs(got.astype(int) - other).mean() for other in frames]
        assert np.argmin(errors) == np.argmin([np.abs(expected.astype(int) - o).sum() for o in frames])
        assert np.abs(got.astype(int) - expected).mean() < 4


@pytest.mark.parametrize("height, width", [(31, 45), (1, 1), (17, 16)])
def test_odd_sizes_are_padded_by_their_last_row_and_column(height, width):
    clip = np.full((2, height, width, 3), 200, np.uint8)
    _, read = decoded(media.encode_mp4(clip))
    assert read[0].shape == (height + height % 2, width + width % 2, 3)
    assert np.abs(read[0].astype(int) - 200).max() < 6


def test_the_same_frames_make_the_same_mp4(frames):
    assert media.encode_mp4(frames) == media.encode_mp4(frames)


def test_strips_are_side_by_side_and_small(frames):
    assert np.array_equal(media.estimate_strip(frames), np.concatenate(list(frames), axis=1))
    large = np.repeat(np.repeat(frames, 4, axis=1), 4, axis=2)  # 192 x 256
    assert media.estimate_strip(large).shape == (96, 6 * 128, 3)


def test_a_png_still_is_sent_as_it_is(tmp_path, still_png):
    (tmp_path / "still.png").write_bytes(still_png)
    assert media.read_still(tmp_path / "still.png") == still_png


def test_other_formats_become_png_upright(tmp_path):
    tall = Image.new("RGB", (30, 20), (10, 200, 30))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    tall.save(tmp_path / "photo.jpg", exif=exif)
    with Image.open(io.BytesIO(media.read_still(tmp_path / "photo.jpg"))) as still:
        assert (still.format, still.size, still.mode) == ("PNG", (20, 30), "RGB")


def test_transparency_survives_conversion(tmp_path):
    Image.new("RGBA", (8, 8), (255, 0, 0, 90)).save(tmp_path / "still.webp", lossless=True)
    with Image.open(io.BytesIO(media.read_still(tmp_path / "still.webp"))) as still:
        assert still.getpixel((3, 3)) == (255, 0, 0, 90)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\nbroken"])
def test_unreadable_stills_are_named(tmp_path, content):
    (tmp_path / "still.png").write_bytes(content)
    with pytest.raises(InputError, match=r"cannot read the still .*still\.png as an image"):
        media.read_still(tmp_path / "still.png")


def test_a_truncated_png_is_refused(tmp_path, still_png):
    (tmp_path / "still.png").write_bytes(still_png[:-30])
    with pytest.raises(InputError, match=r"still\.png"):
        media.read_still(tmp_path / "still.png")


def test_missing_stills_and_folders_are_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.png does not exist"):
        media.read_still(tmp_path / "absent.png")
    with pytest.raises(InputError, match="cannot read the still"):
        media.read_still(tmp_path)

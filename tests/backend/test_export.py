# SPDX-License-Identifier: GPL-3.0-or-later
"""Previews saved as mp4, GIF and PNG sequence: what is written is decoded and compared with the frames."""

import json

import av
import numpy as np
import pytest
from PIL import Image
from puppet_master.backend import cli
from puppet_master.backend.errors import InputError, OutputError
from puppet_master.backend.export import export_preview

SHADES = (20, 90, 160, 230)


@pytest.fixture
def preview(tmp_path):
    """A preview's folder: four grey frames of 33 x 20 pixels."""
    folder = tmp_path / "vorschau ü"
    (folder / "frames").mkdir(parents=True)
    for index, shade in enumerate(SHADES):
        Image.new("RGB", (33, 20), (shade, shade, shade)).save(folder / "frames" / f"{index:04d}.png")
    return folder


def middle(picture):
    return int(np.asarray(picture)[10, 16, 0])


def test_an_mp4_shows_each_frame_as_often_as_asked(preview, tmp_path):
    made = export_preview(preview, tmp_path / "clip.mp4", fps=12, loops=2)
    assert (made["frames"], made["width"], made["height"]) == (8, 33, 20)
    with av.open(tmp_path / "clip.mp4") as container:
        stream = container.streams.video[0]
        shown = [middle(frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)]
        assert stream.average_rate == 12
        assert (stream.width, stream.height) == (34, 20)  # H.264 needs even sides
    np.testing.assert_allclose(shown, [*SHADES, *SHADES], atol=3)


def test_a_gif_loops_and_lasts_as_long_as_the_clip(preview, tmp_path):
    export_preview(preview, tmp_path / "clip.gif", fps=7)
    with Image.open(tmp_path / "clip.gif") as image:
        assert (image.n_frames, image.size, image.info["loop"]) == (4, (33, 20), 0)
        shown, durations = [], []
        for index in range(image.n_frames):
            image.seek(index)
            shown.append(middle(image.convert("RGB")))
            durations.append(image.info["duration"])
    assert shown == list(SHADES)
    assert sum(durations) == pytest.approx(4000 / 7, abs=10)


def test_a_sequence_holds_the_same_files(preview, tmp_path):
    made = export_preview(preview, tmp_path / "sequence")
    names = sorted(path.name for path in (tmp_path / "sequence").iterdir())
    assert names == ["0000.png", "0001.png", "0002.png", "0003.png"]
    for name in names:
        assert (tmp_path / "sequence" / name).read_bytes() == (preview / "frames" / name).read_bytes()
    assert made["bytes"] == sum(path.stat().st_size for path in (preview / "frames").iterdir())
    with pytest.raises(OutputError, match="holds a PNG sequence already"):
        export_preview(preview, tmp_path / "sequence")


def test_the_command_prints_where_it_wrote(preview, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["export", str(preview), "--out", str(tmp_path / "a.gif"), "--json"])
    assert end.value.code == 0
    assert json.loads(capsys.readouterr().out)["out"] == str(tmp_path / "a.gif")


def test_what_cannot_be_exported_is_named_and_nothing_is_left(preview, tmp_path):
    with pytest.raises(InputError, match=r"gone holds no preview"):
        export_preview(tmp_path / "gone", tmp_path / "a.mp4")
    with pytest.raises(InputError, match=r"a\.avi: give a name that ends in"):
        export_preview(preview, tmp_path / "a.avi")
    (preview / "frames" / "0002.png").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"0002\.png cannot be read"):
        export_preview(preview, tmp_path / "a.mp4")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/a\.gif"):
        (preview / "frames" / "0002.png").unlink()
        export_preview(preview, tmp_path / "file" / "a.gif")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", preview.name]

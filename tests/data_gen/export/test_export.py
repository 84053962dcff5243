# SPDX-License-Identifier: GPL-3.0-or-later
"""Each export is read back in the way its own loaders read it, restated here, and compared with the clips."""

from __future__ import annotations

import json
import pickle
import resource
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from puppet_master.backend.clips import encode_clip
from puppet_master.backend.errors import InputError, OutputError
from puppet_master.backend.shards import write_tar
from puppet_master.data_gen.export.background import Background
from puppet_master.data_gen.export.formats import Options
from puppet_master.data_gen.export.run import FORMATS, export_dataset

from .conftest import COUNT, HEIGHT, POINTS, WIDTH, make_clip


def over(clip, colour):
    """The clip's frames over a colour, in floating point."""
    alpha = clip.frames[..., 3:] / 255
    return clip.frames[..., :3] * alpha + np.array(colour) * (1 - alpha)


def snapshot(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def read_tapvid(path):
    """As `create_davis_dataset` with query mode "first" does it: name -> video, points in pixels, occluded, queries."""
    videos = pickle.loads(path.read_bytes())
    read = {}
    for name in videos:
        video = videos[name]["video"].astype(np.float32) / 255.0 * 2.0 - 1.0
        points = videos[name]["points"] * np.array([video.shape[2], video.shape[1]])
        hidden = videos[name]["occluded"]
        seen = np.sum(~hidden, axis=1) > 0
        points, hidden = points[seen], hidden[seen]
        first = [np.flatnonzero(~row)[0] for row in hidden]
        queries = np.array([(t, points[i, t, 1], points[i, t, 0]) for i, t in enumerate(first)])
        read[name] = video, points, hidden, queries
    return read


def test_tapvid_reads_as_its_evaluation_does(dataset, clips, tmp_path):
    summary = export_dataset(dataset, tmp_path / "out", "tapvid", Options(per_file=2))
    assert (summary.written, summary.left_out) == (3, [])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "0000_of_0002.pkl", "0001_of_0002.pkl", "export.json",
    ]  # fmt: skip
    read = {**read_tapvid(tmp_path / "out/0000_of_0002.pkl"), **read_tapvid(tmp_path / "out/0001_of_0002.pkl")}
    assert list(read) == list(clips)
    for name, clip in clips.items():
        video, points, hidden, queries = read[name]
        seen = clip.visible.any(1)
        assert np.abs((video + 1) * 127.5 - over(clip, (255,) * 3)).max() < 0.51
        np.testing.assert_allclose(points, clip.tracks[seen] * (WIDTH, HEIGHT), atol=1e-4)
        np.testing.assert_array_equal(hidden, ~clip.visible[seen])
        assert queries.shape == (seen.sum(), 3)


def test_tapvid_leaves_out_what_its_readers_would_fail_on(tmp_path):
    clip = make_clip(7)
    unseen = replace(clip, visible=np.zeros_like(clip.visible))
    (tmp_path / "d").mkdir()
    write_tar(tmp_path / "d/clips-000000.tar", [("a", encode_clip(clip)), ("b", encode_clip(unseen))])
    summary = export_dataset(tmp_path / "d", tmp_path / "out", "tapvid", Options())
    assert summary.left_out == ["b"]
    assert list(read_tapvid(tmp_path / "out/0000_of_0001.pkl")) == ["a"]


def read_cotracker(root, name):
    """As `KubricMovifDataset.getitem_helper` does it: video, points `[N, P, 2]`, visible `[N, P]`."""
    images = [np.asarray(Image.open(path)) for path in sorted((root / name / "frames").iterdir())]
    annotation = np.load(root / name / f"{name}.npy", allow_pickle=True).item()
    points = annotation["coords"].transpose(1, 0, 2)
    visible = np.logical_not(annotation["visibility"]).transpose(1, 0)
    visible[(points[..., 0] > WIDTH - 1) | (points[..., 0] < 0)] = False
    visible[(points[..., 1] > HEIGHT - 1) | (points[..., 1] < 0)] = False
    return np.stack(images), points, visible


def test_cotracker_reads_as_its_kubric_dataset_does(dataset, clips, tmp_path):
    out = tmp_path / "out"
    export_dataset(dataset, out, "cotracker", Options(Background("black")))
    assert sorted(entry.name for entry in out.iterdir() if entry.is_dir()) == sorted(clips)
    for name, clip in clips.items():
        video, points, visible = read_cotracker(out, name)
        assert video.shape == (COUNT, HEIGHT, WIDTH, 3) and video.dtype == np.uint8
        assert np.abs(video - over(clip, (0, 0, 0))).max() < 0.51
        # A point in the middle of pixel (3, 5) lies at (3, 5).
        np.testing.assert_allclose((points + 0.5) / (WIDTH, HEIGHT), clip.tracks.transpose(1, 0, 2), atol=1e-5)
        inside = ((points >= 0) & (points <= (WIDTH - 1, HEIGHT - 1))).all(-1)
        np.testing.assert_array_equal(visible, clip.visible.T & inside)


def read_pointodyssey(root, split, length=4):
    """As `PointOdysseyDataset` reads a stretch of a sequence, up to where it begins to choose points."""
    found = {}
    for folder in sorted((root / split).glob("*/")):
        shape = np.load(folder / "info.npz", allow_pickle=True)["trajs_3d"].astype(np.float32)
        if not len(shape):
            continue
        assert shape[1] == POINTS
        chosen = np.arange(length)
        anno = np.load(folder / "anno.npz", allow_pickle=True)
        kept = {key: anno[key][chosen].astype(np.float32) for key in anno.files}
        kept["rgbs"] = [np.array(Image.open(folder / f"rgbs/rgb_{i:05d}.jpg"))[:, :, :3] for i in chosen]
        depths = [np.asarray(Image.open(folder / f"depths/depth_{i:05d}.png")) for i in chosen]
        kept["depths"] = [depth.astype(np.float32) / 65535.0 * 1000.0 for depth in depths]
        kept["normals"] = [np.array(Image.open(folder / f"normals/normal_{i:05d}.jpg"))[:, :, :3] for i in chosen]
        found[folder.name] = kept
    return found


def test_pointodyssey_reads_as_its_dataset_does(dataset, clips, tmp_path):
    export_dataset(dataset, tmp_path / "out", "pointodyssey", Options(quality=100))
    read = read_pointodyssey(tmp_path / "out", "train")
    assert list(read) == sorted(clips)
    for name, clip in clips.items():
        found = read[name]
        np.testing.assert_allclose(found["trajs_2d"], (clip.tracks * (WIDTH, HEIGHT)).transpose(1, 0, 2)[:4], atol=1e-4)
        np.testing.assert_array_equal(found["visibs"], clip.visible.T[:4])
        assert found["valids"].all()
        # The cameras and the 3-D points say the same as the 2-D points, by the loader's own projection.
        world = np.concatenate((found["trajs_3d"], np.ones((*found["trajs_3d"].shape[:2], 1))), axis=-1)
        camera = np.einsum("sij,snj->sni", found["extrinsics"], world)[..., :3]
        assert (camera[..., 2] > 0).all()
        focal, middle = found["intrinsics"][:, (0, 1), (0, 1)], found["intrinsics"][:, (0, 1), 2]
        projected = camera[..., :2] / camera[..., 2:] * focal[:, None] + middle[:, None]
        np.testing.assert_allclose(projected, found["trajs_2d"], atol=2e-3)
        for depth, rgb, normal, i in zip(found["depths"], found["rgbs"], found["normals"], range(4), strict=True):
            assert depth.shape == (HEIGHT, WIDTH)
            true = clip.passes["depth"][i].astype(float) * 4
            np.testing.assert_allclose(depth[1:], true[1:], atol=0.008)  # half a step of 1000 / 65535
            assert (depth[0] == 1000).all()  # nothing there: as far as can be
            assert np.abs(rgb - over(clip, (255,) * 3)[i]).mean() < 6  # noise through JPEG
            assert normal.shape == (HEIGHT, WIDTH, 3)
        # Half a step of the depth is a hundredth of the 3-D points' unit: depth and points share it.
        assert np.ptp(found["trajs_3d"], axis=(0, 1)).max() == pytest.approx(4, rel=0.2)


def test_pointodyssey_says_what_clips_lack(tmp_path):
    clip = replace(make_clip(1, passes=False), extra={})
    (tmp_path / "d").mkdir()
    write_tar(tmp_path / "d/clips-000000.tar", [("a", encode_clip(clip))])
    summary = export_dataset(tmp_path / "d", tmp_path / "out", "pointodyssey", Options(split="val"))
    assert summary.lacks == {"3-D points": 1, "the depth pass": 1, "the normal pass": 1}
    assert np.load(tmp_path / "out/val/a/anno.npz")["trajs_3d"].shape == ()
    assert read_pointodyssey(tmp_path / "out", "val") == {}  # its loader passes over sequences without 3-D points


def test_frames_keep_transparency_and_every_number(dataset, clips, tmp_path):
    out = tmp_path / "out"
    export_dataset(dataset, out, "frames", Options(Background("transparent")))
    for name, clip in clips.items():
        listed = json.loads((out / name / "points.json").read_text())
        images = [np.asarray(Image.open(out / name / f"frames/{i:03d}.png")) for i in range(listed["frames"])]
        np.testing.assert_array_equal(np.stack(images), clip.frames)
        np.testing.assert_array_equal(np.array(listed["tracks"], np.float32), clip.tracks)
        np.testing.assert_array_equal(np.array(listed["drags"], np.float32), clip.drags)
        np.testing.assert_array_equal(np.array(listed["visible"], bool), clip.visible)
        assert listed["part"] == clip.part.tolist() and listed["meta"] == clip.meta


def test_backgrounds(clips):
    name, clip = next(iter(clips.items()))
    for text, colour in (("white", (255, 255, 255)), ("black", (0, 0, 0)), ("#ff8000", (255, 128, 0))):
        assert np.abs(Background(text).behind(clip.frames, name) - over(clip, colour)).max() < 0.51
    empty = np.zeros((1, 1, 1, 4), np.uint8)
    drawn = {name: tuple(Background("random", 1).behind(empty, name)[0, 0, 0].tolist()) for name in ("a", "b", "a")}
    assert drawn["a"] != drawn["b"]
    assert drawn["a"] != tuple(Background("random", 2).behind(empty, "a")[0, 0, 0].tolist())
    assert drawn["a"] == tuple(Background("random", 1).behind(empty, "a")[0, 0, 0].tolist())
    with pytest.raises(InputError, match="#rrggbb, not 'mauve'"):
        Background("mauve")
    with pytest.raises(InputError, match="not '#ff'"):
        Background("#ff")


@pytest.mark.parametrize("format", FORMATS)
def test_interrupted_export_is_continued_to_the_same_files(dataset, tmp_path, format, monkeypatch):
    options = Options(Background("random", 3), per_file=1)
    export_dataset(dataset, tmp_path / "whole", format, options, workers=1)
    done = []

    def stop_after_the_first(count):
        done.extend([None] * count)
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_dataset(dataset, tmp_path / "broken", format, options, 1, stop_after_the_first)
    assert not list((tmp_path / "broken").rglob("*.partial")) and not (tmp_path / "broken/.staging").exists()
    summary = export_dataset(dataset, tmp_path / "broken", format, options, 2)
    assert summary.kept >= 1 and summary.kept + summary.written == 3
    whole, broken = snapshot(tmp_path / "whole"), snapshot(tmp_path / "broken")
    assert [path.relative_to(tmp_path / "whole") for path in whole] == [
        path.relative_to(tmp_path / "broken") for path in broken
    ]
    assert list(whole.values()) == list(broken.values())


def test_other_settings_into_the_same_folder_are_refused(dataset, tmp_path):
    out = tmp_path / "out"
    export_dataset(dataset, out, "frames", Options(Background("black")))
    before = snapshot(out)
    for format, options in (("frames", Options(Background("white"))), ("cotracker", Options(Background("black")))):
        with pytest.raises(InputError, match="holds an export with"):
            export_dataset(dataset, out, format, options)
    assert snapshot(out) == before


def test_bad_orders_are_refused(dataset, tmp_path):
    with pytest.raises(InputError, match="no format is called 'coco'"):
        export_dataset(dataset, tmp_path / "o", "coco", Options())
    with pytest.raises(InputError, match="no transparent frames"):
        export_dataset(dataset, tmp_path / "o", "tapvid", Options(Background("transparent")))
    with pytest.raises(InputError, match="no shards"):
        export_dataset(tmp_path, tmp_path / "o", "frames", Options())
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot write"):
        export_dataset(dataset, tmp_path / "file" / "o", "frames", Options())


def test_damaged_clip_stops_the_export_and_is_named(dataset, tmp_path):
    shard = dataset / "clips-000001.tar"
    data = bytearray(shard.read_bytes())
    place = data.index(b"IDAT") + 40
    data[place : place + 8] = b"\0" * 8
    shard.write_bytes(data)
    with pytest.raises(InputError, match="asset-2_a000_v00"):
        export_dataset(dataset, tmp_path / "o", "frames", Options(), workers=1)
    assert sorted(entry.name for entry in (tmp_path / "o").iterdir() if entry.is_dir()) == [
        "asset-0_a000_v00", "asset-1_a000_v00",
    ]  # fmt: skip


def run(*arguments, **how):
    command = [sys.executable, "-m", "puppet_master.backend", "data", "export", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **how)


def test_command_line_reports_and_refuses(dataset, tmp_path):
    done = run(dataset, "--out", tmp_path / "o", "--format", "pointodyssey", "--json")
    assert (done.returncode, json.loads(done.stdout)["written"]) == (0, 3)
    done = run(dataset, "--out", tmp_path / "o", "--format", "tapvid")
    assert done.returncode == 4
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")


def test_full_disk_leaves_no_half_clip(dataset, tmp_path):
    def few_bytes():
        resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, 6_000))

    done = run(dataset, "--out", tmp_path / "o", "--format", "tapvid", preexec_fn=few_bytes)
    assert done.returncode == 7
    assert "cannot write" in done.stderr and "make room" in done.stderr
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["export.json"]

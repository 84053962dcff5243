# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker's unit of work from asset to clips: what is in them, and what is said of what is turned away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from glb_files import Glb, box
from puppet_master.backend.clips import Clip, decode_clip
from puppet_master.backend.shards import read_tar
from puppet_master.data_gen.drags import displacement
from puppet_master.data_gen.maker import make_unit
from puppet_master.data_gen.options import RenderOrder
from puppet_master.data_gen.plan import make_plan
from puppet_master.data_gen.rigs import BUILDERS

FEW = {"size": 48, "frames": 5, "engine": "workbench"}


def make(out: Path, stage: str = "render", on_stage=lambda event: None, **given):
    """Work off an order's only unit: its ledger lines, its clips and its rejected strips by name."""
    order = RenderOrder(out=out, **{**FEW, **given}).resolved()
    (unit,) = make_plan(order)
    lines = make_unit(unit.task(order, out, stage, 1), on_stage)
    return lines, members(out, "clips"), members(out, "rejected")


def members(out: Path, stream: str) -> dict[str, dict[str, bytes]]:
    parts = sorted((out / ".work" / stream).rglob("*.tar"))
    return {name: found for part in parts for name, found in read_tar(part)}


def the_clip(clips) -> Clip:
    ((name, found),) = clips.items()
    return decode_clip(name, found)


def write_two_actions(path: Path, **asset) -> Path:
    """A file of a bar on a base: "Swing" raises the bar, "Nothing" keeps it where it is."""
    glb = Glb(**asset)
    glb.node("base", mesh=glb.mesh(*box((-1, -0.2, -1), (1, 0, 1))))
    bar = glb.node("bar", mesh=glb.mesh(*box((-0.8, 0, -0.2), (0.8, 0.3, 0.2))))
    glb.animate("Swing", (bar, "translation", (0.0, 1.0), [(0, 0, 0), (0, 1, 0)]))
    glb.animate("Nothing", (bar, "translation", (0.0, 1.0), [(0, 0, 0), (0, 0, 0)]))
    return glb.write(path)


@pytest.fixture
def two_actions(tmp_path) -> Path:
    """See `write_two_actions`."""
    return write_two_actions(tmp_path / "Bär.glb", copyright="Jo")


def test_a_clip_of_every_kind_of_rig_moves_and_is_dragged_where_it_can_be_seen(tmp_path):
    for kind in BUILDERS:
        lines, clips, _ = make(tmp_path / kind, procedural=f"{kind}:1")
        clip = the_clip(clips)
        assert [line["outcome"] for line in lines] == ["accepted", "done"]
        assert 0.02 < (clip.frames[0, ..., 3] > 0).mean() < 0.95
        assert (clip.frames[0].astype(int) != clip.frames[-1]).any(-1).mean() > 0.002
        assert 1 <= len(clip.drags) <= 5
        assert displacement(clip.drags).max() >= 0.02
        for drag, index in zip(clip.drags, clip.extra["drag_tracks"], strict=True):
            assert clip.visible[index, 0]
            np.testing.assert_allclose(drag[[0, -1]], clip.tracks[index, [0, -1]], atol=1e-6)


def test_tracks_lie_where_the_frames_are_opaque(tmp_path):
    clip = the_clip(make(tmp_path, procedural="fridge:1", seed=2)[1])
    for frame in range(5):
        opaque = np.pad(clip.frames[frame, ..., 3] > 0, 1)
        x, y = np.moveaxis((clip.tracks[clip.visible[:, frame], frame] * 48).astype(int) + 1, 1, 0)
        # A point on the outline may fall into the next pixel, which its surface hardly touches.
        beside = [opaque[y + dy, x + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        assert np.any(beside, axis=0).all()


def test_the_same_order_gives_the_same_bytes(tmp_path):
    first, second = (make(tmp_path / name, procedural="lamp:1")[1] for name in "ab")
    assert first == second


def test_the_cameras_numbers_put_the_world_points_where_the_tracks_are(tmp_path):
    clip = the_clip(make(tmp_path, procedural="box:1")[1])
    intrinsics, pose = (np.array(clip.meta["camera"][name]) for name in ("intrinsics", "pose"))
    world = clip.extra["points_3d"] * clip.meta["size"] + clip.meta["centre"]
    image = (world @ pose[:, :3].T + pose[:, 3]) @ intrinsics.T
    np.testing.assert_allclose(image[..., :2] / image[..., 2:], clip.tracks, atol=2e-4)


def test_passes_come_with_the_clip_and_fit_its_frames(tmp_path):
    clip = the_clip(make(tmp_path, procedural="laptop:1", passes=("depth", "flow", "part", "normal"))[1])
    covered = clip.frames[..., 3] > 250  # Workbench's own borders are a pixel's fraction off
    assert np.isfinite(clip.passes["depth"][covered]).mean() > 0.99
    assert (clip.passes["part"][covered] > 0).mean() > 0.99
    assert set(clip.passes) == {"depth", "flow", "part", "normal"}


def test_the_still_alone_can_be_rendered_with_all_that_moves(tmp_path):
    order = {"procedural": "cabinet:1", "passes": ("paths", "flow")}
    clip = the_clip(make(tmp_path / "still", still_only=True, **order)[1])
    whole = the_clip(make(tmp_path / "whole", **order)[1])
    assert clip.frames.shape == (1, 48, 48, 4)
    np.testing.assert_array_equal(clip.frames[0], whole.frames[0])
    np.testing.assert_array_equal(clip.tracks, whole.tracks)
    np.testing.assert_array_equal(clip.passes["paths"], whole.passes["paths"])


def test_views_are_spread_around_and_share_the_moments(tmp_path):
    _, clips, _ = make(tmp_path, procedural="robot_arm:1", views=3)
    metas = [decode_clip(name, found).meta for name, found in clips.items()]
    azimuths = [meta["viewpoint"]["azimuth"] for meta in metas]
    assert len(clips) == 3 and azimuths == sorted(azimuths)
    assert len({tuple(meta["times"]) for meta in metas}) == 1


def test_each_animation_of_a_file_is_decided_and_said(tmp_path, two_actions):
    lines, clips, rejected = make(tmp_path / "out", assets=(two_actions,))
    by_name = {line["animation"]: line for line in lines}
    assert by_name["Swing"]["outcome"] == "accepted" and len(by_name["Swing"]["clips"]) == 1
    assert by_name["Nothing"]["outcome"] == "rejected"
    assert by_name["Nothing"]["reason"] in ("static", "single pose")
    assert lines[-1]["animation"] is None and lines[-1]["outcome"] == "done"
    assert by_name["Swing"]["features"]["displacement"] > 0.1
    assert by_name["Swing"]["seconds"]["render"] > 0
    assert lines[-1]["seconds"]["total"] == lines[-1]["seconds"]["import"] > 0
    meta = the_clip(clips).meta
    assert meta["animation"] == "Swing" and meta["source"] == "Bär.glb"
    assert all(decode["frames.png"][:4] == b"\x89PNG" for decode in rejected.values())


def test_one_animation_can_be_asked_for(tmp_path, two_actions):
    lines, _, _ = make(tmp_path / "out", assets=(two_actions,), animation="Swing")
    assert [line["animation"] for line in lines] == ["Swing", None]
    lines, _, _ = make(tmp_path / "none", assets=(two_actions,), animation="Jump")
    assert lines[-1]["outcome"] == "rejected" and "Jump" in lines[-1]["detail"]


def test_a_licence_that_only_the_file_states_counts_too(tmp_path):
    model = write_two_actions(tmp_path / "model.glb", extras={"license": "CC-BY-NC-4.0"})
    lines, clips, _ = make(tmp_path / "out", assets=(model,))
    assert [(line["outcome"], line["reason"]) for line in lines] == [("licence", "licence")] and not clips
    assert "by-nc" in lines[0]["detail"]
    assert make(tmp_path / "all", assets=(model,), licences=("all",))[1]


def test_filtering_measures_and_renders_nothing(tmp_path, two_actions):
    stages = []
    lines, clips, rejected = make(tmp_path / "out", stage="filter", on_stage=stages.append, assets=(two_actions,))
    assert {line["outcome"] for line in lines} == {"accepted", "rejected", "done"}
    assert not clips and not rejected
    assert {event["stage"] for event in stages} == {"import", "features"}


def test_a_damaged_file_gives_one_line_that_says_so(tmp_path):
    (tmp_path / "broken.glb").write_bytes(b"glTF\x02\x00\x00\x00")
    lines, clips, _ = make(tmp_path / "out", assets=(tmp_path / "broken.glb",))
    assert [(line["outcome"], line["reason"]) for line in lines] == [("damaged", "truncated")] and not clips

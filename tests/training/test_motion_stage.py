# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage that trains motion fields: what its samples say, what its loss counts, from shards to a model."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from puppet_master.backend.clips import Clip, encode_clip
from puppet_master.backend.errors import InputError
from puppet_master.backend.loader import load_pipeline
from puppet_master.backend.model.motion_field import Motion, MotionField
from puppet_master.backend.motion_pipeline import MotionPipeline
from puppet_master.backend.shards import write_tar
from puppet_master.training.commands import main
from puppet_master.training.dataset import View
from puppet_master.training.motion_stage import make_field, motion_loss
from puppet_master.training.paths import PathSamples, window_paths
from puppet_master.training.settings import MotionSettings

SIZE, FRAMES, STEP = 32, 5, 2.0  # pixels a frame


def sliding_block(still_only: bool = True, paths: bool = True) -> Clip:
    """A red block of 8 pixels that slides to the right over a grey board, which fills the frame's middle half."""
    frames = np.zeros((FRAMES, SIZE, SIZE, 4), np.uint8)
    frames[:, 8:24, 4:28] = (120, 120, 120, 255)
    found = np.full((FRAMES - 1, SIZE, SIZE, 3), np.nan, np.float16)
    found[:, 8:24, 4:28] = (0, 0, 2)
    for index in range(FRAMES):
        start = 6 + round(STEP * index)
        frames[index, 12:20, start : start + 8] = (200, 30, 30, 255)
        if index:
            found[index - 1, 12:20, 6:14] = (STEP * index, 0, 1)
    places = np.array([(8.5, 14.5), (11.5, 17.5), (20.5, 10.5)], np.float32) / SIZE
    tracks = np.repeat(places[:, None], FRAMES, axis=1)
    tracks[:2, :, 0] += STEP / SIZE * np.arange(FRAMES, dtype=np.float32)
    return Clip(
        frames[:1] if still_only else frames, tracks[:1], tracks, np.ones((3, FRAMES), bool),
        np.array([1, 1, 0], np.int16), {"still_only": still_only}, {}, {"paths": found} if paths else {},
    )  # fmt: skip


def settings(**more) -> MotionSettings:
    return MotionSettings(**{"size": SIZE, "slots": 3, "channels": [8, 16], "frames": 0, **more})


def test_a_sample_says_where_every_pixel_goes():
    sample = PathSamples(settings(drop_drags=0.0)).sample(sliding_block(), View(), np.random.default_rng(0))
    assert sample["still"].shape == (3, SIZE, SIZE) and sample["still"][0, 14, 8] == pytest.approx(200 / 127.5 - 1)
    last = sample["displacement"][-1]
    np.testing.assert_allclose(last[0, 12:20, 6:14], STEP * (FRAMES - 1) / SIZE)
    assert (last[0, 8:12] == 0).all() and (last[1] == 0).all()
    assert sample["object"][8:24, 4:28].all() and sample["object"].sum() == 16 * 24
    nearer = sample["depth"][0, 14, 8] - sample["depth"][0, 9, 5]
    assert nearer == pytest.approx(-1)
    drag = sample["drags"][sample["mask"]][0]
    assert drag[-1, 0] - drag[0, 0] == pytest.approx(STEP * (FRAMES - 1) / SIZE)


def test_a_sample_of_few_frames_says_of_them_what_one_of_all_says():
    clip, rng = sliding_block(), np.random.default_rng(3)
    whole = PathSamples(settings(drop_drags=0.0)).sample(clip, View(), np.random.default_rng(0))
    seen = set()
    for _ in range(20):
        few = PathSamples(settings(drop_drags=0.0, frames=2)).sample(clip, View(), rng)
        first, last = few["frames"]
        assert last == FRAMES - 1 and 0 < first < last
        np.testing.assert_array_equal(few["displacement"], whole["displacement"][few["frames"] - 1])
        np.testing.assert_array_equal(few["depth"], whole["depth"][few["frames"] - 1])
        np.testing.assert_array_equal(few["moves"], whole["moves"])
        seen.add(int(first))
    assert seen == {1, 2, 3}
    assert whole["frames"].tolist() == [1, 2, 3, 4] and whole["moves"].sum() == 8 * 8


def test_views_move_paths_and_drags_alike():
    view = View(flip=True, zoom=0.5, centre=(0.4, 0.5))
    sample = PathSamples(settings(drop_drags=0.0)).sample(sliding_block(), view, np.random.default_rng(0))
    drag = sample["drags"][sample["mask"]][0]
    column, row = (drag[0] * SIZE).astype(int)
    moved = sample["displacement"][:, :, row, column]
    np.testing.assert_allclose(moved, drag[1:] - drag[0], atol=1e-6)
    assert moved[-1, 0] == pytest.approx(-2 * STEP * (FRAMES - 1) / SIZE)


def test_without_drags_nothing_is_said_to_move():
    sample = PathSamples(settings(drop_drags=1.0)).sample(sliding_block(), View(), np.random.default_rng(0))
    assert not sample["mask"].any() and (sample["displacement"] == 0).all()


def test_outside_of_the_clips_frame_nothing_is_known():
    moved, depth = window_paths(sliding_block().passes["paths"], View(zoom=2.0), 16)
    assert np.isnan(depth[:, :4]).all() and np.isnan(moved[..., :4]).all()
    assert np.isfinite(depth[:, 7, 7]).all()


def test_the_whole_clip_may_have_been_rendered():
    one, other = (
        PathSamples(settings(drop_drags=0.0)).sample(sliding_block(still_only), View(), np.random.default_rng(0))
        for still_only in (True, False)
    )
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])


def test_the_loss_is_made_of_distances_where_they_belong():
    sample = PathSamples(settings(drop_drags=0.0)).sample(sliding_block(), View(), np.random.default_rng(0))
    batch = {name: torch.from_numpy(np.asarray(values))[None] for name, values in sample.items()}
    truth, moves = batch["displacement"], batch["displacement"].norm(dim=2).amax(1) > 0.01
    exact, figures = motion_loss(Motion(truth, batch["depth"], moves.float()), batch, settings())
    assert exact < 0.05 and figures["moving"] < 0.002
    _, figures = motion_loss(Motion(0 * truth, batch["depth"], moves.float()), batch, settings())
    assert figures["moving"] == pytest.approx(float(figures["reach"]), rel=0.02) and figures["resting"] < 0.002
    _, figures = motion_loss(Motion(truth, batch["depth"] + 0.5, 1 - moves.float()), batch, settings())
    assert figures["depth"] == pytest.approx(0.5) and figures["parts"] > 5


def test_only_what_bends_a_moving_surface_counts_as_bending():
    sample = PathSamples(settings(drop_drags=0.0)).sample(sliding_block(), View(), np.random.default_rng(0))
    batch = {name: torch.from_numpy(np.asarray(values))[None] for name, values in sample.items()}
    truth = batch["displacement"]
    shifted, rippled, around = truth + 0.1, truth.clone(), truth.clone()
    rippled[..., ::2] += 0.01  # every other column a hundredth further: that much between all neighbours in a row
    around[:, :, :, ~batch["object"][0]] += 0.5
    bending = [
        float(motion_loss(Motion(moved, batch["depth"], batch["object"].float()), batch, settings())[1]["bending"])
        for moved in (truth, shifted, rippled, around)
    ]
    assert bending[0] == 0 and bending[1] == pytest.approx(0, abs=1e-6) and bending[3] == 0
    assert 0.008 < bending[2] < 0.012  # two axes a pixel, of which the columns alone change: half the pairs


def write_clips(folder, count=6, **more):
    folder.mkdir(exist_ok=True)
    clip = sliding_block(**more)
    write_tar(folder / "clips-000000.tar", [(f"c{index}", encode_clip(clip)) for index in range(count)])
    return folder


def write_config(tmp_path, clips, **more):
    values = {"clips": 32, "batch": 4, "lr": 3e-3, "warmup": 0, "log_every": 8, "save_every": 16, "samples_every": 16}
    values |= {"size": SIZE, "slots": 3, "snapshot_every": 16, "drop_drags": 0.0, **more}
    rows = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    text = f'''stages = ["motion", "publish"]
out = {json.dumps(str(tmp_path / "out"))}
device = "cpu"
[data]
clips = [{json.dumps(str(clips))}]
lanes = 1
buffer = 1
[motion]
channels = [8, 16]
''' + "\n".join(rows) + f'''
[publish]
name = "slide"
source = "motion"
width = {SIZE}
height = {SIZE}
'''
    (tmp_path / "motion.toml").write_text(text)
    return tmp_path / "motion.toml"


def train(config) -> int:
    """The command's exit code."""
    try:
        return main([str(config)])
    except SystemExit as ended:
        return ended.code


def test_from_shards_to_a_model_that_the_backend_loads(tmp_path):
    config = write_config(tmp_path, write_clips(tmp_path / "clips"))
    assert train(config) == 0
    pipeline = load_pipeline(tmp_path / "out" / "model")
    assert isinstance(pipeline, MotionPipeline)
    assert (pipeline.info.frames, pipeline.info.num_drags, pipeline.name) == (FRAMES, 3, "slide")
    config_file = json.loads((tmp_path / "out" / "model" / "motion" / "config.json").read_text())
    assert "_name_or_path" not in config_file
    stats = [json.loads(row) for row in (tmp_path / "out" / "motion" / "stats.jsonl").read_text().splitlines()]
    assert any("moving" in row for row in stats)
    assert list((tmp_path / "out" / "motion" / "samples").glob("*.png"))


def test_clips_without_paths_are_named_with_the_way_to_make_them(tmp_path):
    clips = write_clips(tmp_path / "clips", paths=False, still_only=False)
    samples = PathSamples(settings())
    with pytest.raises(InputError, match="has no paths; render with"):
        samples("c0", encode_clip(sliding_block(paths=False)), np.random.default_rng(0))
    assert train(write_config(tmp_path, clips)) == 4


def test_training_may_begin_at_a_models_weights(tmp_path):
    clips = write_clips(tmp_path / "clips")
    assert train(write_config(tmp_path, clips)) == 0
    first = tmp_path / "first"
    (tmp_path / "out" / "model").rename(first)
    begun = MotionSettings(size=SIZE, slots=5, channels=[8, 8], init=first)
    field, before = make_field(begun), load_pipeline(first).field
    assert tuple(field.config.channels) == (8, 16)  # the folder's, not the settings'
    for name, weights in field.named_parameters():
        assert weights.requires_grad and torch.equal(weights, before.get_parameter(name))


def test_a_start_that_does_not_fit_is_named(tmp_path, capsys):
    clips = write_clips(tmp_path / "clips")
    assert train(write_config(tmp_path, clips, init=str(tmp_path))) == 5
    assert f"{tmp_path}/motion cannot be loaded" in capsys.readouterr().err
    MotionField(size=16, channels=(8, 16)).save_pretrained(tmp_path / "motion")
    assert train(write_config(tmp_path, clips, init=str(tmp_path))) == 5
    assert "looks at 16 pixels a side; set motion.size to that" in capsys.readouterr().err


def test_in_bfloat16_displacements_are_finer_than_its_steps():
    torch.manual_seed(0)
    field = MotionField(size=SIZE, channels=(8, 16))
    drags = torch.tensor([[[(0.2, 0.3), (0.2 + 0.3011, 0.3)]]])
    still, mask = torch.zeros(1, 3, SIZE, SIZE), torch.ones(1, 1, dtype=torch.bool)
    with torch.autocast("cpu", torch.bfloat16):
        found = field(still, drags, mask)
    exact = field(still, drags, mask)
    assert found.displacement.dtype == found.depth.dtype == torch.float32
    assert len(found.displacement.unique()) > 500  # bfloat16 has 128 numbers in an octave
    torch.testing.assert_close(found.displacement, exact.displacement, atol=5e-3, rtol=0)

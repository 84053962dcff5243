# SPDX-License-Identifier: GPL-3.0-or-later
"""Previews by a motion field: real folders, real pictures, weights of which the outcome is known."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from puppet_master.backend.errors import Cancelled, InputError, ModelError
from puppet_master.backend.loader import ModelShelf, load_pipeline
from puppet_master.backend.model.motion_field import Motion, MotionField
from puppet_master.backend.motion_pipeline import MotionPipeline
from puppet_master.backend.protocol import Drag, DragPoint, PreviewRequest, PreviewResult

CARD = {
    "name": "motion", "kind": "motion", "num_drags": 3, "width": 32, "height": 32, "frames": 5, "steps": 1,
    "guidance": [1.0, 1.0], "licence": "GPL-3.0-or-later",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "motion"
    MotionField(size=16, channels=(8, 16)).save_pretrained(path / "motion")
    (path / "puppet_master.json").write_text(json.dumps(CARD))
    return path


def request(*ends, size=(32, 32), **more) -> PreviewRequest:
    """A red block on white, dragged."""
    pixels = np.full((size[1], size[0], 3), 255, np.uint8)
    pixels[size[1] // 4 : size[1] // 2, size[0] // 4 : size[0] // 2] = (200, 30, 30)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    drags = tuple(Drag("d", (DragPoint(0.0, *a), DragPoint(1.0, *b))) for a, b in ends)
    return PreviewRequest(still_png=stream.getvalue(), drags=drags, model="motion", **more)


class Carrying(torch.nn.Module):
    """Everything goes with the first drag."""

    config = type("Config", (), {"size": 16})

    def forward(self, still, drags, mask):
        moved = (drags[:, 0, 1:] - drags[:, 0, :1])[..., None, None].expand(-1, -1, -1, *still.shape[-2:])
        return Motion(moved, torch.zeros_like(moved[:, :, 0]), torch.ones_like(still[:, 0]))


def test_the_block_goes_where_it_is_dragged_and_white_is_left_behind(folder):
    pipeline = load_pipeline(folder)
    pipeline.field = Carrying()
    frames, result = pipeline.generate(request(((0.3, 0.3), (0.55, 0.3))))
    assert frames.shape == (5, 32, 32, 3) and result.steps == 1 and result.model == "motion"
    for index in range(5):
        red = np.flatnonzero(frames[index, 12, :, 1] < 100)
        assert (red.min(), red.max()) == (8 + 2 * index, 15 + 2 * index)
    assert (frames[4, 12, 8:12] > 250).all()


def test_the_result_tells_where_each_dragged_point_went(folder):
    pipeline = load_pipeline(folder)
    pipeline.field = Carrying()
    carried, plain = ((0.3, 0.3), (0.55, 0.3)), ((0.9, 0.9), (0.1, 0.9))
    _, result = pipeline.generate(request(carried, plain))
    np.testing.assert_allclose(result.reached[0], np.linspace(*carried, 5), atol=1e-5)
    np.testing.assert_allclose(result.reached[1], [plain[0]] * 5, atol=1e-5)  # white is background, and stays
    assert PreviewResult.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_where_points_went_is_told_in_places_of_a_still_of_another_shape(folder):
    pipeline = load_pipeline(folder)
    pipeline.field = Carrying()
    _, result = pipeline.generate(request(((0.3, 0.3), (0.4, 0.45)), size=(60, 40), frames=3))
    np.testing.assert_allclose(result.reached[0], [(0.3, 0.3), (0.35, 0.375), (0.4, 0.45)], atol=1e-4)


def test_without_drags_the_still_stays_whatever_the_weights(folder):
    frames, result = load_pipeline(folder).generate(request())
    assert (frames == frames[0]).all()
    assert result.notes


def test_a_still_of_another_size_comes_back_at_its_own(folder):
    frames, result = load_pipeline(folder).generate(request(((0.3, 0.3), (0.4, 0.3)), size=(60, 40), frames=3))
    assert frames.shape == (3, 40, 60, 3) and result.size == (60, 40)


def test_more_drags_than_slots_are_refused(folder):
    ends = [((0.1 * index, 0.1), (0.5, 0.5)) for index in range(4)]
    with pytest.raises(InputError, match="4 drags, but model motion has 3 slots"):
        load_pipeline(folder).generate(request(*ends))


def test_it_can_be_cancelled_and_tells_its_step(folder):
    pipeline, steps = load_pipeline(folder), []
    with pytest.raises(Cancelled):
        pipeline.generate(request(), should_stop=lambda: True)
    frames, _ = pipeline.generate(request(((0.3, 0.3), (0.5, 0.3))), steps.append)
    assert [(step.index, step.total) for step in steps] == [(0, 1)]
    np.testing.assert_array_equal(steps[0].estimate()[1:], frames[1:])


def test_the_shelf_loads_models_by_their_kind(folder):
    shelf = ModelShelf("cpu")
    shelf.prepare()
    assert isinstance(shelf.get(str(folder)), MotionPipeline)


def test_an_incomplete_folder_and_an_unknown_kind_are_named(folder, tmp_path):
    (tmp_path / "puppet_master.json").write_text(json.dumps(CARD))
    with pytest.raises(ModelError, match=r"motion/config\.json is missing"):
        load_pipeline(tmp_path)
    (tmp_path / "puppet_master.json").write_text(json.dumps(CARD | {"kind": "magic"}))
    with pytest.raises(ModelError, match="kind is 'magic'"):
        load_pipeline(tmp_path)


def test_the_same_request_gives_the_same_frames_whatever_the_seed(folder):
    pipeline = load_pipeline(folder)
    asked = request(((0.3, 0.3), (0.5, 0.3)))
    first, second = (pipeline.generate(replace(asked, seed=seed))[0] for seed in (1, 2))
    np.testing.assert_array_equal(first, second)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Where dragged points went: read from a result folder, measured against the drags, drawn."""

import json
from dataclasses import replace

import numpy as np
import pytest
from puppet_master.addon import history, outcome, outcome_overlay
from puppet_master.addon.framing import Framing
from puppet_master.backend.protocol import Drag, DragPoint, PreviewResult

DRAG = Drag("door", (DragPoint(0.0, 0.25, 0.5), DragPoint(1.0, 0.75, 0.5)))
MADE = PreviewResult(
    model="tiny", model_hash="0", drags=(DRAG,), frames=3, steps=1, guidance=(1.0, 1.0), seed=0, fit="letterbox",
    background=(1.0, 1.0, 1.0), size=(200, 100), model_size=(64, 64), still_sha256="0", device="cpu float32", threads=1,
    reached=(((0.25, 0.5), (0.5, 0.5), (0.65, 0.5)),),
)  # fmt: skip


@pytest.fixture
def kept(scene, tmp_path):
    """Stores a result as the scene's newest preview."""

    def keep(made, name="shot-1"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "preview.json").write_text(json.dumps(made.to_json()))
        history.add(scene, folder, 1)
        return scene

    outcome.forget()
    return keep


def test_the_error_is_measured_in_parts_of_the_longer_side(kept):
    (found,) = outcome.of_scene(kept(MADE))
    assert found.name == "door"
    np.testing.assert_allclose(found.off, [0.0, 0.0, 0.1], atol=1e-6)
    up = replace(MADE, reached=(((0.25, 0.5), (0.5, 0.5), (0.75, 0.7)),))
    (found,) = outcome.of_result(up)  # a fifth of the height is a tenth of the width
    assert found.at_end == pytest.approx(0.1)


def test_models_that_do_not_tell_and_results_that_are_gone_give_no_outcome(kept, scene):
    assert outcome.of_scene(scene) == ()
    assert outcome.of_scene(kept(replace(MADE, reached=()))) == ()
    kept(MADE, "shot-2")
    (folder,) = {history.folder_of(history.active(scene))}
    (folder / "preview.json").write_text("{")
    assert outcome.of_scene(scene) == ()


def test_results_of_earlier_versions_are_read_still(kept, scene):
    old = MADE.to_json()
    del old["reached"]
    assert PreviewResult.from_json(old).reached == ()


def test_what_arrives_is_drawn_green_and_what_does_not_red():
    found = outcome.of_result(MADE)
    positions, colours = outcome_overlay.shapes(found, Framing(0, 0, 200, 100), 1.0, 0).arrays()
    solid = colours[:, 3] == 1.0

    def at(x, y):
        near = solid & (np.hypot(*(positions[:, :2] - (x, y)).T) < 2.5)
        return colours[near][:, :3]

    (green, red) = outcome_overlay.RAMP[[0, 2]]
    assert any(np.allclose(colour, green, atol=1e-5) for colour in at(100, 50))
    assert any(np.allclose(colour, red, atol=1e-5) for colour in at(130, 50))
    assert not any(np.allclose(colour, red, atol=1e-5) for colour in at(75, 50))


def test_the_errors_of_ends_close_together_stand_apart_with_lines_to_those_that_gave_way():
    pulled = [Drag(f"door {n}", (DragPoint(0.0, 0.25, 0.5), DragPoint(1.0, 0.75, 0.5 + n / 500))) for n in range(6)]
    reached = tuple(((0.25, 0.5), (0.5, 0.5), (0.65, 0.5 + n / 500)) for n in range(6))
    found = outcome.of_result(replace(MADE, drags=tuple(pulled), reached=reached))
    frame, region = Framing(0, 0, 200, 100), (200, 100)
    placed = outcome_overlay.place_labels(found, frame, 1.0, region)
    assert [label.text for label in placed] == [f"{one.at_end:.1%}" for one in found]
    assert len({label.corner for label in placed}) == 6
    plain = outcome_overlay.shapes(found, frame, 1.0, 0).arrays()[0]
    led = outcome_overlay.shapes(found, frame, 1.0, 0, placed).arrays()[0]
    assert len(led) > len(plain)
    # What is outside the view has no label.
    assert outcome_overlay.place_labels(found, Framing(-500, 0, 200, 100), 1.0, region) == ()

# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded model on rigs it has not seen: drags are followed both ways, pins hold, nothing moves unasked."""

from __future__ import annotations

import numpy as np
import pytest
from puppet_master.backend.loader import load_pipeline
from puppet_master.backend.registry import find_model
from puppet_master.training.behaviour import Behaviour, behaviour_on_clip
from puppet_master.training.clips import read_clips

pytest.importorskip("bpy", reason="Blender's module (bpy) is not installed")

KINDS = 13
UNSEEN = 901  # the embedded model's clips have the seeds 11, 21 and 22


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> list[Behaviour]:
    """One rig of each kind, dragged to and fro."""
    from puppet_master.data_gen.command_line import carry_out
    from puppet_master.data_gen.options import RenderOrder

    out = tmp_path_factory.mktemp("clips")
    carry_out(RenderOrder(out=out, procedural=f"all:{KINDS}", size=128, frames=14, filter="none", seed=UNSEEN))
    pipeline = load_pipeline(find_model("tiny"))
    return [behaviour_on_clip(pipeline, clip) for clip in read_clips(out)]


def mean(found: list[Behaviour], name: str) -> float:
    values = [getattr(one, name) for one in found if getattr(one, name) is not None]
    assert len(values) > KINDS / 2
    return float(np.mean(values))


def test_drags_in_opposite_directions_give_opposite_motions(found):
    assert mean(found, "followed") > 0.7
    assert mean(found, "opposite") > 0.9
    # Less than opposite: from the middle of an arc, to and fro are not quite opposite ways even where both are right.
    assert mean(found, "opposite_cosine") < -0.5


def test_pins_hold_while_others_are_dragged(found):
    assert mean(found, "pin_drift") < 2.0  # pixels at 256


def test_with_no_drags_the_clip_is_the_still(found):
    assert mean(found, "unasked_motion") < 0.1
    assert mean(found, "unasked_change") < 2.0  # levels of 255; what changing to the model's size and back takes

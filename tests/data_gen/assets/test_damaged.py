# SPDX-License-Identifier: GPL-3.0-or-later
"""Every damaged or odd file ends with its reason, or plays, and the next file is none the worse for it."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from damaged_files import Expected, opening, write_damaged
from glb_files import Glb, sheet
from puppet_master.data_gen.assets import open_asset
from puppet_master.data_gen.reasons import Rejection
from puppet_master.data_gen.recording import record


def outcome_of(path, **limits):
    """What becomes of a file, as `Expected`."""
    try:
        source = open_asset(path, **limits)
    except Rejection as rejection:
        return Expected(rejection.outcome, rejection.reason)
    found = []
    for index in range(len(source.animations())):
        try:
            playback = source.play(index)
            recording = record(playback, np.linspace(playback.first, playback.last, 5).tolist())
            assert np.isfinite(recording.positions).all()
        except Rejection as rejection:
            found.append(rejection.reason)
        else:
            found.append("")
    return Expected("done", "", tuple(found))


def test_each_file_ends_as_expected_and_leaves_nothing_behind(tmp_path):
    expected = write_damaged(tmp_path / "files", heavy_cells=200)
    assert len(expected) > 80
    whole = Glb()
    opening(whole)
    check = whole.write(tmp_path / "check.glb")
    wrong = {}
    for name, due in expected.items():
        found = outcome_of(tmp_path / "files" / name)
        if found != due:
            wrong[name] = (found, due)
        assert outcome_of(check) == Expected("done", "", ("",)), f"after {name}"
        assert sorted(item.name for item in bpy.data.objects) == ["body", "lid", "root"], f"after {name}"
    assert not wrong


def test_a_mesh_up_to_the_limit_is_played(tmp_path):
    glb = Glb()
    item = glb.node("sheet", mesh=glb.mesh(*sheet(300)))
    glb.animate("turn", (item, "rotation", (0.0, 1.0), ((0, 0, 0, 1), (1, 0, 0, 0))))
    path = glb.write(tmp_path / "sheet.glb")
    assert outcome_of(path, most_triangles=180_000) == Expected("done", "", ("",))
    assert outcome_of(path, most_triangles=179_999) == Expected("rejected", "too heavy")


@pytest.mark.parametrize("name, scale", [("tiny", 1e-6), ("huge", 1e6)])
def test_extreme_sizes_are_stated_in_the_metadata(tmp_path, name, scale):
    glb = Glb()
    opening(glb, scale=[scale] * 3)
    playback = open_asset(glb.write(tmp_path / f"{name}.glb")).play(0)
    assert playback.meta["anchor"]["scale"] == pytest.approx(1 / playback.meta["size"])
    low, high = record(playback, [0, 12, 24]).bounds()
    assert (high.max(0) - low.min(0)).max() == pytest.approx(1, rel=1e-4)

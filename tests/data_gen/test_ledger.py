# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger survives kills and full disks, and holds nothing that JSON cannot."""

from __future__ import annotations

import json

import numpy as np
import pytest
from puppet_master.backend.errors import OutputError
from puppet_master.backend.workers.ledger_file import Ledger
from puppet_master.data_gen.ledger import animation_line, asset_line, by_asset, read_ledger, turned_away
from puppet_master.data_gen.reasons import Rejection


def lines_of(key: str, animations: int = 2):
    known = [{"animation": f"move {i}", "index": i, "clips": [f"{key}_a00{i}_v00"]} for i in range(animations)]
    made = [animation_line(key, "f.glb", outcome="accepted", **line) for line in known]
    return [*made, asset_line(key, "f.glb", "done", licence="by")]


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger.jsonl")


def test_what_was_appended_is_read(ledger):
    ledger.append(lines_of("a"))
    ledger.append(lines_of("b", 0))
    assert [line["asset"] for line in read_ledger(ledger.path)] == ["a", "a", "a", "b"]
    assert list(by_asset(read_ledger(ledger.path))) == ["a", "b"]
    assert read_ledger(ledger.path.with_name("none")) == []


@pytest.mark.parametrize("cut", range(1, 400, 37))
def test_a_torn_end_costs_the_asset_it_belongs_to_alone(ledger, cut):
    ledger.append(lines_of("a"))
    whole = ledger.path.stat().st_size
    ledger.append(lines_of("b"))
    with ledger.path.open("r+b") as stream:
        stream.truncate(whole + cut)
    assert list(by_asset(read_ledger(ledger.path))) == ["a"]
    ledger.append(lines_of("c"))
    assert list(by_asset(read_ledger(ledger.path))) == ["a", "c"]
    assert by_asset(read_ledger(ledger.path))["c"] == lines_of("c")


def test_the_last_try_at_an_asset_counts(ledger):
    ledger.append([asset_line("a", "f.glb", "failed", reason="crashed")])
    ledger.append(lines_of("a"))
    assert by_asset(read_ledger(ledger.path))["a"] == lines_of("a")


def test_numbers_of_numpy_and_infinities_are_written_as_json(ledger):
    features = {"speed": np.float32(0.5), "count": np.int64(3), "ratio": float("nan"), "peak": np.inf}
    ledger.append([animation_line("a", "f", "m", 0, "accepted", features=features)])
    (line,) = [json.loads(row, parse_constant=pytest.fail) for row in ledger.path.read_text().splitlines()]
    assert line["features"] == {"speed": 0.5, "count": 3, "ratio": None, "peak": None}


def test_file_names_of_any_bytes_are_written(ledger):
    ledger.append([asset_line("a", "bad\udcff name 猫.glb", "done")])
    assert read_ledger(ledger.path)[0]["source"] == "bad? name 猫.glb"


def test_a_rejection_gives_reason_and_detail():
    line = animation_line("a", "f", "m", 1, "rejected", **turned_away(Rejection("static", "moves 0.1 %")))
    assert (line["reason"], line["detail"], line["index"]) == ("static", "moves 0.1 %", 1)


def test_outcomes_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="fine"):
        asset_line("a", "f", "fine")
    with pytest.raises(ValueError, match="done"):
        animation_line("a", "f", "m", 0, "done")


def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    for write in (Ledger(tmp_path / "file" / "l").append, Ledger(tmp_path / "file" / "l").rewrite):
        with pytest.raises(OutputError, match="make room or choose another --out"):
            write(lines_of("a"))

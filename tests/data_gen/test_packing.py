# SPDX-License-Identifier: GPL-3.0-or-later
"""Shards depend on the plan alone: not on who is done when, nor on kills, extensions and second tries."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import webdataset
from puppet_master.backend.errors import InputError
from puppet_master.backend.shards import CLIPS, REJECTED, index_tar
from puppet_master.data_gen.ledger import animation_line, asset_line
from puppet_master.data_gen.packing import MEGABYTE, PartWriter, Shards, commit, read_unit, refuse_to_drop
from toys import tars

KEYS = [f"box-{number}" for number in range(9)]
LIMIT = 0.02


def make(out: Path, key: str, clips: int | None = None) -> dict:
    """A unit with 0 to 3 clips of various sizes and sometimes a rejected strip; its own line."""
    rng = np.random.default_rng(int(key.rpartition("-")[2]))
    part = PartWriter(out, key)
    for view in range(int(rng.integers(4)) if clips is None else clips):
        frames = rng.bytes(int(rng.integers(100, 9000)))
        part.add_clip(f"{key}_a000_v{view:02}", {"frames.png": frames, "meta.json": b"{}"})
    if rng.integers(2):
        part.add_rejected(f"{key}_a001", {"meta.json": b"{}"})
    commit(out, key, [animation_line(key, "s", "m", 0, "accepted"), asset_line(key, "s", "done")], {"blender": "5.0.1"})
    return read_unit(out, key)[-1]


def pack(out: Path, keys: list[str], order: list[str], before: dict | None = None) -> dict[str, dict]:
    """A whole run in which the units are done in `order`; gives their own lines."""
    shards = Shards(out, LIMIT, keys)
    own = dict(before or {})
    shards.settle(own)
    for key in order:
        own[key] = make(out, key)
        shards.add(own[key])
    shards.finish()
    return own


@pytest.fixture
def expected(tmp_path):
    pack(tmp_path / "expected", KEYS, KEYS)
    return tars(tmp_path / "expected")


def test_shards_hold_the_clips_in_the_plans_order_and_stay_under_the_limit(tmp_path, expected):
    assert len([name for name in expected if name.startswith(CLIPS)]) > 2
    out = tmp_path / "expected"
    names = [name for path in sorted(out.glob("clips-*.tar")) for name in index_tar(path)]
    assert names == sorted(names) and len(names) > 8
    for path in out.glob("*.tar"):
        assert path.stat().st_size <= LIMIT * MEGABYTE + 20480  # the end of a tar is padded
    urls = [str(path) for path in sorted(out.glob("clips-*.tar"))]
    dataset = webdataset.WebDataset(urls, shardshuffle=False)
    assert [sample["__key__"] for sample in dataset] == names


@pytest.mark.parametrize("seed", range(4))
def test_the_order_in_which_units_are_done_does_not_matter(tmp_path, expected, seed):
    shuffled = random.Random(seed).sample(KEYS, len(KEYS))
    pack(tmp_path / "out", KEYS, shuffled)
    assert tars(tmp_path / "out") == expected


@pytest.mark.parametrize("count", range(1, len(KEYS)))
def test_a_longer_order_extends_a_finished_dataset_to_the_same_bytes(tmp_path, expected, count):
    own = pack(tmp_path / "out", KEYS[:count], KEYS[:count])
    kept = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in tars(tmp_path / "out")}
    pack(tmp_path / "out", KEYS, KEYS[count:], own)
    assert tars(tmp_path / "out") == expected
    full = [name for name in kept if name.startswith(CLIPS)][:-2]
    assert all((tmp_path / "out" / name).stat().st_mtime_ns == kept[name] for name in full)  # not written again


@pytest.mark.parametrize("lost", [0, 4, 8])
def test_a_unit_done_later_in_the_middle_is_put_in_its_place(tmp_path, expected, lost):
    own = pack(tmp_path / "out", [key for key in KEYS if key != KEYS[lost]], [k for k in KEYS if k != KEYS[lost]])
    pack(tmp_path / "out", KEYS, [KEYS[lost]], own)
    assert tars(tmp_path / "out") == expected


def test_killed_while_shards_are_taken_apart_nothing_is_lost(tmp_path, expected, monkeypatch):
    out = tmp_path / "out"
    own = pack(out, KEYS[1:], KEYS[1:])
    real, unlinked = Path.unlink, []

    def unlink(path, **more):
        if path.name.startswith("clips-"):
            unlinked.append(path)
            if len(unlinked) == 2:
                raise KeyboardInterrupt
        real(path, **more)

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(KeyboardInterrupt):
        Shards(out, LIMIT, KEYS).settle(own)
    monkeypatch.undo()
    shards = Shards(out, LIMIT, KEYS)
    assert all(shards.holds_all(line) for line in own.values())
    pack(out, KEYS, KEYS[:1], own)
    assert tars(out) == expected


def test_an_unfinished_try_leaves_no_clip(tmp_path):
    part = PartWriter(tmp_path, "box-0")
    for view in range(3):
        part.add_clip(f"box-0_a000_v{view:02}", {"meta.json": b"{}"})
    assert read_unit(tmp_path, "box-0") is None
    assert make(tmp_path, "box-0", clips=1)[CLIPS] == ["box-0_a000_v00"]


def test_clips_are_in_the_order_of_animation_and_view(tmp_path):
    part = PartWriter(tmp_path, "box-0")
    names = ["box-0_a1000_v00", "box-0_a002_v10", "box-0_a002_v09", "box-0_a010"]
    for name in names:
        part.add_rejected(name, {"meta.json": b"{}"})
    commit(tmp_path, "box-0", [asset_line("box-0", "s", "done")], {})
    assert read_unit(tmp_path, "box-0")[-1][REJECTED] == [names[2], names[1], names[3], names[0]]


def test_a_clip_must_be_of_its_unit_and_new(tmp_path):
    part = PartWriter(tmp_path, "box-0")
    part.add_clip("box-0_a000_v00", {"meta.json": b"{}"})
    for name in ("box-0_a000_v00", "box-1_a000_v00", "box-0"):
        with pytest.raises(ValueError, match="no new clip of box-0"):
            part.add_clip(name, {"meta.json": b"{}"})


def test_a_units_own_line_comes_last(tmp_path):
    own, other = asset_line("a", "s", "done"), animation_line("a", "s", "m", 0, "accepted")
    for lines in ([], [own, other], [own, own], [other]):
        with pytest.raises(ValueError, match="own line must be the last"):
            commit(tmp_path, "a", lines, {})


def test_a_damaged_shard_is_named(tmp_path):
    own = pack(tmp_path, KEYS, KEYS)
    (tmp_path / "clips-000001.tar").write_bytes(b"x" * 700)
    with pytest.raises(InputError, match=r"clips-000001\.tar cannot be read"):
        Shards(tmp_path, LIMIT, KEYS).settle(own)


def test_an_order_that_would_drop_clips_is_refused(tmp_path):
    own = {"a": {"source": "a.glb", CLIPS: ["a_a000_v00"]}, "b": {"source": "b.glb", CLIPS: []}}
    refuse_to_drop(own, ["a"], tmp_path)
    with pytest.raises(InputError, match=r"holds clips of a \(a\.glb\)"):
        refuse_to_drop(own, ["b"], tmp_path)

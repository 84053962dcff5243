# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan follows from the order and the files' contents alone; what cannot be worked on is settled in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from puppet_master.backend.errors import InputError
from puppet_master.data_gen.kinds import drawn_rigs, parse_order
from puppet_master.data_gen.licences import card_licence, is_allowed, short_name
from puppet_master.data_gen.options import RenderOrder
from puppet_master.data_gen.plan import make_plan, slug


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def plan_of(*assets: Path, **more):
    return make_plan(RenderOrder(assets=assets, **more))


def test_keys_follow_from_name_and_contents_and_not_from_the_place(tmp_path):
    first = write(tmp_path / "a" / "Knight of Gold.glb", b"gold")
    moved = write(tmp_path / "b" / "Knight of Gold.glb", b"gold")
    changed = write(tmp_path / "c" / "Knight of Gold.glb", b"silver")
    keys = [plan_of(path)[0].key for path in (first, moved, changed)]
    assert keys[0] == keys[1] != keys[2]
    assert keys[0].startswith("knight-of-gold-") and len(keys[0].rpartition("-")[2]) == 8


def test_folders_are_read_in_the_order_of_names_and_only_assets(tmp_path):
    for name in ("b.fbx", "a/z.GLB", "a/notes.txt", "c.blend"):
        write(tmp_path / name, name.encode())
    assert [Path(unit.path).name for unit in plan_of(tmp_path)] == ["z.GLB", "b.fbx", "c.blend"]
    twice = plan_of(tmp_path / "c.blend", tmp_path)
    assert [Path(unit.path).name for unit in twice] == ["c.blend", "z.GLB", "b.fbx"]


def test_equal_contents_are_worked_on_once(tmp_path):
    units = plan_of(write(tmp_path / "fan.glb", b"x"), write(tmp_path / "copy" / "fan.glb", b"x"))
    assert units[0].settled is None
    assert (units[1].settled["outcome"], units[1].settled["reason"]) == ("duplicate", "duplicate")
    assert "fan.glb" in units[1].settled["detail"] and units[0].key != units[1].key


@pytest.mark.parametrize("content, reason", [(None, "missing"), (b"", "empty file")])
def test_files_that_are_not_there_or_hold_nothing_are_damaged(tmp_path, content, reason):
    paths = [tmp_path / name / "gone.glb" for name in "ab"]
    for path in paths if content is not None else []:
        write(path, content)
    units = plan_of(*paths)
    assert [(unit.settled["outcome"], unit.settled["reason"]) for unit in units] == [("damaged", reason)] * 2
    assert units[0].key != units[1].key


def test_licences_are_taken_from_the_list_beside_the_assets(tmp_path):
    lines = [
        {"uid": "1", "file": "free.glb", "licence": "by", "author": "Ada"},
        {"uid": "2", "file": "bound.glb", "licence": "by-nc", "author": "Bob"},
    ]
    (tmp_path / "assets.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name in ("bound", "free", "own"):
        write(tmp_path / f"{name}.glb", name.encode())
    bound, free, own = plan_of(tmp_path)
    assert (bound.settled["outcome"], bound.settled["author"]) == ("licence", "Bob")
    assert free.settled is None and free.credit["licence"] == "by" and own.credit == {}
    assert plan_of(tmp_path, licences="all")[0].settled is None


def test_seeds_share_no_rig_and_longer_orders_begin_with_shorter_ones():
    keys = {seed: [unit.key for unit in plan_of(procedural="all:50", seed=seed)] for seed in (0, 1)}
    assert not set(keys[0]) & set(keys[1])
    assert [unit.key for unit in plan_of(procedural="all:80")][:50] == keys[0]
    assert plan_of(procedural="cabinet:2", seed=7)[1].key == "cabinet-7000001"
    assert drawn_rigs("all:3", 0) == drawn_rigs("all:9", 0)[:3]


def test_a_scene_is_one_unit_named_after_its_file(tmp_path):
    unit = plan_of(scene=write(tmp_path / "Shot 010.blend", b"b"))[0]
    assert (unit.key, unit.kind) == ("shot-010-scene", "scene")


@pytest.mark.parametrize(
    "order, words",
    [
        ({}, "say what to work on"),
        ({"procedural": "sofa:3"}, "no procedural kind is called 'sofa'"),
        ({"procedural": "cabinet"}, "KIND:COUNT"),
        ({"procedural": "cabinet:0"}, "asks for 0"),
        ({"scene": "gone.blend"}, "gone.blend does not exist"),
    ],
)
def test_orders_that_name_nothing_are_refused(order, words):
    with pytest.raises(InputError, match=words):
        plan_of(**order)


def test_orders_of_rigs_are_read():
    assert parse_order("robot_arm:12") == ("robot_arm", 12)


@pytest.mark.parametrize(
    "name, expected",
    [("Käfer & Söhne", "kafer-sohne"), ("日本", "asset"), ("a.b_c", "a-b-c"), ("x" * 99, "x" * 40)],
)
def test_names_become_safe(name, expected):
    assert slug(name) == expected


@pytest.mark.parametrize(
    "text, short",
    [
        ("by", "by"),
        ("CC-BY-4.0", "by"),
        ("Creative Commons Attribution-NonCommercial-ShareAlike", "by-nc-sa"),
        ("http://creativecommons.org/licenses/by-sa/4.0/", "by-sa"),
        ("CC Attribution", "by"),
        ("CC0 Public Domain", "cc0"),
        ("Editorial", "editorial"),
    ],
)
def test_licences_are_known_by_any_of_their_names(text, short):
    assert short_name(text) == short


def test_what_is_allowed():
    assert is_allowed(None, ("by",)) and is_allowed("CC-BY-4.0", ("by",)) and is_allowed("anything", ("all",))
    assert not is_allowed("by-nc", ("by", "by-sa"))


def test_a_card_names_one_licence_or_says_that_they_are_mixed():
    assert card_licence(["by", "CC BY 4.0"]) == {"license": "cc-by-4.0"}
    assert card_licence(["by", None])["license"] == "other"

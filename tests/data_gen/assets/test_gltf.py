# SPDX-License-Identifier: GPL-3.0-or-later
"""Animations of glTF files put every vertex where the file's own numbers say."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from damaged_files import SECONDS, TURN, box, lidded
from glb_files import Glb
from gltf_numbers import GltfNumbers
from puppet_master.data_gen.assets import open_asset
from puppet_master.data_gen.geometry import seen
from puppet_master.data_gen.reasons import Damaged, Rejection
from puppet_master.data_gen.scene import set_time


@pytest.fixture
def assets(shared):
    return shared / "assets"


def positions(playback, time):
    """World positions by object name."""
    set_time(playback.scene, time)
    found = seen(playback.objects, bpy.context.evaluated_depsgraph_get())
    return {name: surface.placed(matrix) for name, surface, matrix in found}


def distance(found, expected):
    """How far the farthest vertex is from where it should be; all objects and vertices must be there."""
    assert found.keys() == expected.keys()
    assert {name: len(points) for name, points in found.items()} == {k: len(v) for k, v in expected.items()}
    return max(float(np.abs(found[name] - expected[name]).max()) for name in found)


@pytest.mark.parametrize(
    "name, count, poses",
    [("Knight.glb", 76, 7), ("MorphStressTest.gltf", 3, 0), ("desk_fan/vintageFan_animated.gltf", 4, 0)],
)
def test_every_animation_of_real_files_is_played_exactly(assets, name, count, poses):
    numbers, source = GltfNumbers(assets / name), open_asset(assets / name)
    assert source.animations() == [item["name"] for item in numbers.json["animations"]]
    assert len(source.animations()) == count
    refused = []
    for index, title in enumerate(source.animations()):
        try:
            playback = source.play(index)
        except Rejection as rejection:
            assert rejection.reason == "single pose"
            refused.append(title)
            continue
        for share in (0.0, 0.61, 1.0):
            time = playback.first + share * (playback.last - playback.first)
            off = distance(positions(playback, time), numbers.vertices(index, time / playback.fps))
            assert off < 3e-6 * playback.meta["size"], f"{title} at frame {time}: {off}"
    assert len(refused) == poses


def test_each_animation_differs_from_rest_and_none_leaves_traces(assets):
    numbers, source = GltfNumbers(assets / "Knight.glb"), open_asset(assets / "Knight.glb")
    rest = numbers.vertices(None, 0)
    first = {}
    for turn in range(2):
        for index in range(0, 76, 1 if turn == 0 else 3):
            try:
                playback = source.play(index)
            except Rejection:
                continue
            places = np.concatenate(list(positions(playback, (playback.first + playback.last) / 2).values()))
            if turn == 0:
                first[index] = places
            else:
                np.testing.assert_array_equal(places, first[index])
    still = np.concatenate(list(rest.values()))
    assert all(np.abs(places - still).max() > 0.05 for places in first.values())


def test_what_an_animation_does_not_move_stays_as_the_file_has_it(tmp_path):
    glb = Glb()
    points, triangles = box()
    tip = glb.node("tip", translation=[0, 0.5, 0], rotation=[0, 0, 0.6, 0.8])
    base = glb.node("base", children=[tip], scale=[1, 2, 1])
    skin = glb.add("skins", {"joints": [base, tip], "inverseBindMatrices": glb.accessor([np.eye(4).ravel()] * 2)})
    for shift in (0.0, 3.0):
        moved = np.add(points, (shift, 0, 0))
        glb.node(f"part{shift:g}", mesh=glb.mesh(moved, triangles, joints=(points[:, 1] > 0).astype(int)), skin=skin)
    _, lid = lidded(glb)
    face = glb.node("face", mesh=glb.mesh(points, triangles, targets=[points, points[::-1]]), translation=[0, 0, 5])
    glb.json["meshes"][-1]["weights"] = [0.25, 0.0]
    glb.animate("base", (base, "translation", SECONDS, [(0, 3, 0), (0, 4, 0)]))
    glb.animate("tip", (tip, "rotation", SECONDS, TURN))
    glb.animate(
        "lid", (lid, "translation", SECONDS, [(3, 0, 0), (4, 0, 0)]), (lid, "scale", SECONDS, np.eye(3)[:2] + 1)
    )
    glb.animate("face", (face, "weights", SECONDS, [(1, 0.5), (0, 1)]))
    glb.animate("all", (base, "rotation", SECONDS, TURN), (face, "rotation", SECONDS, TURN))
    path = glb.write(tmp_path / "several.glb")
    numbers, source = GltfNumbers(path), open_asset(path)
    for index in [0, 1, 2, 3, 4, 3, 2, 1, 0, 4]:
        playback = source.play(index)
        assert (playback.first, playback.last) == (0, pytest.approx(24))
        for time in (0.0, 7.3, 24.0):
            assert distance(positions(playback, time), numbers.vertices(index, time / 24)) < 1e-5


def test_equal_empty_long_and_foreign_names_are_kept_apart(tmp_path):
    glb = Glb()
    _, lid = lidded(glb, lid="Dëckel 蓋")
    names = ["動く", "動く", None, None, "a" * 80, "a" * 79 + "b", "é" * 40]
    for number, name in enumerate(names):
        glb.animate(name, (lid, "translation", SECONDS, [(0, 0, 0), (0, 1 + number, 0)]))
    source = open_asset(glb.write(tmp_path / "ünïcödé 動画.glb"))
    assert source.animations() == [name or "" for name in names]
    for number in range(len(names)):
        playback = source.play(number)
        set_time(playback.scene, playback.last)
        assert bpy.data.objects["Dëckel 蓋"].location.z == pytest.approx(1 + number)


def test_an_asset_without_animation_is_turned_away_unopened(assets):
    with pytest.raises(Rejection, match=r"no animation: seagull_static\.glb") as caught:
        open_asset(assets / "seagull_static.glb")
    assert not isinstance(caught.value, Damaged)


def test_of_a_real_file_only_its_own_is_filmed_up_to_the_limit(assets):
    with pytest.raises(Rejection, match=r"too heavy: .* has 6952 triangles; at most 6951 are allowed"):
        open_asset(assets / "Knight.glb", most_triangles=6951)
    source = open_asset(assets / "Knight.glb", most_triangles=6952)
    names = [item.name for item in source.objects]
    assert "Icosphere" not in names and "Knight_Body" in names
    assert (source.meta["triangles"], source.meta["parts"], source.meta["animations"]) == (6952, 15, 76)


def test_the_importers_own_words_are_kept_in_one_line(tmp_path):
    glb = Glb()
    _, lid = lidded(glb)
    glb.animate("open", (lid, "rotation", SECONDS, TURN))
    glb.json["animations"][0]["samplers"][0]["output"] = 999
    with pytest.raises(Damaged, match=r"unreadable: a\.glb: IndexError: list index out of range$"):
        open_asset(glb.write(tmp_path / "a.glb"))


def test_importing_leaves_no_add_on_behind(assets):
    before = list(bpy.context.preferences.addons.keys())
    open_asset(assets / "MorphStressTest.gltf")
    assert list(bpy.context.preferences.addons.keys()) == before

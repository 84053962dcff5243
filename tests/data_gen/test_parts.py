# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigid parts found by motion: known labels recovered, limbs told apart, bending kept in a few pieces."""

from __future__ import annotations

import numpy as np
import pytest
from puppet_master.data_gen.assets import open_asset
from puppet_master.data_gen.parts import MOST_PARTS, cluster, find_parts, labels_of_items, part_of_triangles
from puppet_master.data_gen.playback import Playback
from puppet_master.data_gen.points import positions_of, sample_points
from puppet_master.data_gen.procedural import RigSource
from puppet_master.data_gen.recording import record


def rand_index(one: np.ndarray, two: np.ndarray) -> float:
    """Adjusted Rand index: 1 for the same grouping, about 0 for unrelated ones."""

    def pairs(counts: np.ndarray) -> float:
        return float((counts * (counts - 1) / 2).sum())

    table = np.zeros((one.max() + 1, two.max() + 1))
    np.add.at(table, (one, two), 1)
    both, left, right = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
    expected = left * right / (len(one) * (len(one) - 1) / 2)
    most = (left + right) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


def turning(points: np.ndarray, axis: np.ndarray, origin: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Points `[P, 3]` turned about an axis by each angle, `[P, N, 3]` (Rodrigues)."""
    away = (points - origin)[:, None]
    angle = angles[None, :, None]
    along = (away @ axis)[..., None] * axis
    return origin + away * np.cos(angle) + np.cross(axis, away) * np.sin(angle) + along * (1 - np.cos(angle))


def box(rng: np.random.Generator, low, high, count: int) -> np.ndarray:
    return rng.uniform(low, high, (count, 3))


def moving_by_groups(playback: Playback, labels: np.ndarray) -> np.ndarray:
    """What the rig's moves say: a label for each joint that moves, 0 for the rest."""
    found = np.zeros(len(labels), int)
    for number, group in enumerate(playback.groups):
        found[np.isin(labels, group)] = number + 1
    return found


@pytest.mark.parametrize("kind", ["cabinet", "laptop", "scissors", "robot_arm", "table", "bin"])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_moving_parts_of_rigs_are_recovered(kind, seed):
    playback = RigSource(kind, seed, 14).play(0)
    recording = record(playback, range(1, 15))
    points = sample_points(recording, 1024, np.random.default_rng(0))
    known = moving_by_groups(playback, labels_of_items(recording.names, playback)[points.owner])
    found = find_parts(recording, points)
    assert rand_index(known, found.astype(int)) > 0.99
    assert (found[known == 0] == 0).mean() > 0.99
    assert found.dtype == np.int16


def test_parts_are_found_without_any_hint_of_objects():
    rng = np.random.default_rng(0)
    body = np.repeat(box(rng, (0, 0, 0), (1, 1, 1), 500)[:, None], 8, axis=1)
    door = turning(box(rng, (0, -0.05, 0), (1, 0, 1), 300), np.array((0, 0, 1.0)), np.zeros(3), np.linspace(0, 1.5, 8))
    drawer = box(rng, (0.2, 0.1, 0.2), (0.8, 0.9, 0.4), 200)[:, None] - np.linspace(0, 0.6, 8)[:, None] * (0, 1, 0)
    places = np.concatenate((body, door, drawer))
    known = np.repeat((0, 1, 2), (500, 300, 200))
    found = cluster(places, np.zeros(1000, int))
    np.testing.assert_array_equal(found, known)


def test_noise_does_not_make_parts():
    rng = np.random.default_rng(0)
    body = np.repeat(box(rng, (0, 0, 0), (1, 1, 1), 600)[:, None], 8, axis=1)
    lid = turning(
        box(rng, (0, 0, 1), (1, 1, 1.1), 200), np.array((1.0, 0, 0)), np.array((0, 1, 1)), np.linspace(0, 1, 8)
    )
    places = np.concatenate((body, lid))
    places += rng.normal(0, 0.001, places.shape)
    found = cluster(places, np.zeros(800, int))
    assert found.max() == 1
    assert rand_index(np.repeat((0, 1), (600, 200)), found.astype(int)) > 0.95


def test_when_all_moves_the_large_calm_part_is_the_body():
    rng = np.random.default_rng(0)
    drift = np.linspace(0, 0.3, 8)[:, None] * (1, 0, 0)
    trunk = box(rng, (0, 0, 0), (0.4, 0.4, 1), 500)[:, None] + drift
    arm = turning(box(rng, (0.4, 0, 0.8), (1, 0.1, 0.9), 150), np.array((0, 1.0, 0)), np.array((0.4, 0, 0.85)),
                  np.linspace(0, 2, 8)) + drift  # fmt: skip
    found = cluster(np.concatenate((trunk, arm)), np.zeros(650, int))
    assert (found[:500] == 0).all() and (found[500:] == 1).all()


def test_what_bends_smoothly_is_cut_into_few_pieces():
    along = np.random.default_rng(0).uniform(0, 1, 2000)
    across = np.random.default_rng(1).uniform(-0.02, 0.02, (2000, 2))
    frames = []
    for bend in np.linspace(1e-3, 3, 10):
        radius = 1 / bend - across[:, 0]
        frames.append(
            np.stack((radius * np.sin(along * bend), 1 / bend - radius * np.cos(along * bend), across[:, 1]), 1)
        )
    found = cluster(np.stack(frames, 1), np.zeros(2000, int))
    assert 3 <= found.max() + 1 <= 12
    # Pieces are contiguous: along the bar the id changes once between two pieces, but for a few points at the cuts.
    changes = np.count_nonzero(np.diff(found[np.argsort(along)]))
    assert changes < 4 * (found.max() + 1)


def test_wild_deformation_is_capped():
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 1, (600, 1, 3)) + 0.3 * rng.normal(size=(600, 6, 3)).cumsum(1)
    assert cluster(places, np.zeros(600, int)).max() < MOST_PARTS


@pytest.mark.parametrize("shape", [(3, 5, 3), (40, 1, 3)])
def test_few_points_or_one_moment_are_one_part(shape):
    places = np.random.default_rng(0).random(shape)
    assert (cluster(places, np.zeros(shape[0], int)) == 0).all()


def test_known_labels_are_taken(scene):
    playback = RigSource("cabinet", 1, 5).play(0)
    recording = record(playback, [1, 5])
    points = sample_points(recording, 200, np.random.default_rng(0))
    part = find_parts(recording, points, playback)
    by_name = {item.name: label for item, label in zip(playback.objects, playback.labels, strict=True)}
    assert [by_name[recording.names[item]] for item in points.owner] == part.tolist()
    labels = labels_of_items(("door/knob/0", "unknown", "door"), Playback(scene, (), 1, 2, labels=()))
    np.testing.assert_array_equal(labels, 0)


def test_a_walking_figure_has_limbs_that_are_told_apart(shared):
    source = open_asset(shared / "assets" / "Knight.glb")
    playback = source.play(source.animations().index("Walking_A"))
    recording = record(playback, np.linspace(playback.first, playback.last, 14).tolist())
    points = sample_points(recording, 2048, np.random.default_rng(0))
    found = find_parts(recording, points)
    assert 6 <= found.max() + 1 <= 16
    of = {name: found[points.owner == item] for item, name in enumerate(recording.names)}
    main = {name: np.bincount(ids).argmax() for name, ids in of.items()}
    limbs = ["Knight_LegLeft", "Knight_LegRight", "Knight_ArmLeft", "Knight_ArmRight"]
    assert len({main[name] for name in limbs}) == 4 and 0 not in {main[name] for name in limbs}
    assert main["Round_Shield"] in of["Knight_ArmLeft"] and main["1H_Sword"] in of["Knight_ArmRight"]
    assert len(set(of["1H_Sword"])) == len(set(of["Knight_Helmet"])) == 1  # rigid things are whole
    places = positions_of(points, recording)
    for part in np.unique(found):  # points of a part keep their distances
        some = places[found == part][:60]
        apart = np.linalg.norm(some[:, None] - some[None], axis=-1)
        assert np.quantile(np.abs(apart - apart[..., :1]).max(-1), 0.9) < 0.06 * np.ptp(places[:, 0], axis=0).max()


def test_triangles_get_the_part_of_points_that_move_alike(shared):
    source = open_asset(shared / "assets" / "Knight.glb")
    playback = source.play(source.animations().index("Walking_A"))
    recording = record(playback, np.linspace(playback.first, playback.last, 6).tolist())
    points = sample_points(recording, 2048, np.random.default_rng(0))
    found = find_parts(recording, points)
    triangles = part_of_triangles(recording, points, found)
    assert triangles.shape == (len(recording.triangles),) and triangles.dtype == np.int16
    assert (triangles[points.triangle] == found).mean() > 0.93
    for item in range(len(recording.names)):
        known = found[points.owner == item]
        assert not len(known) or set(triangles[recording.owner == item]) <= set(known)

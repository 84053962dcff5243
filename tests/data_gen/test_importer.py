# SPDX-License-Identifier: GPL-3.0-or-later
"""Animated glTF files: one animation chosen, its length found, the rest of the file's faults named."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from puppet_master.backend.errors import InputError
from puppet_master.data_gen.importer import (
    import_asset,
    make_asset_clip,
    moving_objects,
    normalise,
    play,
    stage_asset,
)
from puppet_master.data_gen.rigs import build_rig
from puppet_master.data_gen.scene import bounds_over_time, empty_scene
from puppet_master.data_gen.settings import RenderSettings

SMALL = RenderSettings(size=48)


@pytest.fixture
def assets(shared):
    return shared / "assets"


@pytest.fixture
def exported(tmp_path):
    """A cabinet of ours with an opening drawer or door, exported: needs no shared material."""
    rig = build_rig("cabinet", np.random.default_rng(0))
    low, high = rig.joints[0].joint.limits
    rig.animate(rig.joints[0], (low, high), (1, 13))
    path = tmp_path / "cabinet.glb"
    bpy.context.scene.frame_end = 13
    bpy.ops.export_scene.gltf(filepath=str(path), export_animation_mode="SCENE", export_frame_range=False)
    empty_scene()
    return path


def test_our_own_export_comes_back_moving(exported):
    clip = make_asset_clip(exported, None, 0, 5, SMALL)
    assert clip.frames.shape == (5, 48, 48, 4)
    assert clip.part.max() >= 1 and (clip.part == 0).any()
    moved = np.linalg.norm(clip.tracks[:, -1] - clip.tracks[:, 0], axis=1)
    assert moved[clip.part > 0].max() > 0.05
    assert moved[clip.part == 0].max() < 1e-4


@pytest.mark.parametrize("animation, seconds", [("Walking_A", 25.6), ("Jump_Full_Long", 54.4)])
def test_the_named_animation_plays_over_its_own_length(assets, animation, seconds):
    asset = import_asset(assets / "Knight.glb")
    assert len(asset.animations) == 76
    first, last = play(asset, animation)
    assert first == pytest.approx(0, abs=0.01) and last > 10
    rig = bpy.data.objects["Rig"]
    assert rig.animation_data.action.name.startswith(animation)
    assert not rig.animation_data.nla_tracks


def test_an_armature_animation_moves_points(assets):
    clip = make_asset_clip(assets / "Knight.glb", "Walking_A", 0, 4, SMALL)
    assert clip.meta["animation"] == "Walking_A"
    assert np.linalg.norm(clip.tracks - clip.tracks[:, :1], axis=-1).max() > 0.05


def test_parts_that_an_armature_leaves_alone_count_as_still(assets):
    rng = np.random.default_rng(0)
    stage = stage_asset(assets / "desk_fan" / "vintageFan_animated.gltf", "fanRunning", 0, 5, rng)
    parts = {item.name: part for item, part in stage.parts}
    assert parts["fanBase_low"] == 0 and parts["fanBlade_low"] > 0


def test_shape_keys_move_points(assets):
    clip = make_asset_clip(assets / "MorphStressTest.gltf", "TheWave", 0, 6, SMALL)
    assert np.linalg.norm(clip.tracks - clip.tracks[:, :1], axis=-1).max() > 0.05


def test_bone_shapes_of_blender_are_not_filmed(assets):
    names = [item.name for item in import_asset(assets / "Knight.glb").meshes]
    assert "Icosphere" not in names and "Knight_Body" in names


def test_the_clip_fills_a_unit_cube(scene, assets):
    asset = import_asset(assets / "desk_fan" / "vintageFan_animated.gltf")
    play(asset, "fanRunning")
    times = [0.0, 8.0, 16.0]
    normalise(scene, asset, times)
    corners = bounds_over_time(scene, asset.meshes, times).reshape(-1, 3)
    assert np.ptp(corners, axis=0).max() == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose((corners.min(0) + corners.max(0)) / 2, 0, atol=1e-4)
    assert moving_objects(scene, asset.meshes, times).any()


def test_a_static_asset_is_told_to_have_no_animation(assets):
    with pytest.raises(InputError, match=r"seagull_static\.glb has no animation"):
        import_asset(assets / "seagull_static.glb")


def test_an_unknown_animation_is_answered_with_the_known_ones(exported):
    asset = import_asset(exported)
    with pytest.raises(InputError, match=f"no animation 'Dance'; it has: {next(iter(asset.animations))}"):
        play(asset, "Dance")


@pytest.mark.parametrize("name, content", [("a.glb", b"not a model"), ("b.gltf", b"{"), ("c.glb", b"")])
def test_a_damaged_file_is_an_input_error_in_one_line(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be imported") as caught:
        import_asset(path)
    assert "\n" not in str(caught.value)


def test_a_cut_off_file_is_an_input_error(exported):
    exported.write_bytes(exported.read_bytes()[:5000])
    with pytest.raises(InputError, match="cannot be imported"):
        import_asset(exported)


def test_other_formats_and_missing_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="not a glTF file"):
        import_asset(tmp_path / "chair.fbx")
    with pytest.raises(InputError, match="does not exist"):
        import_asset(tmp_path / "chair.glb")

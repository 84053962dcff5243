# SPDX-License-Identifier: GPL-3.0-or-later
"""Light: white stays white, nothing of one shot is left in the next."""

from __future__ import annotations

from dataclasses import replace

import bpy
import numpy as np
import pytest
from puppet_master.data_gen.cameras import Viewpoint, place_camera
from puppet_master.data_gen.look import Look, random_look
from puppet_master.data_gen.render import render_frames, set_up
from puppet_master.data_gen.scene import clear_shot
from puppet_master.data_gen.settings import RenderSettings

EVEN = Look("basic.sl", 0.0, 0.0, (0.0, 0.3, 1.0), 0.0, False, 1.4)
CYCLES = RenderSettings(size=24, engine="cycles", samples=4)


@pytest.fixture
def board(scene):
    """A white board that faces the camera."""
    bpy.ops.mesh.primitive_plane_add(size=2, rotation=(np.pi / 2, 0, 0))
    material = bpy.data.materials.new("white")
    if material.node_tree is None:  # until Blender 5.0
        material.use_nodes = True
    shader = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Base Color"].default_value = (1, 1, 1, 1)
    shader.inputs["Roughness"].default_value = 1.0
    bpy.context.object.data.materials.append(material)
    return scene


def shoot(scene, look: Look, size: float = 1.0) -> np.ndarray:
    clear_shot(scene)
    corners = np.array([(x, 0, z) for x in (-1, 1) for z in (-1, 1)]) * size
    place_camera(scene, corners, Viewpoint(0, 0, angle=30, fill=0.8))
    set_up(scene, CYCLES, look, 2.0 * size)
    return render_frames(scene, [1], CYCLES)[0]


def test_a_white_surface_that_faces_the_light_is_nearly_white(board):
    middle = shoot(board, EVEN)[10:14, 10:14, :3]
    assert 215 < middle.mean() <= 255


def test_the_size_of_the_subject_does_not_change_its_picture(board):
    small = shoot(board, EVEN)
    board.objects[0].scale *= 500
    # Pixels on the outline are a rounding of the numbers away from each other.
    assert np.abs(shoot(board, EVEN, 500.0).astype(int) - small).mean() < 0.2


def test_warmth_tints_the_light(board):
    warm, cold = (shoot(board, replace(EVEN, warmth=warmth))[12, 12].astype(int) for warmth in (1.0, -1.0))
    assert warm[0] - warm[2] >= 5 and cold[2] - cold[0] >= 5


def test_shots_leave_nothing_behind(board):
    before = {name: len(getattr(bpy.data, name)) for name in ("objects", "lights", "cameras", "worlds")}
    rng = np.random.default_rng(0)
    for _ in range(3):
        shoot(board, random_look(rng))
    clear_shot(board)
    assert {name: len(getattr(bpy.data, name)) for name in before} == before


def test_a_scene_keeps_its_own_light_where_no_look_is_given(board):
    sun = bpy.data.objects.new("own", bpy.data.lights.new("own", "SUN"))
    board.collection.objects.link(sun)
    set_up(board, CYCLES, None)
    clear_shot(board)
    assert "own" in board.objects and len(bpy.data.lights) == 1


def test_looks_differ_and_follow_from_their_seed():
    looks = [random_look(np.random.default_rng(seed)) for seed in range(20)]
    assert len(set(looks)) == 20
    assert looks[3] == random_look(np.random.default_rng(3))


@pytest.mark.parametrize("engine", ["cycles", "workbench"])
def test_clips_are_lit_from_the_cameras_side_wherever_it_stands(scene, engine):
    bpy.ops.mesh.primitive_uv_sphere_add()
    settings = RenderSettings(size=16, engine=engine, samples=4)

    def brightness(camera: float, light: float) -> float:
        means = []
        for seed in range(6):
            clear_shot(scene)
            place_camera(scene, [(-1, -1, -1), (1, 1, 1)], Viewpoint(camera, 10, angle=30, fill=0.9))
            look = random_look(np.random.default_rng(seed), light)
            set_up(scene, settings, replace(look, exposure=look.exposure - 1, shadow=0.0), 2.0)  # nothing is clipped
            frame = render_frames(scene, [1], settings)[0]
            means.append(frame[frame[..., 3] > 200][:, :3].mean())
        return float(np.mean(means))

    for azimuth in (0.0, 90.0, 180.0):
        assert brightness(azimuth, azimuth) > brightness(azimuth, azimuth + 180) + 15

# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendering the still: its pixels, and a scene left as it was."""

import bpy
import numpy as np
import pytest
from PIL import Image
from puppet_master.addon import compat
from puppet_master.addon.still import render_still, still_resolution
from puppet_master.backend.errors import InputError, OutputError


def settings(scene):
    """Every render setting of the scene, as text."""
    owners = [scene.render, scene.render.image_settings, scene.cycles]
    return [
        f"{owner.bl_rna.identifier}.{prop.identifier}={getattr(owner, prop.identifier)!r}"
        for owner in owners
        for prop in owner.bl_rna.properties
        if prop.type in ("BOOLEAN", "INT", "FLOAT", "STRING", "ENUM") and not prop.is_readonly
    ]


@pytest.fixture
def odd_settings(scene):
    """Settings of an artist, none of which is right for a still."""
    render = scene.render
    render.resolution_percentage = 50
    render.use_border = True
    render.film_transparent = False
    render.use_stamp = True
    if compat.media_type_values(render.image_settings):
        render.image_settings.media_type = "VIDEO"
    render.image_settings.file_format = "FFMPEG"
    render.image_settings.color_mode = "RGB"
    return scene


def test_the_still_has_the_size_asked_for_and_is_transparent_around_the_object(odd_settings, tmp_path):
    still = render_still(odd_settings, tmp_path / "new folder" / "still.png", (80, 40))
    assert (still.width, still.height, still.frame, still.engine) == (80, 40, 1, "BLENDER_WORKBENCH")
    with Image.open(still.path) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGBA", (80, 40))
        alpha = np.asarray(image)[..., 3]
    assert alpha[20, 40] >= 254  # Blender 4.5 rounds down
    assert alpha[[0, 0, -1, -1], [0, -1, 0, -1]].tolist() == [0, 0, 0, 0]
    # The near face is 3.5 away, where a 50 mm lens on 36 mm sees 2.52 across: 31.7 of 80 pixels.
    assert (alpha > 127).sum() == pytest.approx(31.7**2, rel=0.05)
    assert list(still.path.parent.iterdir()) == [still.path]


def test_every_setting_is_as_before_afterwards(odd_settings, tmp_path):
    before = settings(odd_settings)
    render_still(odd_settings, tmp_path / "still.png", (32, 32))
    assert settings(odd_settings) == before


def add_file_output(scene, folder):
    """A File Output node in the scene's compositor; gives it."""
    if hasattr(scene, "compositing_node_group"):
        scene.compositing_node_group = bpy.data.node_groups.new("Compositor", "CompositorNodeTree")
    else:
        scene.use_nodes = True
    tree = compat.compositor_of(scene)
    output = tree.nodes.new("CompositorNodeOutputFile")
    if hasattr(output, "file_output_items"):
        output.directory = f"{folder}/"
        output.file_output_items.new("RGBA", "Image")
    else:
        output.base_path = f"{folder}/"
    tree.links.new(tree.nodes.new("CompositorNodeRLayers").outputs["Image"], output.inputs[0])
    return output


def test_files_that_the_compositor_writes_are_left_to_the_shots_own_renders(scene, tmp_path):
    output = add_file_output(scene, tmp_path / "final")
    render_still(scene, tmp_path / "still.png", (32, 32))
    assert [path.name for path in tmp_path.iterdir()] == ["still.png"]
    assert not output.mute
    bpy.ops.render.render()
    assert len(list((tmp_path / "final").iterdir())) == 1


def test_every_setting_is_as_before_after_an_error_too(odd_settings, tmp_path):
    before = settings(odd_settings)
    (tmp_path / "still.png").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*still\.png: "):
        render_still(odd_settings, tmp_path / "still.png", (32, 32))
    assert settings(odd_settings) == before
    assert [path.name for path in tmp_path.iterdir()] == ["still.png"]


def test_the_size_set_in_the_scene_keeps_the_renders_aspect(scene, tmp_path):
    scene.puppet_master.still_size = 40
    still = render_still(scene, tmp_path / "still.png")
    assert (still.width, still.height) == (40, 30)
    scene.render.pixel_aspect_y = 2.0  # pixels twice as high as wide: 64 x 96 square ones
    assert still_resolution(scene.render, 96) == (64, 96)


def test_a_path_is_taken_as_it_is(scene, tmp_path):
    still = render_still(scene, tmp_path / "shot {take} ##.png", (32, 32))
    assert still.path.is_file()


def test_eevee_gives_way_to_cycles_where_there_is_no_window(scene, tmp_path):
    scene.render.engine = compat.eevee_engine()
    scene.cycles.samples = 4096
    scene.puppet_master.still_samples = 2
    still = render_still(scene, tmp_path / "still.png", (32, 32))
    assert still.engine == "CYCLES"
    assert scene.render.engine == compat.eevee_engine()
    assert scene.cycles.samples == 4096
    with Image.open(still.path) as image:
        alpha = np.asarray(image)[..., 3]
    assert alpha[16, 16] == 255
    assert alpha[0, 0] == 0


def test_a_scene_without_camera_is_refused_by_name(scene, tmp_path):
    scene.camera = None
    with pytest.raises(InputError, match='scene "Scene" has no camera; add one'):
        render_still(scene, tmp_path / "still.png")
    assert not (tmp_path / "still.png").exists()


@pytest.mark.parametrize("size", [(8, 32), (32, 5000)])
def test_a_size_out_of_range_is_refused(scene, tmp_path, size):
    with pytest.raises(InputError, match=f"size {size[0]}x{size[1]} lies outside 16 to 4096"):
        render_still(scene, tmp_path / "still.png", size)


def test_the_operator_remembers_the_still_in_the_scene(scene, tmp_path):
    bpy.ops.puppet_master.make_still()
    assert scene.puppet_master.still_path == str(tmp_path / "previews" / "untitled-still.png")
    with Image.open(scene.puppet_master.still_path) as image:
        assert image.size == (64, 48)


def test_a_scene_whose_view_layers_are_not_rendered_is_refused(scene, tmp_path):
    scene.view_layers[0].use = False
    with pytest.raises(InputError, match="renders no view layer; check Use for Rendering"):
        render_still(scene, tmp_path / "still.png")


@pytest.mark.parametrize("kind", ["MESH", "EMPTY"])
def test_an_object_that_is_no_camera_is_refused_before_it_renders(scene, tmp_path, kind):
    if kind == "EMPTY":
        bpy.ops.object.empty_add()
    else:
        bpy.context.view_layer.objects.active = bpy.data.objects["Cube"]
    scene.camera = bpy.context.object
    with pytest.raises(InputError, match="is no camera; choose a camera"):
        render_still(scene, tmp_path / "still.png")
    assert not list(tmp_path.iterdir())


def test_the_operator_reports_a_missing_camera(scene):
    scene.camera = None
    with pytest.raises(RuntimeError, match='scene "Scene" has no camera'):
        bpy.ops.puppet_master.make_still()
    assert scene.puppet_master.still_path == ""

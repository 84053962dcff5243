# SPDX-License-Identifier: GPL-3.0-or-later
"""The doors for scripts and farms: the Python interface and `blender --command puppet_master preview`."""

import json
import os
import subprocess
import sys

import bpy
import numpy as np
import pytest
from PIL import Image
from puppet_master import api
from puppet_master.addon import handles, preview_command
from puppet_master.backend.errors import Cancelled, InputError, ModelError
from puppet_master.backend.protocol import DragPoint, load_drags
from puppet_master.data_gen.blender import command


@pytest.fixture
def ready(lasting_scene, embedded_model):
    api.clear_drags()
    return lasting_scene


@pytest.fixture
def blue_image(ready):
    """The scene's still is an image, 48 x 32, and there is no camera."""
    image, camera = bpy.data.images.new("Painting", 48, 32), ready.camera
    image.pixels.foreach_set(np.tile(np.float32([0.0, 0.0, 1.0, 1.0]), 48 * 32))
    ready.puppet_master.still_source, ready.puppet_master.still_image, ready.camera = "IMAGE", image, None
    yield image
    ready.puppet_master.still_source, ready.puppet_master.still_image, ready.camera = "CAMERA", None, camera


def test_a_preview_by_the_python_interface(ready):
    still = api.make_still()
    assert (still.width, still.height) == (64, 48)
    drag = api.add_drag("lid", (0.5, 0.5), (0.7, 0.5), via=[(0.4, 0.6, 0.45)], ease="smooth")
    assert drag.points[1] == DragPoint(0.4, 0.6, 0.45)
    preview = api.preview(frames=4, seed=3)
    assert not preview.done
    assert preview.wait() is preview
    assert preview.done
    assert preview.progress == 1.0
    frames = preview.frames()
    assert (frames.shape, frames.dtype) == ((4, 48, 64, 3), np.uint8)
    for index in (0, 3):
        with Image.open(preview.folder / "frames" / f"{index:04d}.png") as image:
            np.testing.assert_array_equal(frames[index], np.asarray(image.convert("RGB")))
    assert load_drags(preview.folder / "drags.json") == [drag]
    assert ready.puppet_master.result_folder == str(preview.folder)
    assert ready.puppet_master.frames == 14  # what was asked for concerns this preview alone


def test_a_preview_can_be_given_up(ready, model_folder):
    preview = api.preview(model=str(model_folder), steps=1000)
    with pytest.raises(TimeoutError, match=r"not ready after 0\.1 s"):
        preview.wait(timeout=0.1)
    preview.cancel()
    with pytest.raises(Cancelled):
        preview.wait()
    assert not preview.folder.exists()


def test_what_is_not_valid_is_refused_by_name(ready):
    with pytest.raises(InputError, match="there is no setting 'colour'"):
        api.preview(colour=1)
    with pytest.raises(InputError, match="frames = 1 lies outside 2 to 256"):
        api.preview(frames=1)
    with pytest.raises(ModelError, match="there is no model 'huge'"):
        api.preview(model="huge")
    with pytest.raises(InputError, match='drag "lid" starts at'):
        api.add_drag("lid", (1.5, 0.5), (0.7, 0.5))
    assert handles.drags_of(ready) == ()


def test_the_command_writes_what_the_command_line_writes(ready, tmp_path, capfd):
    api.add_drag("lid", (0.5, 0.5), (0.7, 0.5))
    assert command.main(["preview", "--out", str(tmp_path / "out"), "--frames", "4", "--size", "80x60", "--json"]) == 0
    told = json.loads(capfd.readouterr().out.strip().splitlines()[-1])
    assert (told["frames"], told["size"], [drag["name"] for drag in told["drags"]]) == (4, [80, 60], ["lid"])
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"contact_sheet.png", "drags.json", "frames", "preview.json", "preview.mp4", "still.png"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--frames", "1"], 4, "frames = 1 lies outside 2 to 256"),
        (["--guidance", "much"], 4, "guidance must be a number or FIRST:LAST"),
        (["--size", "3"], 4, "size must be WIDTHxHEIGHT"),
        (["--background", "blue"], 4, "background must be a colour"),
        (["--fit", "stretch"], 4, "fit must be one of"),
        (["--drags", "gone.json"], 4, "gone.json"),
        (["--model", "huge"], 5, "there is no model 'huge'"),
        (["--frames", "many"], 2, "invalid int value"),
    ],
)
def test_the_command_refuses_before_it_renders(ready, tmp_path, capfd, monkeypatch, words, code, message):
    monkeypatch.setattr(preview_command, "make_windowless", lambda *_: pytest.fail("rendered"))
    assert command.main(["preview", "--out", str(tmp_path / "out"), *words]) == code
    assert message in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_starts_from_the_scenes_image_where_that_is_the_still(blue_image, tmp_path, capfd):
    api.add_drag("lid", (0.5, 0.5), (0.7, 0.5))
    assert command.main(["preview", "--out", str(tmp_path / "out"), "--frames", "4"]) == 0
    with Image.open(tmp_path / "out" / "still.png") as still:
        assert (still.size, still.getpixel((5, 5))[:3]) == ((48, 32), (0, 0, 255))
    capfd.readouterr()
    assert command.main(["preview", "--out", str(tmp_path / "out"), "--size", "64x48"]) == 4
    assert "has its own size" in capfd.readouterr().err


def test_the_command_passes_on_what_the_backend_answers(ready, tmp_path, capfd):
    (tmp_path / "file").write_text("")
    assert command.main(["preview", "--out", str(tmp_path / "file" / "out"), "--json"]) == 7
    assert json.loads(capfd.readouterr().out.strip().splitlines()[-1])["error"]["kind"] == "output"


def test_a_farm_runs_it_on_a_saved_file(ready, tmp_path):
    """As Blender does: the file is open and the add-on enabled when the command runs."""
    api.add_drag("lid", (0.5, 0.5), (0.7, 0.5))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"), copy=True)
    script = """
import sys, bpy
bpy.ops.preferences.addon_enable(module="puppet_master")
bpy.ops.wm.open_mainfile(filepath="shot.blend")
from puppet_master.addon.compat import leave
from puppet_master.data_gen.blender import command
bpy.context.preferences.addons["puppet_master"].preferences.backend_python = sys.argv[1]
leave(command.main(["preview", "--out", "out", "--frames", "4"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, os.environ.get("PUPPET_MASTER_TEST_BACKEND", "")], cwd=tmp_path,
        capture_output=True, text=True, timeout=300, env={**os.environ, "PWD": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out" / "frames").iterdir())) == 4


def test_a_file_that_blender_could_not_open_is_not_replaced_by_its_start_up_scene(scene, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["blender", "-b", "newer.blend", "--command", "puppet_master", "preview"])
    assert command.main(["preview", "--out", str(tmp_path / "out")]) == 4
    assert "could not open newer.blend" in capfd.readouterr().err

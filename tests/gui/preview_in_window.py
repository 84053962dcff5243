# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenario: the Puppet tab, a drag added and undone, and a preview by its button.

The scene is the .blend given on Blender's command line, or a box with a lid made here.

The window must stay alive meanwhile: the longest pause is reported.
"""

import importlib
import os
import sys
import time
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))
from driver import Pauses, Window, run, wait_for

jobs = importlib.import_module("bl_ext.user_default.puppet_master.addon.jobs")
report = {"blender": bpy.app.version_string, "steps": []}


def scenario():
    window = Window()
    if not bpy.data.filepath:
        make_box()
    scene = bpy.context.scene
    settings = scene.puppet_master
    settings.model = os.environ["PM_MODEL"]
    names = [drag.name for drag in settings.drags]
    assert names, "the scene has no drags"
    bpy.ops.ed.undo_push(message="Start")  # what scripts do is no undo step by itself
    yield 0.5

    yield from window.open_tab("Puppet")
    yield 0.3
    window.screenshot("1-panel.png")
    done("the panel is open")

    add = yield from window.find_button("puppet_master.add_drag", across=0.85)
    yield from window.click(*add)
    yield from wait_for(lambda: len(settings.drags) == len(names) + 1, 5, "the new drag")
    window.screenshot("2-added.png")
    done("a drag was added by its button")
    yield from window.move(300, 500)
    window.key("Z", ctrl=True)
    yield from wait_for(lambda: len(bpy.context.scene.puppet_master.drags) == len(names), 5, "the undo")
    done("Ctrl-Z took it away")

    pauses = Pauses()
    button = yield from window.find_button("puppet_master.preview")
    yield from window.click(*button)
    yield from wait_for(lambda: jobs.current() is not None, 60, "the job")
    pauses.begin()
    shot = False
    began = time.monotonic()
    while jobs.running():
        assert time.monotonic() < began + 1500, jobs.current().text()
        if not shot and jobs.current().progress > 0:
            window.screenshot("3-running.png")
            pauses.leave_out()
            shot = True
        yield 0.1
    report["job"] = jobs.current().text()
    report["seconds"] = round(time.monotonic() - began, 2)
    report["longest_pause_s"] = pauses.longest_s
    assert jobs.current().state is jobs.State.DONE, jobs.current().text()
    window.screenshot("4-done.png")
    done("the preview is there")

    scene = bpy.context.scene
    frames = sorted(Path(scene.puppet_master.result_folder, "frames").iterdir())
    report["frames"] = len(frames)
    space = window.area.spaces.active
    space.region_3d.view_perspective = "CAMERA"
    for name, frame in (("5-first.png", 0), ("6-last.png", len(frames) - 1)):
        scene.frame_set(scene.puppet_master.result_frame + frame)
        yield 0.5
        window.screenshot(name)
    done("the frames are on the camera")

    assert scene.camera.data.background_images, "no background image on the camera"
    yield from window.move(300, 500)
    window.key("Z", ctrl=True)
    yield from wait_for(lambda: not bpy.context.scene.puppet_master.result_folder, 10, "the undo")
    assert len(bpy.context.scene.puppet_master.drags) == len(names)
    assert not bpy.context.scene.camera.data.background_images
    done("Ctrl-Z takes the preview away, and nothing else")


def make_box():
    """The start-up scene's cube as a box, with a lid to slide off it."""
    scene = bpy.context.scene
    bpy.ops.mesh.primitive_cube_add(size=1.0, location=(0.0, 0.0, 1.15), scale=(2.1, 2.1, 0.25))
    bpy.context.object.color = (0.8, 0.3, 0.1, 1.0)
    scene.render.engine = "BLENDER_WORKBENCH"
    scene.display.shading.color_type = "OBJECT"
    scene.render.resolution_x = scene.render.resolution_y = 256
    bpy.ops.puppet_master.add_drag(name="lid", start=(0.5, 0.38), end=(0.75, 0.34))


def done(step):
    report["steps"].append(step)


if __name__ == "__main__":
    run(scenario(), report)

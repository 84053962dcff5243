# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenario: a preview for which the memory does not suffice, and the button that mends it; a model's download, stopped,
gone on with, and broken off by its hub.

The backend really runs out of memory: it is started with a limit. The hub is one on loopback, with files of zeros.
"""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))
from driver import OUT, Window, run, wait_for
from preview_in_window import make_box

PACKAGE = "bl_ext.user_default.puppet_master"
jobs, link, pulls = (
    importlib.import_module(f"{PACKAGE}.addon.{name}") for name in ("jobs", "backend_link", "model_pull")
)
report = {"blender": bpy.app.version_string, "steps": []}
ENOUGH_FOR_HALF_KIB = 3_000_000
FRAMES = 256


def scenario():
    window = Window()
    make_box()
    own = bpy.context.preferences.addons[PACKAGE].preferences
    own.backend_python = str(limited_python())
    settings = bpy.context.scene.puppet_master
    settings.use_model_defaults, settings.frames = False, FRAMES
    bpy.ops.ed.undo_push(message="Start")
    yield 1.0
    yield from window.open_tab("Puppet")
    yield from out_of_memory(window)
    yield from download(window, own)
    report["backend_pid"] = link.pid()


def limited_python():
    """The backend's Python, as a program that may take only so much memory."""
    program = OUT / "user" / "limited-python"
    program.write_text(f'#!/bin/bash\nulimit -v {ENOUGH_FOR_HALF_KIB}\nexec "{os.environ["PM_PYTHON"]}" "$@"\n')
    program.chmod(0o755)
    return program


def out_of_memory(window):
    """Fail for want of memory, and try again with half the frames by the button."""
    yield from window.move(300, 700)
    window.key("P", ctrl=True, alt=True)
    yield from wait_for(lambda: jobs.current() is not None and not jobs.running(), 120, "the end of the preview")
    failed = jobs.current()
    assert failed.state is jobs.State.FAILED and failed.lacked_memory, failed.text()
    report["failed"] = failed.text()
    yield 0.5
    window.screenshot("1-out-of-memory.png")
    button = yield from window.find_button("puppet_master.retry", across=0.75, down=0.5)
    yield from window.click(*button)
    yield from wait_for(lambda: jobs.current() is not failed and not jobs.running(), 240, "the cheaper preview")
    assert jobs.current().state is jobs.State.DONE, jobs.current().text()
    report["frames"] = len(list((jobs.current().folder / "frames").iterdir()))
    assert report["frames"] == FRAMES // 2
    window.screenshot("2-half-the-frames.png")
    done("out of memory is told, and the button makes the preview with half the frames")


def download(window, own):
    """Download from a slow hub, stop, go on, and lose the hub."""
    hub = subprocess.Popen(
        [os.environ["PM_PYTHON"], str(Path(__file__).with_name("slow_hub.py"))], stdout=subprocess.PIPE, text=True
    )
    try:
        own.hub_mirror = hub.stdout.readline().strip()
        show_preferences(window)
        yield 1.0
        bpy.ops.puppet_master.pull_model(name="svd", accepted=True)
        yield from wait_for(lambda: pulls.task().share > 0.1 or pulls.task().over, 60, "a part of the download")
        assert pulls.busy(), pulls.task().text()
        scroll_down(window)
        yield 0.5
        window.screenshot("3-downloading.png")
        bpy.ops.puppet_master.cancel_pull()
        yield from wait_for(lambda: not pulls.busy(), 30, "the download's end")
        stopped = report["stopped_at"] = round(pulls.task().share, 3)
        yield 0.5
        window.screenshot("4-cancelled.png")
        bpy.ops.puppet_master.pull_model(name="svd", accepted=True)
        assert hub.stdout.readline().startswith("range "), "the download began anew"
        yield from wait_for(lambda: pulls.task().share > stopped or pulls.task().over, 60, "more of the download")
        assert pulls.busy(), pulls.task().text()
        done("a download shows its progress, stops, and goes on where it was")
    finally:
        hub.kill()
    yield from wait_for(lambda: not pulls.busy(), 120, "the broken download's end")
    report["broken"] = pulls.task().text()
    assert pulls.task().error.kind == "network", report["broken"]
    yield 0.5
    window.screenshot("5-hub-gone.png")
    done("a hub that goes away is told")


def show_preferences(window):
    """The add-on's preferences in the place of the 3D viewport."""
    window.area.ui_type = "PREFERENCES"
    window.kind = "PREFERENCES"
    bpy.context.preferences.active_section = "ADDONS"
    bpy.data.window_managers[0].addon_search = "Puppet"
    bpy.ops.preferences.addon_expand(module=PACKAGE)
    bpy.ops.puppet_master.measure_models()


def scroll_down(window):
    """To the end, where the models are."""
    with bpy.context.temp_override(window=window.window, area=window.area, region=window.region("WINDOW")):
        for _ in range(30):
            bpy.ops.view2d.scroll_down(deltay=60)


def done(step):
    report["steps"].append(step)


run(scenario(), report)

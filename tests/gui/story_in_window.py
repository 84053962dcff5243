# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenario: an animator's way from a scene to a judged preview, on any .blend that has drags stored.

The stored drags say which parts move where. They are taken away and placed again by the mouse; then preview, play,
compare, errors of the drags. The screenshots are those of the documentation.

    SCENARIO=story_in_window HEIGHT=1060 tests/gui/run.sh OUT .venv/bin/python tiny examples/cabinet.blend
"""

import importlib
import os
import sys
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))
from driver import Window, run, wait_for

ROOM = "bl_ext.user_default.puppet_master.addon"
framing, jobs, outcome, translations = (
    importlib.import_module(f"{ROOM}.{name}") for name in ("framing", "jobs", "outcome", "translations")
)
report = {"blender": bpy.app.version_string, "steps": [], "off_at_end": {}}


def scenario():
    window = Window()
    scene = bpy.context.scene
    drags, wanted = scene.puppet_master.drags, stored(scene)
    assert wanted, "the scene has no drags"
    while len(drags):
        bpy.ops.puppet_master.remove_drag(index=0)
    scene.puppet_master.model = os.environ["PM_MODEL"]
    bpy.ops.ed.undo_push(message="Start")
    yield 1.0
    yield from window.open_tab("Puppet")
    button = yield from window.find_button("puppet_master.use_handle_tool")
    yield from window.click(*button)
    yield 0.3
    space = window.area.spaces.active
    space.shading.type = "SOLID"
    space.shading.color_type = "TEXTURE"
    view = space.region_3d
    view.view_camera_zoom, view.view_camera_offset = 8.0, (0.17, 0.0)
    yield 0.5

    for number, path in enumerate(wanted):
        yield from place(window, path, shot="1-pulling.png" if number == 0 else None)
        assert len(drags) == number + 1, (number, len(drags))
    yield from window.move(*at(window, 0.05, 0.95))
    window.key("A", alt=True)
    yield 0.3
    window.screenshot("2-handles.png")
    report["stuck"] = [drag.anchor_state for drag in drags]
    done(f"{len(wanted)} drags were placed by the mouse")

    button = yield from window.find_button("puppet_master.preview()", down=0.3)
    yield from window.click(*button)
    yield from wait_for(lambda: jobs.current() is not None, 60, "the job")
    for _ in range(20):
        window.area.tag_redraw()
        yield 0.1  # panels grow with an animation
    window.screenshot("3-starting.png")
    yield from wait_for(lambda: jobs.current().progress > 0 or not jobs.running(), 600, "its progress")
    window.screenshot("3-running.png")
    yield from wait_for(lambda: not jobs.running(), 600, "the preview")
    assert jobs.current().state is jobs.State.DONE, jobs.current().text()
    report["job"] = jobs.current().text()
    settings = scene.puppet_master_preview
    scene.puppet_master.show_handles = False
    for name, frame in (("4-middle.png", 7), ("5-last.png", 13)):
        scene.frame_set(scene.puppet_master.result_frame + frame)
        yield 0.6
        window.screenshot(name)
    done("the preview lies over the camera's view")
    yield from window.move(*at(window, 0.05, 0.95))
    window.key("A", ctrl=True, alt=True)
    yield from wait_for(lambda: settings.shown == "STILL", 5, "the still")
    yield 0.3
    window.screenshot("6-still.png")
    window.key("A", ctrl=True, alt=True)
    yield from wait_for(lambda: settings.shown == "PREVIEW", 5, "the preview again")
    done("ctrl-alt-A changed between still and preview")
    settings.show_outcome = True
    yield 0.6
    window.screenshot("7-errors.png")
    found = outcome.of_scene(scene)
    report["off_at_end"] = {one.name: round(one.at_end, 4) for one in found}
    assert len(found) == len(wanted)
    done("the drags' errors are drawn over it")
    bpy.ops.puppet_master.play()
    yield 1.5
    assert window.window.screen.is_animation_playing
    window.screenshot("8-playing.png")
    bpy.ops.puppet_master.play()
    yield 0.3
    yield from in_german(window)


def stored(scene):
    """The paths of the drags that the scene came with."""
    return [[(point.x, point.y) for point in drag.points] for drag in scene.puppet_master.drags]


def place(window, path, shot):
    """Place one drag: a pin by a shift-click, else a pull, and a ctrl-pull for its middle."""
    if all(abs(a - b) < 1e-6 for place in path for a, b in zip(place, path[0], strict=True)):
        yield from window.click(*at(window, *path[0]), shift=True)
        yield 0.3
        return
    yield from window.pull(at(window, *path[0]), at(window, *path[-1]), shot=shot)
    yield 0.2
    if len(path) > 2:
        middle = [(a + b) / 2 for a, b in zip(path[0], path[-1], strict=True)]
        yield from window.pull(at(window, *middle), at(window, *path[len(path) // 2]), ctrl=True)
        yield 0.2


def in_german(window):
    """The panels in another language, where this build of Blender has it."""
    view = bpy.context.preferences.view
    try:
        view.language = "de_DE"
    except TypeError:
        report["german"] = "this build of Blender has no de_DE"
        return
    view.use_translate_interface = True
    yield 1.0
    assert translations.translated("Place Handles") == "Griffe setzen"
    window.screenshot("9-german.png")
    done("the panels speak German")


def at(window, x, y):
    """Window pixels of a place on the still."""
    region, space = window.region("WINDOW"), window.area.spaces.active
    frame = framing.in_viewport(bpy.context.scene, space, region, space.region_3d)
    (px, py) = frame.to_region([[x, y]])[0]
    return region.x + round(px), region.y + round(py)


def done(step):
    report["steps"].append(step)


run(scenario(), report)

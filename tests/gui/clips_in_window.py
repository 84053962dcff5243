# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenario: clips of the open shot by the panel's button, cancelled once, and its report.

The shot is a box with a lid, saved, then edited without saving. Afterwards everything must be as it was: the file,
the unsaved changes, selection, frame, settings, and what Ctrl-Z takes back. The window must stay alive meanwhile.
"""

import hashlib
import importlib
import json
import sys
import time
from pathlib import Path

import bpy
from mathutils import Matrix

sys.path.insert(0, str(Path(__file__).parent))
from driver import OUT, Pauses, Window, run, wait_for

PACKAGE = "bl_ext.user_default.puppet_master.data_gen.blender"
runs = importlib.import_module(f"{PACKAGE}.runs")
operators = importlib.import_module(f"{PACKAGE}.operators")
report = {"blender": bpy.app.version_string, "steps": []}
SHOT = OUT / "shot.blend"


def scenario():
    window = Window()
    make_shot()
    bpy.ops.wm.save_as_mainfile(filepath=str(SHOT))
    yield 0.5  # Blender notes the file as saved at its next turn
    saved = digest(SHOT)
    bpy.ops.ed.undo_push(message="The shot")  # what scripts do is no undo step by itself
    bpy.data.objects["lid"].scale.z *= 1.5
    bpy.ops.ed.undo_push(message="A thicker lid")
    yield 0.5
    before = state()
    assert before["dirty"]

    yield from window.open_tab("Puppet")
    yield from open_clips_panel(window)
    window.screenshot("1-panel.png")
    done("the panel is open")

    for hook in (bpy.app.handlers.save_pre, bpy.app.handlers.save_post):
        hook.append(lambda *_: report.setdefault("save_handlers", True))
    settings = bpy.context.scene.puppet_master_clips
    settings.size, settings.views = 512, 50
    button = yield from press_render(window)
    yield from wait_for(lambda: runs.current().progress.stage == "render", 60, "news of the run")
    window.screenshot("2-running.png")
    sidebar, scale = window.region("UI"), bpy.context.preferences.system.ui_scale
    yield from window.click(sidebar.x + 0.83 * sidebar.width, button[1] - 30 * scale)  # the cross below the button
    yield from wait_for(lambda: runs.current().state is not runs.State.RUNNING, 5, "the click on the cross")
    yield from wait_for(lambda: runs.current().state.final, 30, "the cancelled run's end")
    assert runs.current().state is runs.State.CANCELLED, runs.current().text()
    assert state() == before, difference(before)
    report["cancelled"] = runs.current().text()
    window.screenshot("3-cancelled.png")
    done("a run was cancelled")
    settings.size, settings.views = 128, 3

    pauses = Pauses()
    for _ in range(20):
        runs.redraw_panels()
        yield 0.1
    report["longest_pause_by_redraws_alone_s"] = pauses.longest_s
    starts, pumps = watch(operators, "new_run"), watch(runs.Run, "pump")
    began = time.monotonic()
    yield from press_render(window)
    pauses.begin()
    shot = False
    while not runs.current().state.final:
        assert time.monotonic() < began + 900, runs.current().text()
        if not shot and runs.current().progress.share > 0.2:
            window.screenshot("4-rendering.png")
            pauses.leave_out()
            shot = True
        yield 0.05
    report["run"] = runs.current().text()
    report["seconds"] = round(time.monotonic() - began, 2)
    report["longest_pause_s"] = pauses.longest_s
    report["press_s"] = round(max(starts), 4)
    report["longest_pump_s"] = round(max(pumps), 4)
    assert runs.current().state is runs.State.DONE, runs.current().text()
    window.screenshot("5-done.png")
    folder = runs.current().folder
    lines = [json.loads(line) for line in (folder / "ledger.jsonl").read_text("utf-8").splitlines()]
    report["clips"] = [clip for line in lines if line["animation"] for clip in line["clips"]]
    report["files"] = sorted(path.name for path in folder.iterdir())
    assert len(report["clips"]) == bpy.context.scene.puppet_master_clips.views, report["clips"]
    done("the clips are there")

    assert digest(SHOT) == saved, "the saved file changed"
    assert state() == before, difference(before)
    assert "save_handlers" not in report, "handlers for saves were called"
    yield from window.move(300, 400)
    window.key("Z", ctrl=True)
    yield from wait_for(lambda: abs(bpy.data.objects["lid"].scale.z - before["lid"] / 1.5) < 1e-6, 5, "the undo")
    window.key("Z", ctrl=True, shift=True)
    yield from wait_for(lambda: abs(bpy.data.objects["lid"].scale.z - before["lid"]) < 1e-6, 5, "the redo")
    assert state() == before, difference(before)
    done("the shot is as it was, and Ctrl-Z takes back the last edit made by hand")

    page = yield from window.find_button("puppet_master.open_clip_report")
    yield from window.click(*page)
    opened = OUT / "opened.txt"
    yield from wait_for(opened.is_file, 60, "the report in the browser")
    report["opened"] = opened.read_text("utf-8").strip()
    assert (folder / operators.REPORT).stat().st_size > 1000
    done("the report was opened")


def make_shot():
    """The start-up scene's cube as a box, with a lid that opens over 40 frames."""
    scene = bpy.context.scene
    bpy.ops.mesh.primitive_cube_add(size=1.0, location=(0.0, 1.0, 1.1), scale=(2.1, 2.1, 0.2))
    lid = bpy.context.object
    lid.name = "lid"
    lid.data.transform(Matrix.Translation((0.0, -0.5, 0.0)))
    for frame, angle in ((1, 0.0), (40, -1.4)):
        lid.rotation_euler.x = angle
        lid.keyframe_insert("rotation_euler", frame=frame)
    scene.frame_end = 40
    scene.frame_set(7)
    scene.puppet_master_clips.out = str(OUT / "clips")


def state():
    """What must be as it was."""
    scene = bpy.context.scene
    lid = bpy.data.objects["lid"]
    return {
        "dirty": bpy.data.is_dirty, "file": bpy.data.filepath, "frame": scene.frame_current,
        "selected": sorted(item.name for item in bpy.context.view_layer.objects if item.select_get()),
        "active": bpy.context.view_layer.objects.active.name, "mode": bpy.context.mode,
        "engine": scene.render.engine, "size": (scene.render.resolution_x, scene.render.resolution_y),
        "output": scene.render.filepath, "format": scene.render.image_settings.file_format,
        "camera": scene.camera.name, "objects": sorted(item.name for item in bpy.data.objects),
        "actions": sorted(action.name for action in bpy.data.actions), "lid": lid.scale.z,
        "preferences": (bpy.context.preferences.is_dirty, bpy.context.preferences.filepaths.file_preview_type),
    }  # fmt: skip


def difference(before):
    after = state()
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


def open_clips_panel(window):
    """Close the panels above by clicks on their headers, the first at the top, and open ours below them."""
    sidebar = window.region("UI")
    pitch = 25 * bpy.context.preferences.system.ui_scale
    for number in (0, 1, 2, 4):  # Still, Drags and Preview are open; History, the fourth, is closed; ours is the fifth
        yield from window.click(sidebar.x + sidebar.width * 0.4, sidebar.y + sidebar.height - pitch * (number + 0.5))
        yield 0.4  # the panel closes with an animation


def press_render(window):
    button = yield from window.find_button("puppet_master.render_clips")
    old = runs.current()
    yield from window.click(*button)
    yield from wait_for(lambda: runs.current() is not old, 20, "the run")
    return button


def watch(owner, name):
    """How long each call of a function takes from now on."""
    spent, function = [], getattr(owner, name)

    def timed(*arguments):
        began = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            spent.append(time.perf_counter() - began)

    setattr(owner, name, timed)
    return spent


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def done(step):
    report["steps"].append(step)


run(scenario(), report)

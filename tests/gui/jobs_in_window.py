# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenario: previews by the button; played, compared, saved; cancelled in mid-job; the backend killed under them.

MODEL is one that samples in steps (`tests/random_model.py` makes one), so that there is time to look at estimates;
the first preview is the embedded model's.
"""

import importlib
import os
import signal
import sys
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))
from driver import OUT, Pauses, Window, run, wait_for
from preview_in_window import make_box

PACKAGE = "bl_ext.user_default.puppet_master"
jobs, link, pace, state, pulls = (
    importlib.import_module(f"{PACKAGE}.addon.{name}")
    for name in ("jobs", "backend_link", "pace", "backend_state", "model_pull")
)
report = {"blender": bpy.app.version_string, "steps": []}
STEPS = 4000


def scenario():
    window = Window()
    make_box()
    scene = bpy.context.scene
    settings, more = scene.puppet_master, scene.puppet_master_preview
    bpy.ops.ed.undo_push(message="Start")
    yield 1.0
    yield from window.open_tab("Puppet")
    yield 0.5
    window.screenshot("01-panel.png")
    done("the panel says how the backend stands")

    pauses = Pauses()
    yield from window.move(300, 700)
    window.key("P", ctrl=True, alt=True)
    yield from wait_for(lambda: jobs.current() is not None, 60, "the job")
    window.screenshot("02-starting.png")
    pauses.begin()
    yield from wait_for(lambda: not jobs.running(), 120, "the preview")
    report["longest_pause_s"] = pauses.longest_s
    assert jobs.current().state is jobs.State.DONE, jobs.current().text()
    yield 1.0
    window.screenshot("03-done.png")
    done("the embedded model's preview is there")

    window.area.spaces.active.region_3d.view_perspective = "CAMERA"
    yield from window.move(300, 500)
    scene.frame_set(settings.result_frame + 13)
    yield 0.5
    window.screenshot("04-last-frame.png")
    yield from press(window, "puppet_master.compare", across=0.83, down=0.5)
    yield from wait_for(lambda: more.shown == "STILL", 5, "the still")
    window.screenshot("05-still.png")
    yield from press(window, "puppet_master.compare", across=0.83, down=0.5)
    yield from wait_for(lambda: more.shown == "PREVIEW", 5, "the preview again")
    yield from press(window, "puppet_master.play", across=0.3, down=0.5)
    yield 1.0
    assert window.window.screen.is_animation_playing
    assert (scene.frame_preview_start, scene.frame_preview_end) == (1, 14)
    yield from press(window, "puppet_master.play", across=0.3, down=0.5)
    yield from wait_for(lambda: not window.window.screen.is_animation_playing, 5, "the stop")
    more.show_outcome = True
    scene.frame_set(10)
    yield 0.5
    window.screenshot("05a-drag-errors.png")
    done("it plays, and changes with its still")

    yield from in_image_editor(window)
    done("it is in the Image Editor")
    yield from press(window, "puppet_master.send_to_sequencer")
    editor = scene.sequence_editor
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    assert [strip.frame_final_duration for strip in strips] == [14]
    done("it is in the Sequencer")
    bpy.ops.puppet_master.export(filepath=str(OUT / "saved"), file_format="GIF")
    yield from wait_for(lambda: (OUT / "saved.gif").is_file(), 60, "the GIF")
    done("it is saved as a GIF by the backend's Python")

    settings.model, more.quality, settings.steps, more.variations = os.environ["PM_MODEL"], "CUSTOM", STEPS, 3
    yield 1.0
    yield from press(window, "puppet_master.preview()")
    yield from wait_for(lambda: len(jobs.under_way()) == 3, 20, "three jobs")
    first = jobs.under_way()[0]
    yield from wait_for(lambda: first.estimate is not None, 60, "an estimate")
    yield 0.7
    window.screenshot("06-estimate.png")
    done("three variations wait or run, with an estimate of the first")
    yield from press(window, f"puppet_master.cancel(serial={first.serial})", across=0.83, down=0.4)
    yield from wait_for(lambda: first.state is jobs.State.CANCELLED, 30, "the cancelled job")
    yield from wait_for(lambda: jobs.under_way()[0].state is jobs.State.RUNNING, 30, "the next job")
    yield 0.5
    window.screenshot("07-one-cancelled.png")
    done("one was cancelled in mid-job, the next runs")

    running, waiting = jobs.under_way()
    os.kill(link.pid(), signal.SIGKILL)
    yield from wait_for(lambda: running.state is jobs.State.FAILED, 30, "the failed job")
    yield from wait_for(lambda: waiting.state is jobs.State.RUNNING, 60, "the waiting job on a new backend")
    yield 0.7
    report["killed"] = running.text()
    window.screenshot("08-killed-once.png")
    done("the backend was killed: what ran failed with the reason, what waited runs on a new one")
    os.kill(link.pid(), signal.SIGKILL)
    yield from wait_for(lambda: not jobs.running(), 30, "the end")
    yield from press(window, "puppet_master.preview()")
    yield from wait_for(lambda: len(jobs.listed()) >= 7 and not jobs.running(), 30, "the refusals")
    yield 0.7
    report["refused"] = jobs.current().text()
    assert link.pid() is None
    window.screenshot("09-not-again.png")
    done("killed twice, it is not started again by itself")
    yield from press(window, "puppet_master.restart_backend", across=0.85)
    yield from wait_for(lambda: state.shown().state is state.State.READY, 60, "the restarted backend")
    window.screenshot("10-restarted.png")
    done("Restart Backend mends it")

    yield from saved_and_opened(window)
    done("saved and opened again, the file has its previews")
    yield from preferences(window)
    done("the preferences show the backend, the models and the log; a download asks about its licences first")
    report["main_thread_ms"] = {what: round(seconds * 1000, 1) for what, seconds in pace.longest().items()}
    report["backend_pid"] = link.pid()


def press(window, operator, across=0.5, down=0.3):
    """Find a button of the sidebar by what it calls, and click it."""
    button = yield from window.find_button(operator, across, down)
    yield from window.click(*button)
    yield 0.2


def in_image_editor(window):
    """Turn the 3D viewport into an Image Editor and show the preview there."""
    area = window.area
    area.ui_type = "IMAGE_EDITOR"
    yield 0.5
    bpy.ops.puppet_master.show_in_image_editor()
    yield 0.5
    assert area.spaces.active.image.name.startswith("Puppet Preview")
    assert area.spaces.active.image_user.frame_duration == 14
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window.window, area=area, region=region):
        bpy.ops.image.view_all(fit_view=True)
    yield 0.5
    window.screenshot("05b-image-editor.png")
    area.ui_type = "VIEW_3D"
    yield 0.5


def saved_and_opened(window):
    """The file with its previews, after the start-up scene was in between."""
    settings = bpy.context.scene.puppet_master
    before = settings.result_folder, len(bpy.context.scene.puppet_master_preview.history)
    assert before[0]
    path = str(OUT / "box.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile()
    yield 0.5
    assert not bpy.context.scene.puppet_master.result_folder
    bpy.ops.wm.open_mainfile(filepath=path)
    yield 1.0
    scene = bpy.context.scene
    after = scene.puppet_master.result_folder, len(scene.puppet_master_preview.history)
    assert [after[0], after[1]] == [before[0], before[1]], (before, after)
    window.area.spaces.active.region_3d.view_perspective = "CAMERA"
    scene.frame_set(scene.puppet_master.result_frame + 13)
    yield 0.7
    window.screenshot("10b-opened-again.png")


def preferences(window):
    """The add-on's preferences, in the place of the 3D viewport."""
    own = bpy.context.preferences.addons[PACKAGE].preferences
    own.show_log = True
    bpy.ops.puppet_master.measure_models()
    area = window.area
    area.ui_type = "PREFERENCES"
    bpy.context.preferences.active_section = "ADDONS"
    bpy.data.window_managers[0].addon_search = "Puppet"
    bpy.ops.preferences.addon_expand(module=PACKAGE)
    yield 1.5
    window.screenshot("11-preferences.png")
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window.window, area=area, region=region):
        for _ in range(30):
            bpy.ops.view2d.scroll_down(deltay=60)
    yield 1.0
    window.screenshot("12-models.png")
    yield from window.move(area.x + area.width // 2, area.y + area.height // 2)
    with bpy.context.temp_override(window=window.window, area=area, region=region):
        bpy.ops.puppet_master.pull_model("INVOKE_DEFAULT", name="svd")
    yield 1.0
    window.screenshot("13-licences.png")
    window.key("ESC")
    yield 0.5
    assert pulls.task() is None, pulls.task().text()
    area.ui_type = "VIEW_3D"


def done(step):
    report["steps"].append(step)


run(scenario(), report)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenario: 2,000 random clicks, pulls and keys on the handle tool. No traceback, and the drags stay valid.

PM_SEED repeats a run. What run.sh finds in the console counts too.
"""

import importlib
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))
from driver import Window, run

handles = importlib.import_module("bl_ext.user_default.puppet_master.addon.handles")
EVENTS = 2000
SEED = int(os.environ.get("PM_SEED", "1"))
KEYS = ("X", "A", "B", "G", "E", "H", "ESC", "RET", "DEL", "D", "M", "Z", "LEFT_ARROW", "RIGHT_ARROW")
report = {"blender": bpy.app.version_string, "seed": SEED, "steps": []}
rng = random.Random(SEED)


def scenario():
    window = Window()
    bpy.context.scene.puppet_master.still_size = 64
    window.area.spaces.active.show_region_ui = True
    yield 0.3
    yield from window.open_tab("Puppet")
    button = yield from window.find_button("puppet_master.use_handle_tool")
    yield from window.click(*button)
    window.area.spaces.active.show_region_ui = False
    yield 0.3
    counts, most, began = Counter(), 0, time.monotonic()
    for number in range(EVENTS):
        kind = rng.choices(("click", "pull", "key", "half"), (4, 4, 5, 1))[0]
        counts[kind] += 1
        yield from event(window, kind)
        check()
        most = max(most, len(drags()))
        if len(drags()) > 25:  # as many as nobody has: more only slow the storm down
            drags().clear()
        if number % 25 == 24:
            look_through_camera(window)
            yield 0.05
        if number % 200 == 199:
            print(f"{number + 1} events in {time.monotonic() - began:.0f} s", flush=True)
    window.key("ESC")
    window.event("LEFTMOUSE", "RELEASE")
    yield 0.3
    window.screenshot("storm.png")
    check()
    report.update(events=dict(counts), most_drags=most, seconds=round(time.monotonic() - began, 1))
    assert counts.total() == EVENTS
    report["steps"].append(f"{EVENTS} random events left {len(drags())} drags, all valid")


def event(window, kind):
    begin = place(window)
    modifiers = rng.choice(({}, {}, {}, {"shift": True}, {"ctrl": True}))
    if kind == "click":
        quick_move(window, begin)
        window.event("LEFTMOUSE", "PRESS", **modifiers)
        window.event("LEFTMOUSE", "RELEASE")
    elif kind == "pull":
        quick_move(window, begin)
        window.event("LEFTMOUSE", "PRESS", **modifiers)
        for _ in range(rng.randint(0, 3)):
            quick_move(window, place(window))
        window.event(rng.choice(("LEFTMOUSE", "LEFTMOUSE", "LEFTMOUSE", "RIGHTMOUSE")), "RELEASE")
        window.event("LEFTMOUSE", "RELEASE")
    elif kind == "half":  # a press whose release comes with some later event
        quick_move(window, begin)
        window.event("LEFTMOUSE", "PRESS", **modifiers)
    else:
        key = rng.choice(KEYS)
        wanted = {"D": {"shift": True}, "M": {"ctrl": True}, "Z": {"ctrl": True, "shift": rng.random() < 0.4}}
        window.key(key, **wanted.get(key, {}))
    yield 0.01


def quick_move(window, where):
    """A move in the same tick as what follows: drawing the window takes most of the time."""
    window._mouse = where
    window.event("MOUSEMOVE", "NOTHING")


def place(window):
    """Somewhere in the viewport between the toolbar and the navigation gizmo."""
    region = window.region("WINDOW")
    return region.x + rng.randint(70, region.width - 110), region.y + rng.randint(30, region.height - 60)


def look_through_camera(window):
    scene = bpy.context.scene
    if scene.camera is not None:
        window.area.spaces.active.region_3d.view_perspective = "CAMERA"


def drags():
    return bpy.context.scene.puppet_master.drags


def check():
    """Every stored drag is one that the backend takes."""
    for item in drags():
        handles.to_drag(item)


run(scenario(), report)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenario: the handle tool by the X server's own pointer (xdotool), which sends far fewer moves.

Run it with SIMULATE= before: simulated events shut real ones out.
"""

import importlib
import subprocess
import sys
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))
from driver import Window, run

framing = importlib.import_module("bl_ext.user_default.puppet_master.addon.framing")
report = {"blender": bpy.app.version_string, "steps": []}


def scenario():
    window = Window()
    yield 1.0
    with bpy.context.temp_override(window=window.window, area=window.area, region=window.region("WINDOW")):
        bpy.ops.puppet_master.use_handle_tool()
    yield 1.0
    pointer("mousemove", *at(window, 0.5, 0.5))
    yield 0.5
    pointer("mousedown", 1)
    yield 0.3
    pointer("mousemove", *at(window, 0.3, 0.3))
    yield 0.3
    pointer("mouseup", 1)
    yield 0.5
    drags = bpy.context.scene.puppet_master.drags
    assert len(drags) == 1, len(drags)
    places = [(point.x, point.y) for point in drags[0].points]
    expected = [(0.5, 0.5), (0.3, 0.3)]
    off = max(abs(a - b) for got, wanted in zip(places, expected, strict=True)
              for a, b in zip(got, wanted, strict=True))  # fmt: skip
    assert off < 0.01, places
    report["steps"].append("one press, one move and one release made a drag where they were")
    for words in (("mousemove", *at(window, 0.4, 0.7)), ("keydown", "shift"), ("click", 1), ("keyup", "shift")):
        pointer(*words)
        yield 0.4
    yield 0.8
    assert len(bpy.context.scene.puppet_master.drags) == 2
    report["steps"].append("shift and a click made a pin")
    pointer("key", "ctrl+z")
    yield 0.8
    assert len(bpy.context.scene.puppet_master.drags) == 1
    report["steps"].append("ctrl-Z took it back")
    window.screenshot("pointer.png")


def pointer(*words):
    subprocess.run(["xdotool", *map(str, words)], check=True)


def at(window, x, y):
    """Screen pixels, from the top left, of a place on the still."""
    region, space = window.region("WINDOW"), window.area.spaces.active
    px, py = framing.in_viewport(bpy.context.scene, space, region, space.region_3d).to_region([[x, y]])[0]
    return region.x + round(px), window.window.height - 1 - (region.y + round(py))


run(scenario(), report)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives a Blender window: a scenario is a generator stepped by a timer, each `yield` the seconds to wait.

Needs `--enable-event-simulate`. Coordinates are window pixels, origin bottom left.
"""

import json
import os
import subprocess
import time
import traceback
from pathlib import Path

import bpy

OUT = Path(os.environ["PM_OUT"])
PATIENCE = 5  # a loaded computer is no failure of the add-on


class Pauses:
    """The longest that Blender left a timer of 10 ms waiting: how long the window stood still."""

    def __init__(self):
        self.longest_s = 0.0
        self.begin()
        bpy.app.timers.register(self._tick)

    def begin(self):
        """Forget what was measured."""
        self.longest_s = 0.0
        self.leave_out()

    def leave_out(self):
        """Do not count the time since the last tick: the scenario itself held the window, by a screenshot."""
        self._last = None

    def _tick(self):
        now = time.monotonic()
        if self._last is not None:
            self.longest_s = max(self.longest_s, round(now - self._last, 3))
        self._last = now
        return 0.01


class Window:
    """The first window, its 3D viewport's sidebar, and the mouse."""

    def __init__(self, kind="VIEW_3D"):
        self.kind = kind
        self._mouse = (10, 10)

    @property
    def window(self):
        return bpy.context.window_manager.windows[0]

    @property
    def area(self):
        return next(area for area in self.window.screen.areas if area.type == self.kind)

    def region(self, kind):
        return next(region for region in self.area.regions if region.type == kind)

    def event(self, kind, value, **modifiers):
        self.window.event_simulate(type=kind, value=value, x=self._mouse[0], y=self._mouse[1], **modifiers)

    def move(self, x, y):
        # Twice: the first move only tells the interface which button is under the mouse.
        for _ in range(2):
            self._mouse = (int(x), int(y))
            self.event("MOUSEMOVE", "NOTHING")
            yield 0.04

    def click(self, x, y, **modifiers):
        yield from self.move(x, y)
        for value in ("PRESS", "RELEASE"):
            self.event("LEFTMOUSE", value, **modifiers)
            yield 0.05

    def pull(self, begin, end, steps=4, shot=None, **modifiers):
        """Press, move and release; a screenshot before the release if it gets a name."""
        yield from self.move(*begin)
        self.event("LEFTMOUSE", "PRESS", **modifiers)
        yield 0.05
        for step in range(1, steps + 1):
            along = step / steps
            yield from self.move(*(a + (b - a) * along for a, b in zip(begin, end, strict=True)))
        if shot:
            self.screenshot(shot)
        self.event("LEFTMOUSE", "RELEASE")
        yield 0.1

    def key(self, kind, **modifiers):
        self.window.event_simulate(
            type=kind, value="PRESS", x=self._mouse[0], y=self._mouse[1], **modifiers
        )
        self.window.event_simulate(
            type=kind, value="RELEASE", x=self._mouse[0], y=self._mouse[1], **modifiers
        )

    def open_tab(self, name):
        """Click down the sidebar's strip of tabs until the one called `name` is open."""
        self.area.spaces.active.show_region_ui = True
        yield 0.3
        sidebar = self.region("UI")
        for y in range(sidebar.y + sidebar.height - 10, sidebar.y + 10, -12):
            yield from self.click(sidebar.x + sidebar.width - 8, y)
            yield 0.05
            if sidebar.active_panel_category == name:
                return
        raise AssertionError(f"the sidebar has no tab {name}")

    def find_button(self, operator, across=0.5, down=0.0):
        """Sweep the mouse down the sidebar, from `down` of its height; gives the middle of `operator`'s button.

        A second time slowly, if need be: a window that draws much takes in moves late.
        """
        sidebar = self.region("UI")
        x = sidebar.x + int(sidebar.width * across)
        for pause in (0.0, 0.25):
            hits = []
            for y in range(sidebar.y + int(sidebar.height * (1 - down)) - 4, sidebar.y + 4, -7):
                yield from self.move(x, y)
                if pause:
                    yield pause
                if operator in self._hovered(sidebar):
                    hits.append(y)
                elif hits:
                    break
            if hits:
                return x, sum(hits) // len(hits)
        raise AssertionError(f"no button for {operator} at {across:.2f} of the sidebar")

    def _hovered(self, region):
        manager = bpy.context.window_manager
        with bpy.context.temp_override(window=self.window, area=self.area, region=region):
            if not bpy.ops.ui.copy_python_command_button.poll():
                return ""
            manager.clipboard = ""
            bpy.ops.ui.copy_python_command_button()
            return manager.clipboard

    def screenshot(self, name):
        with bpy.context.temp_override(window=self.window, screen=self.window.screen):
            bpy.ops.wm.redraw_timer(type="DRAW_WIN_SWAP", iterations=1)
        subprocess.run(["import", "-window", "root", str(OUT / name)], check=True)


def wait_for(condition, seconds, what):
    """Yield until `condition` holds; `seconds` are those that do on a computer with nothing else to do."""
    deadline = time.monotonic() + PATIENCE * seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE * seconds} s in vain for {what}"
        yield 0.1


def run(scenario, report):
    """Run a scenario to its end, write `report` and how it went to OUT/result.json, and quit Blender."""
    report["passed"] = False

    def step():
        try:
            return next(scenario)
        except StopIteration:
            report["passed"] = True
        except Exception:  # noqa: BLE001 - whatever it was, it must reach the result file
            report["error"] = traceback.format_exc()
        (OUT / "result.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        bpy.ops.wm.quit_blender()
        return None

    # Persistent: a scenario may open another file.
    bpy.app.timers.register(step, first_interval=0.5, persistent=True)

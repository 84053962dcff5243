# SPDX-License-Identifier: GPL-3.0-or-later
"""How the backend stands, in one word and with the button that mends it; worked out by a timer for panels to draw."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

import bpy
from bpy.app.handlers import persistent

from ..backend.errors import PuppetMasterError, RequirementError
from . import backend_link, install, jobs, model_pull, models, pace, preferences
from .backend_link import Phase
from .install import Condition

TICK_S = 0.5
LOG_LINES = 14
LOG_BYTES = 8192


class State(Enum):
    """The backend's state; the value is the word shown to the user."""

    NOT_INSTALLED = "Not installed"
    INSTALLING = "Installing"
    STOPPED = "Stopped"
    STARTING = "Starting"
    READY = "Ready"
    BUSY = "Busy"
    FAILED = "Failed"


ICONS = {
    State.NOT_INSTALLED: "IMPORT",
    State.INSTALLING: "SORTTIME",
    State.STOPPED: "PAUSE",
    State.STARTING: "SORTTIME",
    State.READY: "CHECKMARK",
    State.BUSY: "RENDER_ANIMATION",
    State.FAILED: "ERROR",
}


@dataclass(frozen=True)
class Shown:
    """What panels show.

    Attributes:
        state: the state.
        why: what is wrong, or what the user should know; may be empty.
        mend: operator that mends it; empty if there is nothing to mend.
        mend_text: words on its button.
        found: what is installed.
        online: whether Blender may go online.
        log: last lines of the backend's log.
        missing: models that can be downloaded and are not there.
    """

    state: State = State.STOPPED
    why: str = ""
    mend: str = ""
    mend_text: str = ""
    found: install.Found | None = None
    online: bool = False
    log: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


_shown = Shown()


def shown() -> Shown:
    """The state as of the last look."""
    return _shown


def refresh() -> Shown:
    """Look afresh; for the timer, and for scripts, which have none."""
    global _shown
    found = install.look(preferences.backend_root())
    state, why, mend, text = _judge(found)
    _shown = Shown(state, why, mend, text, found, bool(bpy.app.online_access), _log_lines(), model_pull.missing())
    for scene in bpy.data.scenes:
        models.look_up(scene.puppet_master.model)
    return _shown


def _judge(found: install.Found) -> tuple[State, str, str, str]:
    if install.busy():
        task = install.task()
        return State.INSTALLING, task.text() if task else "", "puppet_master.cancel_install", "Cancel"
    if problem := _missing_python():
        words = {Condition.INCOMPLETE: "Go On Installing"}.get(found.condition, "Install Backend")
        failed = install.task()
        if failed is not None and failed.error is not None and failed.error.kind != "cancelled":
            return State.FAILED, failed.text(), "puppet_master.install_backend", words
        return State.NOT_INSTALLED, problem, "puppet_master.install_backend", words
    phase, why = backend_link.phase()
    if phase is Phase.FAILED:
        return State.FAILED, why, "puppet_master.restart_backend", "Restart Backend"
    if phase is Phase.STARTING:
        return State.STARTING, "", "puppet_master.stop_backend", "Stop"
    if phase is Phase.READY:
        return (State.BUSY if jobs.running() else State.READY), "", "", ""
    note = "made for another version of the add-on: upgrade it" if found.condition is Condition.OUTDATED else ""
    return State.STOPPED, note, "", ""


def _missing_python() -> str:
    """Why no Python can run the backend; empty if one can."""
    try:
        preferences.backend_python()
    except RequirementError as error:
        return str(error)
    return ""


def _log_lines() -> tuple[str, ...]:
    """The log's end; read only while it is shown."""
    own, path = preferences.own(), backend_link.log()
    if own is None or not own.show_log or path is None:
        return ()
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError as error:
        return (f"the log {path} cannot be read: {error.strerror}",)
    return tuple(text.splitlines()[-LOG_LINES:])


def tick() -> float:
    """The timer: look, and draw again if anything is different."""
    before = _shown
    with pace.measured("watching the backend"):
        try:
            refresh()
        except (PuppetMasterError, OSError):  # a folder that went away: the next look may find it
            return TICK_S
        if _shown != before:
            jobs.redraw_panels()
    return TICK_S


_own_render = False


@contextmanager
def own_render() -> Iterator[None]:
    """Renders within the block are stills: the weights are needed right after them."""
    global _own_render
    _own_render = True
    try:
        yield
    finally:
        _own_render = False


@persistent
def _before_render(*_: object) -> None:
    own = preferences.own()
    if own is None or not own.free_before_render or _own_render:
        return
    if (client := backend_link.client()) is not None:
        backend_link.in_background(client.rest)


def register() -> None:
    """Start the timer and listen for renders."""
    # Persistent: the state concerns no file.
    bpy.app.timers.register(tick, first_interval=TICK_S, persistent=True)
    bpy.app.handlers.render_init.append(_before_render)


def unregister() -> None:
    """Stop the timer and the listening."""
    global _shown
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    if _before_render in bpy.app.handlers.render_init:
        bpy.app.handlers.render_init.remove(_before_render)
    _shown = Shown()
    models.forget()

# SPDX-License-Identifier: GPL-3.0-or-later
"""How the preferences look: the backend's state and buttons, its settings, models, log. Draws state, changes none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpy.types import Context, UILayout

from ..backend.published import PUBLISHED
from . import backend_state, drawing, install, model_pull, models
from .backend_state import State
from .install import Condition

if TYPE_CHECKING:
    from .preferences import Preferences


def draw(preferences: Preferences, layout: UILayout, context: Context) -> None:
    """Draw everything."""
    shown = backend_state.shown()
    _draw_state(layout.box(), context, shown)
    _draw_environment(layout.box(), context, preferences, shown)
    _draw_running(layout.box(), preferences)
    _draw_results(layout.box(), preferences)
    _draw_models(layout.box(), context, preferences, shown)
    _draw_help(layout.box(), context, preferences, shown)


def _draw_state(layout: UILayout, context: Context, shown: backend_state.Shown) -> None:
    row = layout.row()
    row.alert = shown.state is State.FAILED
    row.label(text=f"Backend: {shown.state.value}", icon=backend_state.ICONS[shown.state])
    buttons = row.row(align=True)
    if shown.mend:
        buttons.operator(shown.mend, text=shown.mend_text)
    elif shown.state is State.STOPPED:
        buttons.operator("puppet_master.start_backend", icon="PLAY")
    else:
        buttons.operator("puppet_master.restart_backend", icon="FILE_REFRESH")
        buttons.operator("puppet_master.stop_backend", icon="SNAP_FACE")
    if shown.why and shown.state is not State.INSTALLING:
        drawing.draw_text(layout, context, drawing.without_log(shown.why))
    if (task := install.task()) is not None:
        _draw_task(layout, context, task)


def _draw_task(layout: UILayout, context: Context, task: object) -> None:
    if not task.over:
        layout.progress(factor=task.share, text=task.text())
    elif task.error is not None:
        drawing.draw_text(layout, context, task.text(), "ERROR")
    else:
        layout.label(text=f"{task.title}: done", icon="CHECKMARK")
    for note in task.notes:
        drawing.draw_text(layout, context, note, "INFO")


def _draw_environment(
    layout: UILayout, context: Context, preferences: Preferences, shown: backend_state.Shown
) -> None:
    found = shown.found
    if found is None:
        layout.label(text="Looking what is installed")
        return
    row = layout.row()
    whole = found.condition in (Condition.COMPLETE, Condition.OUTDATED)
    unused = ", not used" if whole and preferences.backend_python else ""
    row.label(text=f"Environment: {found.condition.value}{unused}", icon="PACKAGE")
    buttons = row.row(align=True)
    if whole:
        words = "Upgrade" if found.condition is Condition.OUTDATED else "Reinstall"
        buttons.operator("puppet_master.install_backend", text=words, icon="IMPORT")
        buttons.operator("puppet_master.verify_backend", icon="CHECKMARK")
        buttons.operator("puppet_master.uninstall_backend", text="Uninstall", icon="TRASH")
    else:
        words = "Go On Installing" if found.condition is Condition.INCOMPLETE else "Install"
        buttons.operator("puppet_master.install_backend", text=words, icon="IMPORT")
        if found.condition is Condition.INCOMPLETE:
            buttons.operator("puppet_master.uninstall_backend", text="Remove", icon="TRASH")
    if found.about:
        about = found.about
        words = f"PyTorch {about.get('torch')}, Python {about.get('python')}, {about.get('packages')} packages"
        layout.label(text=f"{words}, {about.get('when')}")
    if not (shown.online or install.is_local(preferences.index_url)):
        words = f"Installing needs the network; allow it under {install.WHERE_TO_ALLOW}"
        drawing.draw_text(layout, context, words, "INTERNET_OFFLINE")
    column = drawing.split_column(layout)
    for name in ("build", "index_url", "backend_python"):
        column.prop(preferences, name)


def _draw_running(layout: UILayout, preferences: Preferences) -> None:
    column = drawing.split_column(layout)
    for name in ("device", "memory_mode", "memory", "idle_minutes", "free_before_render"):
        column.prop(preferences, name)


def _draw_results(layout: UILayout, preferences: Preferences) -> None:
    column = drawing.split_column(layout)
    column.prop(preferences, "output_folder")
    column.prop(preferences, "history_limit")


def _draw_models(layout: UILayout, context: Context, preferences: Preferences, shown: backend_state.Shown) -> None:
    row = layout.row()
    row.label(text="Models", icon="FILE_3D")
    row.operator("puppet_master.measure_models", icon="FILE_REFRESH")
    for model in models.measured() or ():
        line = layout.row()
        line.label(text=model.name)
        line.label(text=f"{model.size / 1e6:.1f} MB")
        line.label(text=f"SHA-256 {model.hash[:12]}" if model.hash else "damaged")
        line.label(text=model.licence)
        if not model.is_embedded:
            line.operator("puppet_master.remove_model", text="", icon="TRASH").name = model.name
        if model.fault:
            drawing.draw_text(layout, context, model.fault, "ERROR")
    for name in shown.missing:
        line = layout.row()
        line.label(text=f"{name}: {PUBLISHED[name].bytes / 1e9:.1f} GB to download")
        button = line.row()
        button.enabled = not model_pull.busy()
        button.operator("puppet_master.pull_model", icon="IMPORT").name = name
    if shown.missing and not (shown.online or install.is_local(preferences.hub_mirror)):
        words = f"Downloading needs the network; allow it under {install.WHERE_TO_ALLOW}"
        drawing.draw_text(layout, context, words, "INTERNET_OFFLINE")
    if (task := model_pull.task()) is not None:
        _draw_task(layout, context, task)
        if not task.over:
            layout.operator("puppet_master.cancel_pull", icon="X")
    drawing.split_column(layout).prop(preferences, "hub_mirror")


def _draw_help(layout: UILayout, context: Context, preferences: Preferences, shown: backend_state.Shown) -> None:
    row = layout.row(align=True)
    row.prop(preferences, "show_log", icon="TRIA_DOWN" if preferences.show_log else "TRIA_RIGHT", emboss=False)
    row.operator("puppet_master.open_log", icon="TEXT")
    row.operator("puppet_master.copy_report", icon="COPYDOWN")
    if preferences.show_log:
        column = layout.column(align=True)
        column.scale_y = 0.7
        for line in shown.log or ("The backend has written nothing yet",):
            column.label(text=line)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel "Training Clips" in the viewport's "Puppet" tab. It draws state and changes none."""

from __future__ import annotations

import textwrap

import bpy
from bpy.types import Context, Panel, UILayout

from . import runs
from .operators import CancelClips, OpenClipReport, RenderClips
from .settings import FILES, PROCEDURAL, SHOWN

LETTER_PIXELS = 7.0  # width of an average letter at interface scale 1
ONLY_SAMPLED = ("samples", "device")  # of no use to Workbench


class TrainingClipsPanel(Panel):
    """Source and settings of training clips, the button, and how far they are."""

    bl_idname = "PUPPETMASTER_PT_clips"
    bl_label = "Training Clips"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Puppet"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 10  # after the add-on's own panels

    def draw(self, context: Context) -> None:
        """Draw the settings, the button, and the progress or the result."""
        settings = context.scene.puppet_master_clips
        column = self.layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        column.prop(settings, "source")
        if settings.source == FILES:
            column.prop(settings, "assets")
        elif settings.source == PROCEDURAL:
            column.prop(settings, "kind")
            column.prop(settings, "count")
        for name in SHOWN:
            if name not in ONLY_SAMPLED or settings.engine != "workbench":
                column.column(align=True).prop(settings, name)  # several choices stand below each other
        column.prop(settings, "out")
        button = self.layout.row()
        button.scale_y = 1.4
        button.operator(RenderClips.bl_idname, icon="RENDER_ANIMATION")
        run = runs.current()
        if run is not None:
            _draw_run(self.layout, context, run)
        self.layout.operator(OpenClipReport.bl_idname, icon="URL")


def _draw_run(layout: UILayout, context: Context, run: runs.Run) -> None:
    if not run.state.final:
        row = layout.row(align=True)
        row.progress(factor=run.progress.share, text=run.text())
        row.operator(CancelClips.bl_idname, text="", icon="X")
    else:
        _draw_text(layout, context, run.text(), "ERROR" if run.state is runs.State.FAILED else "INFO")
        _draw_text(layout, context, str(run.folder), "FILE_FOLDER")
    for note in run.notes:
        _draw_text(layout, context, note, "ERROR")


def _draw_text(layout: UILayout, context: Context, text: str, icon: str) -> None:
    """A text broken into lines as wide as the panel: labels do not wrap by themselves."""
    letters = int(context.region.width / (LETTER_PIXELS * context.preferences.system.ui_scale)) - 6
    column = layout.column(align=True)
    for number, line in enumerate(textwrap.wrap(text, max(letters, 16))):
        column.label(text=line, icon=icon if number == 0 else "BLANK1")


def register() -> None:
    """Register the panel."""
    bpy.utils.register_class(TrainingClipsPanel)


def unregister() -> None:
    """Unregister the panel."""
    bpy.utils.unregister_class(TrainingClipsPanel)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The "Puppet" tab in the 3D viewport. Panels draw state and change none."""

import bpy
from bpy.types import Context, Panel, UILayout

from . import jobs
from .layout import PuppetTab, draw_text, split_column
from .operators import CancelPreview, LoadResult, Preview


class PreviewPanel(PuppetTab, Panel):
    """The preview: its settings, its button and how far it is."""

    bl_idname = "PUPPETMASTER_PT_preview"
    bl_label = "Preview"

    def draw(self, context: Context) -> None:
        """Draw the settings, and the button or the progress."""
        settings = context.scene.puppet_master
        column = split_column(self.layout)
        column.prop(settings, "model")
        column.prop(settings, "seed")
        column.prop(settings, "use_model_defaults")
        own = column.column()
        own.active = not settings.use_model_defaults
        own.prop(settings, "frames")
        own.prop(settings, "steps")
        guidance = own.column(align=True)
        guidance.prop(settings, "guidance_first")
        guidance.prop(settings, "guidance_last")
        _draw_job(self.layout, context)
        if settings.result_folder:
            split_column(self.layout).prop(settings, "result_folder")
            self.layout.operator(LoadResult.bl_idname, icon="FILE_REFRESH")


def _draw_job(layout: UILayout, context: Context) -> None:
    # The button stays in its place while a preview runs: nothing jumps away under the mouse.
    button = layout.row()
    button.scale_y = 1.4
    button.operator(Preview.bl_idname, icon="PLAY")
    job = jobs.current()
    if job is None:
        return
    if job.state.final:
        draw_text(layout, context, job.text(), "ERROR" if job.error else "INFO")
        return
    row = layout.row(align=True)
    row.progress(factor=job.progress, text=job.text())
    row.operator(CancelPreview.bl_idname, text="", icon="X")


_CLASSES = (PreviewPanel,)


def register() -> None:
    """Register the panels."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Unregister the panels."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)

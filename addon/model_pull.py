# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloading and removing models: the backend's own command does it, in a process that a timer follows."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, StringProperty
from bpy.types import Context, Event, Operator

from ..backend import registry
from ..backend.errors import InputError, LicenceError, PuppetMasterError
from ..backend.published import PUBLISHED, find_published
from . import background, drawing, install, models, preferences

DIALOG_WIDTH = 520  # pixels at interface scale 1

_task: background.Task | None = None


def task() -> background.Task | None:
    """What was begun last."""
    return _task


def busy() -> bool:
    """Whether it is at work."""
    return _task is not None and not _task.over


def missing() -> tuple[str, ...]:
    """Models that can be downloaded and are not there. Looks at names alone."""
    folder = registry.models_folder()
    return tuple(name for name in PUBLISHED if not (folder / name / registry.CARD).is_file())


def pull(name: str, mirror: str = "") -> background.Task:
    """Begin to download a model whose licences the user has accepted; goes on where it was stopped.

    Raises:
        RequirementError: Blender may not go online, or there is no backend to do it.
        ModelError: there is no such model.
        InputError: another one is on its way.
        BackendError: it cannot be started.
    """
    find_published(name)
    install.check_online("downloading a model", mirror)
    arguments = ["pull", name, "--events", "--accept-licence"]
    return _begin(f"Downloading {name}", arguments + (["--mirror", mirror] if mirror else []))


def remove(name: str) -> background.Task:
    """Begin to remove a downloaded model. Raises as `pull`."""
    return _begin(f"Removing {name}", ["remove", name, "--json"])


def _begin(title: str, arguments: list[str]) -> background.Task:
    global _task
    if busy():
        raise InputError("a model is on its way already; wait for it or cancel it")
    begun = background.Task(title, preferences.backend_command("model", *arguments), _done)
    background.run(begun)
    _task = begun
    return begun


def _done(_: background.Task) -> None:
    """There may be another model now, or one less."""
    models.forget()
    models.measure()


class _Model(Operator):
    """What the operators share; not registered itself."""

    name: StringProperty(name="Model", description="Which model", default="svd", options={"SKIP_SAVE"})
    wait: BoolProperty(
        name="Wait", description="Return when it is done, as scripts need it", default=False, options={"SKIP_SAVE"}
    )

    def follow(self, begun: background.Task) -> set[str]:
        """Wait for a task if asked."""
        if self.wait:
            begun.wait()
        return {"FINISHED"}


class PullModel(_Model):
    """Download a model, once its licences are accepted; goes on where it was stopped"""

    bl_idname = "puppet_master.pull_model"
    bl_label = "Download"

    accepted: BoolProperty(
        name="I accept these licences",
        description="The weights were published by others, on terms of their own",
        default=False,
        options={"SKIP_SAVE"},
    )

    def invoke(self, context: Context, event: Event) -> set[str]:
        """Show what is downloaded and on what terms."""
        return context.window_manager.invoke_props_dialog(
            self, width=DIALOG_WIDTH, title=f"Download {self.name}", confirm_text="Download"
        )

    def draw(self, context: Context) -> None:
        """Draw the terms and the question."""
        layout, model = self.layout, PUBLISHED[self.name]
        drawing.draw_text(layout, context, f"{model.about}; {model.bytes / 1e9:.1f} GB", "IMPORT", DIALOG_WIDTH)
        for licence in model.licences:
            box = layout.box()
            drawing.draw_text(box, context, f"{licence.title}: {licence.terms}", width=DIALOG_WIDTH)
            box.operator("wm.url_open", text="Read the Licence", icon="URL").url = licence.address
        layout.prop(self, "accepted")

    def execute(self, context: Context) -> set[str]:
        """Begin to download."""
        own = preferences.own()
        try:
            if not self.accepted:
                raise LicenceError("the licences were not accepted; nothing is downloaded")
            return self.follow(pull(self.name, own.hub_mirror if own is not None else ""))
        except PuppetMasterError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}


class RemoveModel(_Model):
    """Remove a downloaded model from this computer"""

    bl_idname = "puppet_master.remove_model"
    bl_label = "Remove Model"

    def invoke(self, context: Context, event: Event) -> set[str]:
        """Ask first: it was a large download."""
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context: Context) -> set[str]:
        """Begin to remove."""
        try:
            return self.follow(remove(self.name))
        except PuppetMasterError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}


class CancelPull(Operator):
    """Stop downloading; what is there by now is kept"""

    bl_idname = "puppet_master.cancel_pull"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context: Context) -> bool:
        """Only while it is at work."""
        return busy()

    def execute(self, context: Context) -> set[str]:
        """Ask it to stop."""
        if _task is not None:
            _task.cancel()
        return {"FINISHED"}


_CLASSES = (PullModel, RemoveModel, CancelPull)
register, _unregister_classes = bpy.utils.register_classes_factory(_CLASSES)


def unregister() -> None:
    """Unregister the operators; a running task is ended by `background`."""
    global _task
    _unregister_classes()
    _task = None

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user can do with the backend: install, check and remove it; start, stop and restart it; see its log.

In a window each returns at once and a timer follows. Scripts that call them with `wait=True` get them done.
"""

from __future__ import annotations

from collections.abc import Callable

import bpy
from bpy.props import BoolProperty
from bpy.types import Context, Event, Operator

from ..backend.errors import PuppetMasterError
from . import backend_link, backend_state, install, jobs, models, preferences, report


class _Installing(Operator):
    """What the installing operators share; not registered itself."""

    wait: BoolProperty(
        name="Wait", description="Return when it is done, as scripts need it", default=False, options={"SKIP_SAVE"}
    )

    def carry_out(self, begin: Callable[[], object]) -> set[str]:
        """Begin the task; wait for it if asked."""
        try:
            _stop_first()
            begin()
            task = install.task()
            if self.wait and task is not None:
                task.wait()
        except PuppetMasterError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        finally:
            backend_state.refresh()
        return {"FINISHED"}


class InstallBackend(_Installing):
    """Download and install the backend into a folder of this extension; goes on where it was stopped"""

    bl_idname = "puppet_master.install_backend"
    bl_label = "Install Backend"

    def execute(self, context: Context) -> set[str]:
        """Begin to install."""
        own = preferences.own()
        build, index = (own.build, own.index_url) if own is not None else ("auto", "")
        return self.carry_out(lambda: install.install(preferences.backend_root(), build, index))


class VerifyBackend(_Installing):
    """Check that the backend's libraries load and have the right versions"""

    bl_idname = "puppet_master.verify_backend"
    bl_label = "Verify"

    def execute(self, context: Context) -> set[str]:
        """Begin to check."""
        return self.carry_out(lambda: install.verify(preferences.backend_root()))


class UninstallBackend(_Installing):
    """Remove the backend's environment; previews and models stay"""

    bl_idname = "puppet_master.uninstall_backend"
    bl_label = "Uninstall Backend"

    def invoke(self, context: Context, event: Event) -> set[str]:
        """Ask first: installing it again takes a large download."""
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context: Context) -> set[str]:
        """Begin to remove."""
        return self.carry_out(lambda: install.uninstall(preferences.backend_root()))


class CancelInstall(Operator):
    """Stop installing; what is downloaded by now is kept"""

    bl_idname = "puppet_master.cancel_install"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context: Context) -> bool:
        """Only while it is at work."""
        return install.busy()

    def execute(self, context: Context) -> set[str]:
        """Ask the program to stop."""
        install.cancel()
        return {"FINISHED"}


class StartBackend(Operator):
    """Start the backend now, so that the first preview need not wait for it"""

    bl_idname = "puppet_master.start_backend"
    bl_label = "Start"

    def execute(self, context: Context) -> set[str]:
        """Start it on a thread."""
        return _start(self)


class RestartBackend(Operator):
    """End the backend and start it anew"""

    bl_idname = "puppet_master.restart_backend"
    bl_label = "Restart Backend"

    def execute(self, context: Context) -> set[str]:
        """Stop and start it on a thread."""
        return _start(self, backend_link.stop)


class StopBackend(Operator):
    """End the backend; the next preview starts it again"""

    bl_idname = "puppet_master.stop_backend"
    bl_label = "Stop"

    def execute(self, context: Context) -> set[str]:
        """Cancel what runs and stop it on a thread."""
        jobs.cancel_all()
        _run(backend_link.stop)
        return {"FINISHED"}


class MeasureModels(Operator):
    """Read the models' files: their sizes, and hashes that tell whether they are whole"""

    bl_idname = "puppet_master.measure_models"
    bl_label = "Check Models"

    def execute(self, context: Context) -> set[str]:
        """Read them on a thread."""
        thread = models.measure()
        if bpy.app.background:
            thread.join()
        return {"FINISHED"}


class OpenLog(Operator):
    """Open the backend's log in the program that this computer opens text with"""

    bl_idname = "puppet_master.open_log"
    bl_label = "Open Log"

    @classmethod
    def poll(cls, context: Context) -> bool:
        """Only once there is one."""
        return backend_link.log() is not None

    def execute(self, context: Context) -> set[str]:
        """Open it."""
        bpy.ops.wm.path_open(filepath=str(backend_link.log()))
        return {"FINISHED"}


class CopyReport(Operator):
    """Copy a report on the backend, for whoever is asked for help; user names, hosts and passwords are left out"""

    bl_idname = "puppet_master.copy_report"
    bl_label = "Copy Report"

    def execute(self, context: Context) -> set[str]:
        """Put it on the clipboard."""
        context.window_manager.clipboard = report.report(backend_state.refresh())
        self.report({"INFO"}, "The report is on the clipboard")
        return {"FINISHED"}


def _start(operator: Operator, first: Callable[[], object] | None = None) -> set[str]:
    try:
        settings = preferences.backend_settings()
    except PuppetMasterError as error:
        operator.report({"ERROR"}, str(error))
        return {"CANCELLED"}

    def work() -> None:
        if first is not None:
            first()
        backend_link.forgive()
        backend_link.connect(settings, lambda: False)

    _run(work)
    return {"FINISHED"}


def _run(work: Callable[[], object]) -> None:
    """On a thread in a window, which must not stand still; at once in scripts."""
    thread = backend_link.in_background(work)
    if bpy.app.background:
        thread.join()
        backend_state.refresh()


def _stop_first() -> None:
    """A backend that runs from the environment holds its files."""
    if backend_link.pid() is not None:
        jobs.cancel_all()
        backend_link.stop()


_CLASSES = (
    InstallBackend, VerifyBackend, UninstallBackend, CancelInstall, StartBackend, RestartBackend, StopBackend,
    MeasureModels, OpenLog, CopyReport,
)  # fmt: skip
register, unregister = bpy.utils.register_classes_factory(_CLASSES)

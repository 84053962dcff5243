# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes drags from the scene's animation: at once for scripts, in slices between redraws for the window."""

import time

import bpy
from bpy.props import StringProperty
from bpy.types import Context, Event, Object, Operator

from ..backend.errors import InputError, PuppetMasterError
from . import compat, from_animation, handle_edits, motion_options
from .drawing import redraw_views
from .from_animation import Recording, Source
from .handle_edit_operator import HandleEdit
from .translations import translated

SLICE_S = 0.02


class DragsFromAnimation(HandleEdit, Operator):
    """Make drags from the motion of selected bones, objects or vertices, as the scene's camera sees it"""

    bl_idname = "puppet_master.drags_from_animation"
    bl_label = "Drags from Animation"
    needs_drags = False

    source: motion_options.source("BONES")
    names: StringProperty(
        name="Names",
        description="Bones or objects by name, or vertices by number, separated by commas; empty: the selected ones",
    )
    bone_part: motion_options.bone_part()
    frame_start: motion_options.start()
    frame_end: motion_options.end()
    tolerance: motion_options.tolerance()

    @classmethod
    def poll(cls, context: Context) -> bool:
        """Only where a camera sees the motion."""
        if context.scene.camera is None:
            cls.poll_message_set("The scene has no camera: add one and make it the scene's active camera")
            return False
        return super().poll(context)

    def edit(self, context: Context) -> None:
        """Follow the motion to its end and store the drags."""
        recording = self._recording(context)
        try:
            for _ in recording.steps():
                pass
        except PuppetMasterError:
            recording.cancel()
            raise
        self._store(context, recording)

    def invoke(self, context: Context, event: Event) -> set[str]:
        """Take the options from the scene and follow the motion in slices."""
        settings = context.scene.puppet_master
        self.source, self.bone_part = settings.motion_source, settings.motion_bone_part
        self.frame_start, self.frame_end = settings.motion_start, settings.motion_end
        self.tolerance = settings.motion_tolerance
        try:
            self._work = self._recording(context)
        except PuppetMasterError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self._steps = self._work.steps()
        self._timer = context.window_manager.event_timer_add(0.005, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: Context, event: Event) -> set[str]:
        """Take a slice of frames; Esc stops."""
        if event.type == "ESC":
            self.cancel(context)
            return {"CANCELLED"}
        if event.type != "TIMER":
            return {"RUNNING_MODAL"}
        try:
            deadline, done = time.monotonic() + SLICE_S, 0.0
            while time.monotonic() < deadline:
                done = next(self._steps)
        except StopIteration:
            return self._end(context)
        except PuppetMasterError as error:
            self.cancel(context)
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        words = translated("Following the motion")
        context.workspace.status_text_set(f"{words}: {done:.0%}    Esc")
        return {"RUNNING_MODAL"}

    def cancel(self, context: Context) -> None:
        """Put the frame back, and the status bar."""
        self._tidy(context)
        self._work.cancel()

    def _end(self, context: Context) -> set[str]:
        self._tidy(context)
        try:
            self._store(context, self._work)
        except PuppetMasterError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        redraw_views(context)
        return {"FINISHED"}

    def _tidy(self, context: Context) -> None:
        context.window_manager.event_timer_remove(self._timer)
        context.workspace.status_text_set(None)

    def _recording(self, context: Context) -> Recording:
        times = from_animation.sample_times(context.scene.puppet_master, self.frame_start, self.frame_end)
        return Recording(context.scene, self._sources(context), self.frame_start, self.frame_end, times)

    def _store(self, context: Context, recording: Recording) -> None:
        made, left_out = recording.drags(self.tolerance)
        if not made:
            recording.cancel()
            raise InputError(f"no drag was made: {'; '.join(left_out)}")
        indices = from_animation.store(context.scene, made)
        settings = context.scene.puppet_master
        handle_edits.select(settings, handle_edits.all_points(settings, indices))
        hidden = sum(is_hidden for _, is_hidden in made)
        text = f"Drags made: {len(made)}" + (f", {hidden} of them hidden" if hidden else "")
        self.report({"WARNING" if left_out else "INFO"}, "; ".join([text, *left_out]))

    def _sources(self, context: Context) -> list[Source]:
        names = [name.strip() for name in self.names.split(",") if name.strip()]
        if self.source == "OBJECTS":
            objects = [_object(context, name) for name in names] or list(context.selected_objects)
            return [from_animation.object_source(item) for item in objects if item != context.scene.camera]
        active = context.object
        if active is None:
            raise InputError("no object is active; click the armature or mesh first")
        if self.source == "BONES":
            bones = names or _selected_bones(active)
            return [from_animation.bone_source(active, bone, self.bone_part) for bone in bones]
        return [from_animation.vertex_source(active, _vertices(active, names))]


def _object(context: Context, name: str) -> Object:
    found = context.scene.objects.get(name)
    if found is None:
        raise InputError(f'scene "{context.scene.name}" has no object "{name}"')
    return found


def _selected_bones(active: Object) -> list[str]:
    if active.type != "ARMATURE":
        raise InputError(f'"{active.name}" is no armature; make one active and select its bones in Pose Mode')
    return [bone.name for bone in active.pose.bones if compat.is_selected(bone)]


def _vertices(active: Object, names: list[str]) -> tuple[int, ...]:
    if active.type != "MESH":
        raise InputError(f'"{active.name}" is no mesh; make one active and select its vertices')
    if active.mode == "EDIT":
        active.update_from_editmode()
    try:
        return tuple(int(name) for name in names) or tuple(v.index for v in active.data.vertices if v.select)
    except ValueError:
        raise InputError(f'vertices are given by number, not "{", ".join(names)}"') from None


register, unregister = bpy.utils.register_classes_factory((DragsFromAnimation,))

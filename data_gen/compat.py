# SPDX-License-Identifier: GPL-3.0-or-later
"""Where Blender 4.2 to 5.2 differ in what is used here: actions, their slots and curves, the FBX importers.

Until 4.3 an action holds curves and moves whatever it is assigned to. From 4.4 on its curves belong to slots, one for
each datablock that it moves; from 5.0 on nothing else is left.
"""

from __future__ import annotations

import bpy

Slot = object  # bpy.types.ActionSlot, which 4.2 and 4.3 do not have


def slots_of(action: bpy.types.Action) -> list[Slot | None]:
    """An action's slots; [None] where actions have none."""
    return list(action.slots) if hasattr(action, "slots") else [None]


def slot_name(slot: Slot | None) -> str:
    """The name of the datablock that a slot was made for, "" without slots."""
    return slot.identifier[2:] if slot is not None else ""


def target_type(action: bpy.types.Action, slot: Slot | None) -> str:
    """The kind of datablock that is moved: "OBJECT", "KEY", ...; "UNSPECIFIED" where it was never assigned."""
    return (action.id_root if slot is None else slot.target_id_type) or "UNSPECIFIED"


def users_of(slot: Slot | None) -> list[bpy.types.ID]:
    """The datablocks that a slot is assigned to."""
    return list(slot.users()) if slot is not None else []


def curves_of(action: bpy.types.Action, slot: Slot | None) -> list[bpy.types.FCurve]:
    """The curves that an action has for a slot."""
    if slot is None:
        return list(action.fcurves) if hasattr(action, "fcurves") else []
    strips = [strip for layer in action.layers for strip in layer.strips if strip.type == "KEYFRAME"]
    bags = [strip.channelbag(slot) for strip in strips]
    return [curve for bag in bags if bag is not None for curve in bag.fcurves]


def assigned(holder: bpy.types.AnimData | bpy.types.NlaStrip) -> tuple[bpy.types.Action | None, Slot | None]:
    """The action and slot that a datablock, or a strip of its, plays."""
    return holder.action, getattr(holder, "action_slot", None)


def assign(data: bpy.types.AnimData, action: bpy.types.Action | None, slot: Slot | None) -> None:
    """Let a datablock play an action's slot, or nothing."""
    data.action = action
    if slot is not None:
        data.action_slot = slot


def import_fbx(path: str) -> set[str]:
    """Import an FBX file with the better importer: from 4.5 on the one that reads text and old versions as well."""
    if reads_text_fbx():
        return bpy.ops.wm.fbx_import(filepath=path)
    return bpy.ops.import_scene.fbx(filepath=path)


def import_still_fbx(path: str) -> set[str]:
    """Import an FBX file without its animations."""
    if reads_text_fbx():
        return bpy.ops.wm.fbx_import(filepath=path, use_anim=False)
    return bpy.ops.import_scene.fbx(filepath=path, use_anim=False)


def reads_text_fbx() -> bool:
    """Whether text FBX files can be imported."""
    return bpy.app.version >= (4, 5, 0)

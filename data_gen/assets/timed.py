# SPDX-License-Identifier: GPL-3.0-or-later
"""What moves as time goes by with no action that says so: caches, drivers, physics, NLA strips, curves that go on."""

from __future__ import annotations

from collections.abc import Iterable

import bpy

_MODIFIERS = {
    "MESH_CACHE", "MESH_SEQUENCE_CACHE", "BUILD", "WAVE", "OCEAN", "CLOTH", "SOFT_BODY", "FLUID", "DYNAMIC_PAINT",
    "EXPLODE",
}  # fmt: skip
_CONSTRAINTS = {"TRANSFORM_CACHE", "FOLLOW_TRACK", "CAMERA_SOLVER", "OBJECT_SOLVER"}
_ENDLESS = {"CYCLES", "NOISE", "FNGENERATOR", "GENERATOR"}  # modifiers of curves
_NODES = {"GeometryNodeInputSceneTime", "GeometryNodeSimulationInput"}


def moves_by_itself(scene: bpy.types.Scene) -> bool:
    """Whether something in a scene depends on the frame other than by an action's keys."""
    return any(_is_timed(item) for item in scene.objects)


def goes_on(curves: Iterable[bpy.types.FCurve]) -> bool:
    """Whether curves change beyond their keys."""
    return any(
        curve.extrapolation == "LINEAR" or any(modifier.type in _ENDLESS for modifier in curve.modifiers)
        for curve in curves
    )


def _is_timed(item: bpy.types.Object) -> bool:
    holders = [item, item.data, getattr(item.data, "shape_keys", None)]
    datas = [data for data in (getattr(holder, "animation_data", None) for holder in holders) if data]
    return (
        any(_is_timed_modifier(modifier) for modifier in item.modifiers)
        or any(constraint.type in _CONSTRAINTS for constraint in item.constraints)
        or item.rigid_body is not None
        or any(_reads_frame(driver.driver) for data in datas for driver in data.drivers)
        or any(not track.mute and track.strips for data in datas for track in data.nla_tracks)
    )


def _is_timed_modifier(modifier: bpy.types.Modifier) -> bool:
    if modifier.type == "PARTICLE_SYSTEM":
        return modifier.particle_system.settings.type == "EMITTER"
    if modifier.type == "NODES":
        return modifier.node_group is not None and _asks_for_time(modifier.node_group, set())
    return modifier.type in _MODIFIERS


def _asks_for_time(tree: bpy.types.NodeTree, seen: set[str]) -> bool:
    """Whether geometry nodes read the frame or simulate, the groups in them included."""
    if tree.name_full in seen:
        return False
    seen.add(tree.name_full)
    groups = [node.node_tree for node in tree.nodes if node.type == "GROUP" and node.node_tree]
    return any(node.bl_idname in _NODES for node in tree.nodes) or any(_asks_for_time(group, seen) for group in groups)


def _reads_frame(driver: bpy.types.Driver) -> bool:
    paths = [target.data_path for variable in driver.variables for target in variable.targets]
    return "frame" in driver.expression or any("frame_" in path for path in paths)

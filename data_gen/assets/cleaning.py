# SPDX-License-Identifier: GPL-3.0-or-later
"""What of an opened file is filmed, made the same for evaluating as for rendering."""

from __future__ import annotations

from collections.abc import Iterator

import bpy

from .. import compat

_SURFACES = ("MESH", "CURVE", "SURFACE", "FONT", "META")
# Rendered by some engines, with nothing on them that points could stick to; cameras and lights are our own.
_NEVER_SEEN = ("CAMERA", "LIGHT", "LIGHT_PROBE", "SPEAKER", "VOLUME", "GPENCIL", "GREASEPENCIL", "CURVES", "POINTCLOUD")
_HELPERS = "glTF_not_exported"  # the collection Blender's glTF importer puts bone shapes into
_FINEST = 2  # levels of subdivision beyond which nothing is gained at the sizes that are rendered


def choose_scene() -> bpy.types.Scene:
    """The scene that is filmed, made the current one: the file's, or the first with something to see."""
    scenes = [bpy.context.scene, *bpy.data.scenes]
    chosen = next((scene for scene in scenes if any(_may_show(item) for item in scene.objects)), scenes[0])
    bpy.context.window.scene = chosen
    return chosen


def clean(scene: bpy.types.Scene, hidden_is_gone: bool) -> tuple[bpy.types.Object, ...]:
    """Prepare an opened file for filming and give what is to be seen.

    Args:
        scene: the file's scene.
        hidden_is_gone: whether what is hidden in the viewport stays unseen, as where the file's format has one kind
            of visibility alone; else what is hidden in renders does.
    """
    _drop_helpers()
    _reset_rendering(scene)
    for item in scene.objects:
        hidden = hidden_is_gone and not item.visible_get()
        if item.type in _NEVER_SEEN or hidden:
            item.hide_render = True
    layers = list(_rendered_layers(bpy.context.view_layer.layer_collection))
    rendered = {item for layer in layers for item in layer.collection.objects}
    shapes = _bone_shapes(scene)
    found = []
    for item in scene.objects:
        if item in shapes:
            item.hide_render = True
        if item in rendered and _may_show(item):
            _show_as_rendered(item)
            found.append(item)
    _show_layers(layers)
    return tuple(found)


def _drop_helpers() -> None:
    """Remove what Blender adds for its own use (shapes that stand for bones)."""
    helpers = bpy.data.collections.get(_HELPERS)
    if helpers is not None:
        bpy.data.batch_remove([*helpers.objects, helpers])


def _bone_shapes(scene: bpy.types.Scene) -> set[bpy.types.Object]:
    """Objects that stand for bones while animating."""
    rigs = [item for item in scene.objects if item.type == "ARMATURE"]
    return {bone.custom_shape for rig in rigs for bone in rig.pose.bones if bone.custom_shape is not None}


def _rendered_layers(layer: bpy.types.LayerCollection) -> Iterator[bpy.types.LayerCollection]:
    """The collections that are rendered, from `layer` on downwards."""
    if layer.exclude or layer.collection.hide_render or layer.holdout or layer.indirect_only:
        return
    yield layer
    for child in layer.children:
        yield from _rendered_layers(child)


def _show_layers(layers: list[bpy.types.LayerCollection]) -> None:
    """Let what is rendered be evaluated too."""
    for layer in layers:
        layer.hide_viewport = False
        layer.collection.hide_viewport = False


def _may_show(item: bpy.types.Object) -> bool:
    """Whether an object shows a surface at some time."""
    if item.hide_render and not _is_visibility_animated(item):
        return False
    if item.instance_type != "NONE":
        return True
    if item.type not in _SURFACES or item.is_holdout or item.is_shadow_catcher or not item.visible_camera:
        return False
    return item.type != "MESH" or bool(len(item.data.polygons) or item.modifiers or item.particle_systems)


def _is_visibility_animated(item: bpy.types.Object) -> bool:
    """Whether a key or driver shows or hides an object in renders."""
    data = item.animation_data
    if data is None:
        return False
    strips = [strip for track in data.nla_tracks for strip in track.strips]
    playing = [compat.assigned(holder) for holder in (data, *strips)]
    curves = [curve for action, slot in playing if action for curve in compat.curves_of(action, slot)]
    return any(curve.data_path == "hide_render" for curve in [*curves, *data.drivers])


def _show_as_rendered(item: bpy.types.Object) -> None:
    """Make an object's evaluated surface the one that is rendered: points are followed on it."""
    item.hide_viewport = False
    item.hide_set(False)
    item.display_type = "TEXTURED"  # Workbench would draw cages and boxes
    item.show_instancer_for_viewport = item.show_instancer_for_render
    for modifier in item.modifiers:
        modifier.show_viewport = modifier.show_render
        if modifier.type in ("SUBSURF", "MULTIRES"):
            modifier.levels = min(modifier.render_levels, max(modifier.levels, _FINEST))
            modifier.render_levels = modifier.levels
        if modifier.type == "PARTICLE_SYSTEM":
            modifier.particle_system.settings.display_percentage = 100
    if item.type in ("CURVE", "SURFACE", "FONT"):
        item.data.render_resolution_u = item.data.render_resolution_v = 0  # the same as shown
    if item.type == "META":
        item.data.render_resolution = item.data.resolution


def _reset_rendering(scene: bpy.types.Scene) -> None:
    """Undo what a file may bring along that changes images or time."""
    render = scene.render
    render.use_border = render.use_sequencer = render.use_compositing = False
    render.use_simplify = render.use_motion_blur = render.use_freestyle = render.use_multiview = False
    render.pixel_aspect_x = render.pixel_aspect_y = 1.0
    render.frame_map_old = render.frame_map_new = 100
    scene.view_settings.look = "None"
    scene.view_settings.gamma = 1.0
    scene.view_settings.use_curve_mapping = False
    scene.world = None
    scene.camera = None

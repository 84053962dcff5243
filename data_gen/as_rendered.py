# SPDX-License-Identifier: GPL-3.0-or-later
"""Making the scene that Python evaluates the one that is rendered.

Outside a render Blender evaluates what the viewport shows: other subdivision levels, modifiers switched off to
work faster, hidden objects left out. Tracks must lie on what the frames show.
"""

from __future__ import annotations

from collections.abc import Iterator

import bpy


def show_as_rendered(scene: bpy.types.Scene, view_layer: bpy.types.ViewLayer) -> None:
    """Give everything that is rendered its rendered form in the viewport as well."""
    _simplify_as_rendered(scene.render)
    for layer in _layers(view_layer.layer_collection):
        layer.hide_viewport = False
        if not layer.collection.hide_render:
            layer.collection.hide_viewport = False
    for item in view_layer.objects:
        item.hide_set(False, view_layer=view_layer)
    for item in bpy.data.objects:  # what is instanced as well: it is in no view layer
        if not item.hide_render:
            item.hide_viewport = False
        for modifier in item.modifiers:
            _modifier_as_rendered(modifier)
        for system in item.particle_systems:
            _particles_as_rendered(system.settings)
    for curve in bpy.data.curves:
        curve.resolution_u = curve.render_resolution_u or curve.resolution_u
        curve.resolution_v = curve.render_resolution_v or curve.resolution_v
    for ball in bpy.data.metaballs:
        ball.resolution = ball.render_resolution


def _layers(root: bpy.types.LayerCollection) -> Iterator[bpy.types.LayerCollection]:
    yield root
    for child in root.children:
        yield from _layers(child)


def _simplify_as_rendered(render: bpy.types.RenderSettings) -> None:
    render.simplify_subdivision = render.simplify_subdivision_render
    render.simplify_child_particles = render.simplify_child_particles_render


def _modifier_as_rendered(modifier: bpy.types.Modifier) -> None:
    modifier.show_viewport = modifier.show_render
    if modifier.type in ("SUBSURF", "MULTIRES"):
        modifier.levels = modifier.render_levels


def _particles_as_rendered(settings: bpy.types.ParticleSettings) -> None:
    settings.display_percentage = 100
    settings.child_percent = settings.rendered_child_count

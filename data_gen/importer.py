# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips of animated glTF files: import, one animation chosen by name, size made even over the clip."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from ..backend.errors import InputError
from . import film
from .clips import Clip
from .film import Stage
from .rigs.rig import View
from .scene import bounds_over_time, empty_scene, set_time
from .settings import RenderSettings
from .tracks import world_vertices

SUFFIXES = (".glb", ".gltf")
HELPERS = "glTF_not_exported"  # the collection Blender puts bone shapes into
VIEW = View(azimuth=(-75.0, 75.0), elevation=(0.0, 35.0))
LONGEST_STEP = 4.0  # scene frames between two frames of a clip; longer animations are cut
STILL = 1e-3  # of the asset's size: an object whose points move less stays


@dataclass(frozen=True)
class Channel:
    """What an animation does to one datablock."""

    target: bpy.types.ID
    action: bpy.types.Action
    slot: bpy.types.ActionSlot | None


@dataclass(frozen=True)
class Asset:
    """An imported model.

    Attributes:
        path: the file.
        meshes: the objects that are rendered and have faces.
        animations: channels by animation name, in the file's order.
    """

    path: Path
    meshes: list[bpy.types.Object]
    animations: dict[str, list[Channel]]


def make_asset_clip(path: Path, animation: str | None, seed: int, frames: int, settings: RenderSettings) -> Clip:
    """Film an animated glTF file from a random viewpoint.

    Args:
        path: a .glb or .gltf file.
        animation: the animation's name; None lets the seed draw one.
        seed: decides everything random.
        frames: number of frames of the clip.
        settings: how frames are rendered.

    Raises:
        InputError: the file cannot be imported, has no such animation or none at all, or nothing in it
            moves visibly.
    """

    def build(rng: np.random.Generator) -> Stage:
        return stage_asset(path, animation, seed, frames, rng)

    return film.make_clip(f"asset {path} with seed {seed}", (seed, zlib.crc32(path.name.encode())), build, settings)


def stage_asset(path: Path, animation: str | None, seed: int, frames: int, rng: np.random.Generator) -> Stage:
    """Import an asset, play one animation and sample a stretch of it."""
    scene = empty_scene()
    asset = import_asset(path)
    names = list(asset.animations)
    chosen = animation or names[int(rng.integers(len(names)))]
    first, last = play(asset, chosen)
    step = min((last - first) / (frames - 1), LONGEST_STEP)
    start = rng.uniform(first, last - step * (frames - 1))
    times = (start + step * np.arange(frames)).tolist()
    normalise(scene, asset, times)
    moving = moving_objects(scene, asset.meshes, times)
    ids = np.where(moving, np.cumsum(moving), 0)
    meta = {
        "kind": "asset", "asset": path.name, "animation": chosen, "seed": seed,
        "times": [times[0], times[-1]], "parts": [item.name for item in asset.meshes],
    }  # fmt: skip
    parts = [(item, int(part)) for item, part in zip(asset.meshes, ids, strict=True)]
    return Stage(parts, np.ones(len(parts)), times, VIEW, (), meta)


def import_asset(path: Path) -> Asset:
    """Import a glTF file into the current, empty scene.

    Raises:
        InputError: not a glTF file, unreadable, without anything to see, or without an animation.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"asset {path} is not a glTF file; give a .glb or .gltf file")
    if not path.is_file():
        raise InputError(f"asset {path} does not exist")
    try:
        bpy.ops.import_scene.gltf(filepath=str(path), loglevel=50)
    except RuntimeError as error:  # what Blender's operators raise, with the importer's words
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise InputError(f"asset {path} cannot be imported: {lines[-1] if lines else 'damaged file'}") from error
    _drop_helpers()
    meshes = [
        item
        for item in bpy.context.scene.objects
        if item.type == "MESH" and len(item.data.polygons) and not item.hide_render and item.visible_get()
    ]
    if not meshes:
        raise InputError(f"asset {path} holds nothing that can be seen")
    animations = _animations()
    if not animations:
        raise InputError(f"asset {path} has no animation; only animated assets make clips")
    _show_textures()
    return Asset(path, meshes, animations)


def _drop_helpers() -> None:
    """Remove what Blender adds for its own use (shapes that stand for bones)."""
    helpers = bpy.data.collections.get(HELPERS)
    if helpers is not None:
        bpy.data.batch_remove([*helpers.objects, helpers])


def _animations() -> dict[str, list[Channel]]:
    """Each animation's channels. Blender keeps every glTF animation as NLA tracks of its name."""
    found: dict[str, list[Channel]] = {}
    for target in _animated():
        for track in target.animation_data.nla_tracks:
            for strip in track.strips:
                found.setdefault(track.name, []).append(Channel(target, strip.action, strip.action_slot))
    return dict(sorted(found.items()))


def _animated() -> list[bpy.types.ID]:
    """The datablocks that may carry animation: objects, shape keys."""
    keys = [item.data.shape_keys for item in bpy.context.scene.objects if item.type == "MESH"]
    candidates = [*bpy.context.scene.objects, *(key for key in keys if key is not None)]
    return [item for item in candidates if item.animation_data is not None]


def play(asset: Asset, name: str) -> tuple[float, float]:
    """Make one animation the only one, and give its first and last frame.

    Raises:
        InputError: the asset has no animation of that name, or it has no length.
    """
    if name not in asset.animations:
        known = ", ".join(asset.animations)
        raise InputError(f"asset {asset.path} has no animation {name!r}; it has: {known}")
    for target in _animated():
        data = target.animation_data
        for track in list(data.nla_tracks):
            data.nla_tracks.remove(track)
        data.action = None
    channels = asset.animations[name]
    for channel in channels:
        data = channel.target.animation_data
        data.action = channel.action
        if channel.slot is not None:
            data.action_slot = channel.slot
    ranges = np.array([tuple(channel.action.frame_range) for channel in channels])
    first, last = float(ranges[:, 0].min()), float(ranges[:, 1].max())
    if last <= first:
        raise InputError(f"asset {asset.path}: animation {name!r} is a single pose; choose another")
    return first, last


def normalise(scene: bpy.types.Scene, asset: Asset, times: list[float]) -> None:
    """Scale and move the whole asset so that over the clip it fills a unit cube about the origin."""
    corners = bounds_over_time(scene, asset.meshes, times).reshape(-1, 3)
    low, high = corners.min(0), corners.max(0)
    size = float((high - low).max())
    if not np.isfinite(size) or size <= 0:
        raise InputError(f"asset {asset.path} has no extent that can be filmed")
    anchor = bpy.data.objects.new("anchor", None)
    scene.collection.objects.link(anchor)
    for item in list(scene.objects):
        if item.parent is None and item is not anchor:
            item.parent = anchor
    anchor.matrix_world = Matrix.Scale(1 / size, 4) @ Matrix.Translation((-(low + high) / 2).tolist())


def moving_objects(scene: bpy.types.Scene, meshes: list[bpy.types.Object], times: list[float]) -> NDArray[np.bool_]:
    """Which of the objects have a vertex that moves over the clip, bool `[objects]`."""
    low: list[NDArray[np.float64]] = []
    high: list[NDArray[np.float64]] = []
    for time in times:
        set_time(scene, time)
        depsgraph = bpy.context.evaluated_depsgraph_get()
        places = [world_vertices(item.evaluated_get(depsgraph)) for item in meshes]
        low = [np.minimum(a, b) for a, b in zip(low, places, strict=True)] if low else places
        high = [np.maximum(a, b) for a, b in zip(high, places, strict=True)] if high else places
    return np.array([float((b - a).max()) > STILL for a, b in zip(low, high, strict=True)])


def _show_textures() -> None:
    """Let Workbench show each material's base colour: its image, or else its plain colour."""
    for material in bpy.data.materials:
        if not material.node_tree:
            continue
        shader = next((node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED"), None)
        if shader is None:
            continue
        color = shader.inputs["Base Color"]
        material.diffuse_color = color.default_value
        image = _image_behind(color)
        if image is not None:
            material.node_tree.nodes.active = image


def _image_behind(socket: bpy.types.NodeSocket) -> bpy.types.Node | None:
    """The nearest image node that feeds a socket."""
    waiting = [link.from_node for link in socket.links]
    while waiting:
        node = waiting.pop(0)
        if node.type == "TEX_IMAGE":
            return node
        waiting += [link.from_node for entry in node.inputs for link in entry.links]
    return None

# SPDX-License-Identifier: GPL-3.0-or-later
"""Base colours for Workbench, and textures whose image is missing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import bpy

# Where a shader takes its colour from.
_COLORS = {
    "BSDF_PRINCIPLED": "Base Color", "BSDF_DIFFUSE": "Color", "EMISSION": "Color", "BACKGROUND": "Color",
    "EEVEE_SPECULAR": "Base Color",
}  # fmt: skip


def drop_missing_textures() -> int:
    """Remove the texture nodes without an image, which would be magenta; gives how many images are missing."""
    missing: set[str] = set()
    for tree in _trees():
        for node in [node for node in tree.nodes if node.type == "TEX_IMAGE"]:
            if node.image is not None and has_pixels(node.image):
                continue
            missing.add(node.image.name_full if node.image else f"{tree.name}/{node.name}")
            tree.nodes.remove(node)
    return len(missing)


def has_pixels(image: bpy.types.Image) -> bool:
    """Whether an image can be read."""
    if image.source in ("GENERATED", "VIEWER"):
        return True
    if image.source == "SEQUENCE":  # read frame by frame, later
        return Path(bpy.path.abspath(image.filepath, library=image.library)).is_file()
    return image.size[0] > 0 and image.size[1] > 0


def _trees() -> Iterable[bpy.types.NodeTree]:
    """The shader trees of all materials, groups included."""
    yield from (material.node_tree for material in bpy.data.materials if material.node_tree)
    yield from (group for group in bpy.data.node_groups if group.type == "SHADER")


def show_textures() -> None:
    """Let Workbench show each material's base colour: its image, or else its plain colour."""
    for material in bpy.data.materials:
        if not material.node_tree:
            continue
        color = _color_of(material.node_tree)
        if color is None:
            continue
        image = _image_behind(color)
        if image is not None:
            material.node_tree.nodes.active = image
            continue
        if not color.links:
            material.diffuse_color = color.default_value
        # An active node with an image of another purpose (normals) would be shown instead.
        material.node_tree.nodes.active = None


def _color_of(tree: bpy.types.NodeTree) -> bpy.types.NodeSocket | None:
    """The input that decides a material's colour."""
    for kind, name in _COLORS.items():
        shader = next((node for node in tree.nodes if node.type == kind), None)
        if shader is not None:
            return shader.inputs.get(name)
    return None


def _image_behind(socket: bpy.types.NodeSocket) -> bpy.types.Node | None:
    """The nearest image node that feeds a socket."""
    waiting, seen = [link.from_node for link in socket.links], set()
    while waiting:
        node = waiting.pop(0)
        if node.type == "TEX_IMAGE":
            return node
        if node.name not in seen:
            seen.add(node.name)
            waiting += [link.from_node for entry in node.inputs for link in entry.links]
    return None

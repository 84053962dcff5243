# SPDX-License-Identifier: GPL-3.0-or-later
"""Finishes: an image texture as a Blender material, and how large it is laid on.

The material's image is its node tree's active node, which is what Workbench shows with TEXTURE colour;
EEVEE and Cycles see the same image through a Principled shader.
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np

from . import textures
from .textures import Color, Pixels


@dataclass(frozen=True, eq=False)
class Finish:
    """A material and its mapping.

    Attributes:
        material: the Blender material.
        tile: size in scene units of one repeat of the texture on box-mapped faces.
        turned: whether u and v are exchanged (grain across instead of up).
    """

    material: bpy.types.Material
    tile: float = 0.5
    turned: bool = False

    def across(self) -> Finish:
        """The same material with the grain turned."""
        return Finish(self.material, self.tile, not self.turned)


def finish_from_pixels(
    name: str, pixels: Pixels, tile: float = 0.5, roughness: float = 0.6, metallic: float = 0.0, turned: bool = False
) -> Finish:
    """A finish that shows the pixels (sRGB, `[h, w, 3]` in [0, 1], row 0 at the bottom)."""
    height, width = pixels.shape[:2]
    image = bpy.data.images.new(name, width, height, alpha=False)
    rgba = np.ones((height, width, 4), np.float32)
    rgba[..., :3] = pixels
    image.pixels.foreach_set(rgba.ravel())
    material = bpy.data.materials.new(name)
    if material.node_tree is None:  # until Blender 5.0
        material.use_nodes = True
    nodes = material.node_tree.nodes
    shader = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Roughness"].default_value = roughness
    shader.inputs["Metallic"].default_value = metallic
    texture = nodes.new("ShaderNodeTexImage")
    texture.image = image
    texture.location = (shader.location.x - 320, shader.location.y)
    material.node_tree.links.new(texture.outputs["Color"], shader.inputs["Base Color"])
    nodes.active = texture
    material.roughness = roughness
    material.metallic = metallic
    material.diffuse_color = (*pixels.reshape(-1, 3).mean(0).tolist(), 1.0)
    return Finish(material, tile, turned)


def surface(rng: np.random.Generator, name: str, pattern: str, color: Color, tile: float | None = None) -> Finish:
    """A finish with one of `textures.SURFACES`."""
    pixels = textures.SURFACES[pattern](rng, color)
    metallic = pattern == "brushed_metal"
    return finish_from_pixels(
        name,
        pixels,
        tile=tile if tile is not None else float(rng.uniform(0.25, 0.9)),
        roughness=float(rng.uniform(0.2, 0.5) if metallic else rng.uniform(0.35, 0.85)),
        metallic=0.3 if metallic else 0.0,
        turned=bool(rng.random() < 0.3),
    )


def wooden(rng: np.random.Generator, name: str, color: Color | None = None) -> Finish:
    """Some kind of wood."""
    pattern = str(rng.choice(["wood", "wood", "wood", "planks", "particle_board"]))
    return surface(rng, name, pattern, color or textures.wood_color(rng))


def painted(rng: np.random.Generator, name: str, color: Color | None = None) -> Finish:
    """Paint, mostly plain, sometimes patterned."""
    patterns = ["plain", "plain", "plain", "particle_board", "stone", "stripes", "checks", "dots", "tiles", "label"]
    return surface(rng, name, str(rng.choice(patterns)), color or textures.paint_color(rng))


def metal(rng: np.random.Generator, name: str) -> Finish:
    """Steel, brass, black or white fittings."""
    colors = [(0.75, 0.76, 0.78), (0.45, 0.46, 0.48), (0.75, 0.6, 0.3), (0.24, 0.24, 0.26), (0.92, 0.92, 0.9)]
    return surface(rng, name, "brushed_metal", colors[int(rng.integers(len(colors)))], tile=0.3)


def any_body(rng: np.random.Generator, name: str, wood: float = 0.6) -> Finish:
    """A body's finish: wooden with the given probability, else painted."""
    return wooden(rng, name) if rng.random() < wood else painted(rng, name)


def coat(rng: np.random.Generator, name: str, color: Color | None = None) -> Finish:
    """Fur, scales, skin or cloth: plain or speckled mostly, else spots, stripes or checks, finely or coarsely."""
    patterns = ["plain", "plain", "particle_board", "particle_board", "stone", "dots", "stripes", "wood", "checks"]
    pattern = str(rng.choice(patterns))
    earthy = textures.hsv(rng.uniform(0.0, 0.13), rng.uniform(0.1, 0.8), rng.uniform(0.25, 0.95))
    chosen = color or (earthy if rng.random() < 0.5 else textures.paint_color(rng))
    return surface(rng, name, pattern, chosen, float(rng.uniform(0.15, 0.6)))

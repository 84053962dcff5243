# SPDX-License-Identifier: GPL-3.0-or-later
"""An asset file that has been opened: its animations, played one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from ..playback import Playback
from ..reasons import Rejection
from ..rigs.rig import View
from . import animations, cleaning, extent, importers, materials
from .animations import Animation
from .channels import Place, Stage, play, values_now
from .facts import Facts

VIEW = View(azimuth=(-75.0, 75.0), elevation=(0.0, 35.0))
_MOST_LOOKS = 8  # moments at which an animation is checked before it is recorded


@dataclass(frozen=True)
class AssetSource:
    """The current file of Blender, opened from an asset. It is valid until another is opened.

    Attributes:
        path: the file.
        scene: its scene.
        objects: what is filmed.
        found: its animations.
        stage: how it was opened.
        meta: format, licence, author, counts.
    """

    path: Path
    scene: bpy.types.Scene
    objects: tuple[bpy.types.Object, ...]
    found: tuple[Animation, ...]
    stage: Stage
    meta: dict[str, Any]

    def animations(self) -> list[str]:
        """Names in the file's own order; two may be equal, and one may be empty."""
        return [item.name for item in self.found]

    def play(self, index: int) -> Playback:
        """Make one animation the only active one, with everything it does not move as the file has it.

        Raises:
            Rejection: it has no length ("single pose"), or what it shows has no surface or no finite place
                ("degenerate geometry").
        """
        chosen = self.found[index]
        if chosen.as_opened:
            self.stage.restore()
        else:
            self.stage.silence()
            play(chosen.channels)
        if chosen.last <= chosen.first:
            raise Rejection("single pose", f"{chosen.name!r} has keys at frame {chosen.first:g} alone")
        extent.leave_in_place()
        size = extent.measure(self.scene, self.objects, _looks(chosen))
        meta: dict[str, Any] = {
            "centre": size.centre.tolist(), "size": size.size, "missing_textures": self.meta["missing_textures"],
        }  # fmt: skip
        if size.is_extreme:
            meta["anchor"] = extent.bring_near(self.scene, size)
        return Playback(
            self.scene, self.objects, chosen.first, chosen.last, frame_rate(self.scene), view=VIEW, meta=meta
        )


def frame_rate(scene: bpy.types.Scene) -> float:
    """Frames a second."""
    return scene.render.fps / scene.render.fps_base


def _looks(chosen: Animation) -> list[float]:
    """Moments at which to check an animation: its ends, its middle, and where its keys are broken."""
    ends = [chosen.first, (chosen.first + chosen.last) / 2, chosen.last]
    broken = sorted({time for channel in chosen.channels for time in channel.broken_times()})
    return [*ends, *broken[: _MOST_LOOKS - len(ends)]]


def open_source(path: Path, facts: Facts, most_triangles: int) -> AssetSource:
    """Open a file that has been found to be whole.

    Raises:
        Damaged: the importer refuses it.
        Rejection: it is too heavy, shows nothing, or has no animation.
    """
    _refuse_known(path, facts, most_triangles)
    still = _still_values(path, facts)
    importers.open_file(path, facts)
    scene = cleaning.choose_scene()
    stage = Stage.now()
    found = _find_animations(scene, stage, facts)
    stage.remember((channel for item in found for channel in item.channels), still)
    objects = cleaning.clean(scene, hidden_is_gone=facts.format != "Blender")
    if not objects:
        raise Rejection("no mesh", f"{path.name} holds {len(scene.objects)} objects, none with a surface to see")
    vertices, triangles = extent.count_triangles(objects)
    if triangles > most_triangles:
        raise _too_heavy(path, triangles, most_triangles)
    if not found:
        raise Rejection("no animation", f"nothing in {path.name} is animated")
    missing = max(facts.missing_textures, materials.drop_missing_textures())
    materials.show_textures()
    meta = {
        **facts.to_json(), "fps": frame_rate(scene), "vertices": vertices, "triangles": triangles,
        "parts": len(objects), "materials": _count_materials(objects), "missing_textures": missing,
        "animations": len(found),
    }  # fmt: skip
    if bpy.app.autoexec_fail:
        meta["scripts_refused"] = bpy.app.autoexec_fail_message
    return AssetSource(path, scene, objects, tuple(found), stage, meta)


def _refuse_known(path: Path, facts: Facts, most_triangles: int) -> None:
    """Turn away what need not be opened for that."""
    if facts.meshes == 0:
        raise Rejection("no mesh", f"{path.name} declares no mesh")
    if facts.animations is not None and not facts.animations:
        raise Rejection("no animation", f"{path.name} declares no animation")
    if facts.triangles is not None and facts.triangles > most_triangles:
        raise _too_heavy(path, facts.triangles, most_triangles)


def _too_heavy(path: Path, triangles: int, most: int) -> Rejection:
    return Rejection("too heavy", f"{path.name} has {triangles} triangles; at most {most} are allowed")


def _still_values(path: Path, facts: Facts) -> dict[Place, Any] | None:
    """Values of what animations move as the file has them, where they are lost when it is opened; see `Stage`."""
    if facts.format == "Blender":
        return None
    if facts.format != "FBX" or facts.animations is None or len(facts.animations) < 2:
        return {}
    # The importer lets the first animation play, which overwrites what the file says of the things it moves.
    importers.open_still(path)
    return values_now()


def _find_animations(scene: bpy.types.Scene, stage: Stage, facts: Facts) -> list[Animation]:
    if facts.format == "glTF":
        return animations.of_gltf(stage, facts.animations or ())
    if facts.format == "FBX":
        return animations.of_fbx(facts.animations or ())
    if facts.format == "Blender":
        return animations.of_blend(scene, stage)
    return animations.of_scene(scene, stage)


def _count_materials(objects: Sequence[bpy.types.Object]) -> int:
    return len({slot.material.name_full for item in objects for slot in item.material_slots if slot.material})

# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the example scenes of this folder from the procedural rigs: `python examples/build_examples.py`.

Each is an object at rest before a camera, with drags that start on its parts and follow the image of the
part's true motion, so that what a preview should show is known.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from numpy.typing import NDArray
from puppet_master.addon import compat, handles, scene_settings
from puppet_master.backend.protocol import Drag, DragPoint
from puppet_master.data_gen.cameras import Lens, Viewpoint, place_camera
from puppet_master.data_gen.playback import Playback
from puppet_master.data_gen.points import sample_points
from puppet_master.data_gen.recording import record
from puppet_master.data_gen.render import Look, RenderSettings, set_up
from puppet_master.data_gen.rigs import Part, Rig, build_rig, finishes, textures
from puppet_master.data_gen.rigs.furniture import Cell, Style, add_carcass, add_door, add_drawer
from puppet_master.data_gen.rigs.shapes import Shape
from puppet_master.data_gen.scene import empty_scene, set_time
from puppet_master.data_gen.tracks import Tracks, follow

FOLDER = Path(__file__).resolve().parent
SIZE = 256  # pixels, width and height
FRAMES = 14
SURFACE_POINTS = 400
PATH_POINTS = 5  # enough to follow a hinge's arc


@dataclass(frozen=True)
class Pull:
    """One part to move, between two shares of the way from closed to its joint's far limit.

    Attributes:
        part: the part's name in the rig.
        begin, end: the two shares, in [0, 1].
        at: where on the part's visible surface the drag starts, in shares of the surface's extent in the
            image, (0, 0) its top left corner.
    """

    part: str
    begin: float
    end: float
    at: tuple[float, float]


@dataclass(frozen=True)
class Example:
    """A scene to build: the rig, from where it is seen, what is dragged, and which part is held where."""

    rig: Callable[[np.random.Generator], Rig]
    seed: int
    viewpoint: Viewpoint
    look: Look
    pulls: tuple[Pull, ...]
    pin: str
    pin_at: tuple[float, float]


def bounds_over_time(scene: bpy.types.Scene, objects: list[bpy.types.Object], times: list[int]) -> np.ndarray:
    """Corners of the objects' bounding boxes in the world, `[times · objects · 8, 3]`."""
    corners = []
    for time in times:
        set_time(scene, time)
        depsgraph = bpy.context.evaluated_depsgraph_get()
        for item in objects:
            matrix = np.array(item.evaluated_get(depsgraph).matrix_world)
            box = np.array([tuple(corner) for corner in item.evaluated_get(depsgraph).bound_box])
            corners.append(box @ matrix[:3, :3].T + matrix[:3, 3])
    return np.concatenate(corners)


def three_drawers_and_a_door(rng: np.random.Generator) -> Rig:
    """A cabinet with three drawers on the left and a door, hinged on the right, beside them."""
    oak, walnut = (0.78, 0.62, 0.44), (0.36, 0.24, 0.17)
    style = Style(
        body=finishes.surface(rng, "walnut", "wood", walnut, tile=0.6),
        inside=finishes.surface(rng, "inside", "particle_board", (0.85, 0.8, 0.7), tile=0.4),
        front=finishes.surface(rng, "oak", "wood", oak, tile=0.6),
        panel=finishes.finish_from_pixels("panel", textures.framed_panel(rng, oak)),
        metal=finishes.surface(rng, "steel", "brushed_metal", (0.75, 0.76, 0.78), tile=0.3),
        handle="bar",
        thickness=0.022,
    )
    width, height, depth, split, gap = 0.9, 0.85, 0.55, -0.1, 0.006
    rig = Rig("cabinet")
    body = Shape()
    add_carcass(body, style, width, depth, 0.0, height)
    body.box((split - 0.01, 0.005, 0.022), (split + 0.01, depth - 0.022, height - 0.022), style.inside)
    rig.add_part("body", body)
    levels = np.linspace(0.0, height, 4).tolist()
    for name, low, high in zip(("low", "middle", "top"), levels, levels[1:], strict=False):
        cell = Cell(-width / 2, split, low, high).shrunk(gap)
        add_drawer(rig, rng, style, cell, 0.0, depth - style.thickness, f"{name} drawer")
    add_door(rig, rng, style, Cell(split, width / 2, 0.0, height).shrunk(gap), 0.0, "right", "door")
    return rig


def laptop(rng: np.random.Generator) -> Rig:
    """One of the procedural laptops."""
    return build_rig("laptop", rng)


EXAMPLES = {
    "cabinet": Example(
        rig=three_drawers_and_a_door,
        seed=0,
        viewpoint=Viewpoint(azimuth=32.0, elevation=24.0, angle=28.0, fill=0.82),
        look=Look("paint.sl", 0.0, 0.3, (-0.3, 0.8, 0.5), 0.0, False, 0.3),
        pulls=(
            Pull("top drawer", 0.0, 0.9, at=(0.6, 0.75)),
            Pull("door", 0.0, 0.45, at=(0.15, 0.65)),
        ),
        pin="body",
        pin_at=(0.8, 0.15),
    ),
    "laptop": Example(
        rig=laptop,
        seed=0,
        viewpoint=Viewpoint(azimuth=-28.0, elevation=26.0, angle=28.0, fill=0.8),
        look=Look("paint.sl", 0.0, 0.3, (0.3, 0.8, 0.5), 0.0, False, 0.2),
        pulls=(Pull("lid", 0.72, 0.32, at=(0.45, 0.25)),),
        pin="base",
        pin_at=(0.55, 0.75),
    ),
}


def build(example: Example, path: Path) -> None:
    """Build the scene and save it, with its textures inside, compressed."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = empty_scene()
    scene.frame_start, scene.frame_end = 1, FRAMES
    scene.render.filepath = "//"
    rig = example.rig(np.random.default_rng(example.seed))
    set_up(scene, RenderSettings(size=SIZE, oversample=1), example.look)
    scene.display.render_aa = "16"
    parts = {part.name: part for part in rig.parts}
    for pull in example.pulls:
        _animate(rig, parts[pull.part], pull)
    corners = bounds_over_time(scene, [part.object for part in rig.parts], range(1, FRAMES + 1))
    place_camera(scene, corners, example.viewpoint)
    _add_light(scene)
    for pull in example.pulls:
        tracks = _tracks(scene, rig, parts[pull.part], range(1, FRAMES + 1))
        handles.add_drag(scene, _drag(pull.part, tracks, pull.at))
    handles.add_drag(scene, _drag("pin", _tracks(scene, rig, parts[example.pin], [1, 1]), example.pin_at))
    _keep_first_pose(rig)
    scene.puppet_master.active_drag = 0
    scene.puppet_master.still_size = SIZE
    _save(path)


def _animate(rig: Rig, part: Part, pull: Pull) -> None:
    """Let the part move as the pull says; closed is state 0, wherever the joint's limits are."""
    assert part.joint is not None
    far = max(part.joint.limits, key=abs)
    rig.animate(part, (pull.begin * far, pull.end * far), (1, FRAMES))


def _tracks(scene: bpy.types.Scene, rig: Rig, part: Part, times: Sequence[int]) -> Tracks:
    """Points on the part, followed through the frames; those seen at the start."""
    recording = record(Playback(scene, tuple(other.object for other in rig.parts), times[0], times[-1]), times)
    shares = [float(name == part.object.name) for name in recording.names]
    points = sample_points(recording, SURFACE_POINTS, np.random.default_rng(0), shares, motion=0.0)
    lens = Lens.of(scene, bpy.context.evaluated_depsgraph_get())
    tracks = follow(points, recording, [lens] * len(recording))
    scene.frame_set(1)
    seen = np.flatnonzero(tracks.visible[:, 0])
    if not len(seen):
        raise ValueError(f'part "{part.name}" is hidden from the camera; choose another viewpoint')
    return tracks.take(seen)


def _drag(name: str, tracks: Tracks, at: tuple[float, float]) -> Drag:
    """The track that starts nearest to `at`, as a drag."""
    starts = tracks.xy[:, 0]
    low, high = starts.min(0), starts.max(0)
    track = tracks.xy[np.linalg.norm(starts - (low + np.array(at) * (high - low)), axis=1).argmin()]
    times = np.linspace(0.0, 1.0, min(PATH_POINTS, len(track)))
    return Drag(name, tuple(_point(track, float(t)) for t in times))


def _point(track: NDArray[np.float32], t: float) -> DragPoint:
    row = t * (len(track) - 1)
    x, y = (float(np.interp(row, np.arange(len(track)), track[:, axis])) for axis in (0, 1))
    return DragPoint(t, round(x, 4), round(y, 4))


def _keep_first_pose(rig: Rig) -> None:
    """Leave the object as it is at the start, without animation: moving it is the preview's task."""
    bpy.context.scene.frame_set(1)
    for part in rig.parts:
        part.object.animation_data_clear()
    bpy.data.batch_remove(list(bpy.data.actions))


def _add_light(scene: bpy.types.Scene) -> None:
    """For whoever switches from Workbench, which brings its own light, to another engine."""
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.data.energy = 3.0
    sun.rotation_euler = np.radians((50.0, 0.0, 30.0)).tolist()
    scene.collection.objects.link(sun)
    scene.world = bpy.data.worlds.new("world")


def _save(path: Path) -> None:
    for image in bpy.data.images:
        if image.source == "GENERATED" and image.users:
            image.pack()
    bpy.data.orphans_purge(do_recursive=True)
    bpy.context.preferences.filepaths.save_version = 0
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=True)


def main() -> None:
    """Build the examples named on the command line, or all."""
    parser = argparse.ArgumentParser(description="Build the example scenes.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(EXAMPLES)}; all if none")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="folder for the .blend files")
    options = parser.parse_args()
    if unknown := set(options.names) - set(EXAMPLES):
        parser.error(f"no example is called {sorted(unknown)[0]!r}; there are {', '.join(EXAMPLES)}")
    options.out.mkdir(parents=True, exist_ok=True)
    scene_settings.register()
    for name in options.names or EXAMPLES:
        build(EXAMPLES[name], options.out.absolute() / f"{name}.blend")


if __name__ == "__main__":
    main()
    compat.leave(0)

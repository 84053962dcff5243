# SPDX-License-Identifier: GPL-3.0-or-later
"""The published way from an animated asset to clips with tracks, plainly re-implemented to be compared with ours.

It works in separate programs that speak through files (github.com/RuiningLi/puppet-master, folder `data`):

    render   Blender: import; every animation, every view: one render call and one PNG a frame
    export   Blender again: import; every animation: one OBJ export a frame
    track    read the OBJ files; rasterise the whole and each object by itself for every frame and view to know what
             is visible; sample points by how far they get
    pack     read the PNG files and the tracks, write the clips

The published code rasterises on CUDA; here our own rasteriser does it on the CPU, so that the comparison is of the
procedures and not of our numpy with a slower one. It renders 32 frames of an animation, of which a clip is 14;
`rendered` says how many here. Cameras, lights, importer and the renderer's settings are those of our own films.
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 0.01  # of the depth
POINTS = 2048


def play(order: dict[str, Any], animation: int, source: Any) -> tuple[Any, list[float]]:
    """An animation and the frame numbers that are rendered."""
    from puppet_master.data_gen.window import choose_times

    playback = source.play(animation)
    rng = np.random.default_rng(animation)
    return playback, choose_times(playback.first, playback.last, playback.fps, order["rendered"], rng).tolist()


def open_source(order: dict[str, Any]) -> Any:
    """The asset in an empty Blender."""
    import bpy
    from puppet_master.data_gen.assets import open_asset

    bpy.ops.wm.read_factory_settings(use_empty=True)
    return open_asset(Path(order["asset"]))


def render(order: dict[str, Any], folder: Path) -> None:
    """Program one."""
    import bpy
    from puppet_master.data_gen.cameras import Lens, place_camera, random_viewpoint
    from puppet_master.data_gen.look import random_look
    from puppet_master.data_gen.render import set_up
    from puppet_master.data_gen.scene import clear_shot, set_time
    from puppet_master.data_gen.settings import RenderSettings
    from puppet_master.data_gen.strip import reach

    source = open_source(order)
    settings = RenderSettings(size=order["size"], engine=order["engine"], samples=order["samples"])
    for animation in order["animations"]:
        playback, times = play(order, animation, source)
        scene = playback.scene
        corners = reach(playback, times)
        rng = np.random.default_rng(animation)
        for view in range(order["views"]):
            clear_shot(scene)
            place_camera(scene, corners, random_viewpoint(rng, playback.view, (0.62, 0.95), (view, order["views"])))
            set_up(scene, settings, random_look(rng), float(np.ptp(corners, axis=0).max()))
            scene.render.use_persistent_data = False
            scene.render.threads = order["threads"]
            scene.render.image_settings.file_format = "PNG"
            bpy.context.view_layer.update()
            lens = Lens.of(scene, bpy.context.evaluated_depsgraph_get())
            np.save(folder / f"camera_{animation}_{view}.npy", lens.matrix)
            for frame, time in enumerate(times):
                set_time(scene, time)
                scene.render.filepath = str(folder / f"frame_{animation}_{view}_{frame}.png")
                bpy.ops.render.render(write_still=True)


def export(order: dict[str, Any], folder: Path) -> None:
    """Program two."""
    import bpy
    from puppet_master.data_gen.scene import set_time

    source = open_source(order)
    for animation in order["animations"]:
        playback, times = play(order, animation, source)
        for frame, time in enumerate(times):
            set_time(playback.scene, time)
            bpy.ops.wm.obj_export(
                filepath=str(folder / f"mesh_{animation}_{frame}.obj"), export_materials=False, export_normals=False,
                export_uv=False, export_triangulated_mesh=True, forward_axis="Y", up_axis="Z",
            )  # fmt: skip


def track(order: dict[str, Any], folder: Path) -> None:
    """Program three."""
    for animation in order["animations"]:
        meshes = [read_obj(folder / f"mesh_{animation}_{frame}.obj") for frame in range(order["rendered"])]
        for view in range(order["views"]):
            matrix = np.load(folder / f"camera_{animation}_{view}.npy")
            seen = [seen_objects(matrix, mesh, order["size"]) for mesh in meshes]
            points, owner = sample(meshes, np.random.default_rng(animation))
            xy = np.stack([project(place, matrix)[0] for place in points], axis=1).astype(np.float32)
            inside = (xy >= 0).all(-1) & (xy < 1).all(-1)
            column, row = np.moveaxis(np.where(inside[..., None], xy * order["size"], 0).astype(int), -1, 0)
            visible = np.stack([seen[frame][owner, row[:, frame], column[:, frame]] for frame in range(len(seen))], 1)
            np.savez(folder / f"tracks_{animation}_{view}.npz", tracks=xy, visible=visible & inside)


class Mesh:
    """An OBJ file: vertices `[V, 3]`, triangles `[T, 3]`, the object of each vertex and triangle."""

    def __init__(self, vertices: list[list[float]], triangles: list[list[int]], owners: list[int]) -> None:
        self.vertices, self.triangles = np.array(vertices), np.array(triangles, np.int32)
        self.owner = np.array(owners)
        self.face_owner = self.owner[self.triangles[:, 0]]


def read_obj(path: Path) -> Mesh:
    """Read an OBJ file line by line."""
    vertices, triangles, owners, count = [], [], [], 0
    for line in path.read_text().splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "o":
            count += 1
        elif words[0] == "v":
            vertices.append([float(word) for word in words[1:4]])
            owners.append(max(count - 1, 0))
        elif words[0] == "f":
            triangles.append([int(word.split("/")[0]) - 1 for word in words[1:4]])
    return Mesh(vertices, triangles, owners)


def sample(meshes: list[Mesh], rng: np.random.Generator) -> tuple[list[NDArray[np.float64]], NDArray[np.intp]]:
    """Vertices drawn by how far they get: their places in every frame and their objects."""
    away = sum(np.linalg.norm(b.vertices - a.vertices, axis=1) for a, b in pairwise(meshes))
    weight = away + 1e-3 * away.max() + 1e-9
    chosen = rng.choice(len(weight), POINTS, p=weight / weight.sum())
    return [mesh.vertices[chosen] for mesh in meshes], meshes[0].owner[chosen]


def seen_objects(matrix: NDArray[np.float64], mesh: Mesh, size: int) -> NDArray[np.bool_]:
    """At which pixels each object is what is seen, bool `[objects, size, size]`."""
    whole = rasterise(matrix, mesh.vertices, mesh.triangles, size)
    seen = []
    for index in range(mesh.owner.max() + 1):
        own = rasterise(matrix, mesh.vertices, mesh.triangles[mesh.face_owner == index], size)
        seen.append(np.isfinite(own) & (own <= whole * (1 + TOLERANCE)))
    return np.stack(seen)


def rasterise(
    matrix: NDArray[np.float64], vertices: NDArray[np.float64], triangles: NDArray[np.int32], size: int
) -> NDArray[np.float64]:
    """The depth of what a pixel shows, `[size, size]`, infinite where nothing is."""
    from puppet_master.data_gen.cameras import Lens
    from puppet_master.data_gen.raster import Sight, nearest

    # The eye is where x, y and w of the projection are all 0.
    eye = np.linalg.solve(matrix[[0, 1, 3], :3], -matrix[[0, 1, 3], 3])
    line = (np.arange(size) + 0.5) / size * 2 - 1
    places = np.stack(np.meshgrid(line, -line), -1).reshape(-1, 2)
    return nearest(Sight.of(Lens(matrix, eye)), vertices, triangles, places).depth.reshape(size, size)


def project(
    points: NDArray[np.float64], matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """World points to image places `[n, 2]` and depths `[n]`."""
    clip = points @ matrix[:, :3].T + matrix[:, 3]
    device = clip[:, :2] / clip[:, 3:]
    return np.stack(((device[:, 0] + 1) / 2, (1 - device[:, 1]) / 2), 1), clip[:, 3]


def pack(order: dict[str, Any], folder: Path) -> None:
    """Program four."""
    from PIL import Image

    for animation in order["animations"]:
        for view in range(order["views"]):
            names = [folder / f"frame_{animation}_{view}_{frame}.png" for frame in range(order["frames"])]
            frames = np.stack([np.asarray(Image.open(name)) for name in names])
            with np.load(folder / f"tracks_{animation}_{view}.npz") as tracks:
                np.savez_compressed(folder / f"clip_{animation}_{view}.npz", frames=frames, **tracks)


PROGRAMS = {"render": render, "export": export, "track": track, "pack": pack}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](json.loads(sys.argv[2]), Path(sys.argv[3]))

# SPDX-License-Identifier: GPL-3.0-or-later
"""The published way from an animated asset to a clip with tracks, plainly re-implemented to be compared with ours.

It works in separate programs that speak through files, each started anew for each animation:

    render   Blender: import, one render call a frame, one PNG a frame, one OBJ export a frame
    track    read the OBJ files, sample points on the first, rasterise the depth of every frame, compare
    pack     read the PNG files and the tracks, write the clip

The published code rasterises on CUDA; here it is a plain z-buffer on the CPU. Cameras, lights, frames and the
renderer's settings are those of our own films.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 0.01  # of the depth
POINTS = 2048


def render(order: dict[str, Any], folder: Path) -> None:
    """Program one, in Blender."""
    import bpy
    from puppet_master.data_gen.assets import open_asset
    from puppet_master.data_gen.cameras import Lens, place_camera, random_viewpoint
    from puppet_master.data_gen.look import random_look
    from puppet_master.data_gen.render import set_up
    from puppet_master.data_gen.scene import set_time
    from puppet_master.data_gen.settings import RenderSettings
    from puppet_master.data_gen.strip import reach
    from puppet_master.data_gen.window import choose_times

    bpy.ops.wm.read_factory_settings(use_empty=True)
    playback = open_asset(Path(order["asset"])).play(order["animation"])
    scene = playback.scene
    rng = np.random.default_rng(order["animation"])
    times = choose_times(playback.first, playback.last, playback.fps, order["frames"], rng)
    corners = reach(playback, times.tolist())
    settings = RenderSettings(size=order["size"], engine=order["engine"], samples=order["samples"])
    for view in range(order["views"]):
        viewpoint = random_viewpoint(rng, playback.view, (0.62, 0.95), (view, order["views"]))
        place_camera(scene, corners, viewpoint)
        set_up(scene, settings, random_look(rng), float(np.ptp(corners, axis=0).max()))
        scene.render.use_persistent_data = False
        scene.render.image_settings.file_format = "PNG"
        bpy.context.view_layer.update()
        lens = Lens.of(scene, bpy.context.evaluated_depsgraph_get())
        np.save(folder / f"camera_{view}.npy", lens.matrix)
        for frame, time in enumerate(times.tolist()):
            set_time(scene, time)
            scene.render.filepath = str(folder / f"frame_{view}_{frame}.png")
            bpy.ops.render.render(write_still=True)
    for frame, time in enumerate(times.tolist()):
        set_time(scene, time)
        target = str(folder / f"mesh_{frame}.obj")
        bpy.ops.wm.obj_export(
            filepath=target, export_materials=False, export_normals=False, export_uv=False,
            export_triangulated_mesh=True, forward_axis="Y", up_axis="Z", apply_modifiers=True,
        )  # fmt: skip


def track(order: dict[str, Any], folder: Path) -> None:
    """Program two: tracks and visibility from the OBJ files."""
    meshes = [read_obj(folder / f"mesh_{frame}.obj") for frame in range(order["frames"])]
    rng = np.random.default_rng(order["animation"])
    vertices, triangles = meshes[0]
    a, b, c = np.moveaxis(vertices[triangles], 1, 0)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    chosen = rng.choice(len(triangles), POINTS, p=area / area.sum())
    root, along = np.sqrt(rng.random(POINTS)), rng.random(POINTS)
    weights = np.stack((1 - root, root * (1 - along), root * along), axis=1)
    for view in range(order["views"]):
        matrix = np.load(folder / f"camera_{view}.npy")
        xy = np.zeros((POINTS, order["frames"], 2), np.float32)
        visible = np.zeros((POINTS, order["frames"]), bool)
        for frame, (vertices, triangles) in enumerate(meshes):
            points = (vertices[triangles[chosen]] * weights[..., None]).sum(1)
            xy[:, frame], depth = project(points, matrix)
            zbuffer = rasterise(*project(vertices, matrix), triangles, order["size"])
            column, row = np.moveaxis((xy[:, frame] * order["size"]).astype(int), 1, 0)
            inside = (xy[:, frame] >= 0).all(1) & (xy[:, frame] < 1).all(1)
            nearest = zbuffer[np.where(inside, row, 0), np.where(inside, column, 0)]
            visible[:, frame] = inside & (depth <= nearest * (1 + TOLERANCE))
        np.savez(folder / f"tracks_{view}.npz", tracks=xy, visible=visible)


def read_obj(path: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vertices and triangles of an OBJ file."""
    vertices, triangles = [], []
    for line in path.read_text().splitlines():
        if line.startswith("v "):
            vertices.append([float(word) for word in line.split()[1:4]])
        elif line.startswith("f "):
            triangles.append([int(word.split("/")[0]) - 1 for word in line.split()[1:4]])
    return np.array(vertices), np.array(triangles)


def project(
    points: NDArray[np.float64], matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """World points to image places `[n, 2]` and depths `[n]`."""
    clip = points @ matrix[:, :3].T + matrix[:, 3]
    device = clip[:, :2] / clip[:, 3:]
    return np.stack(((device[:, 0] + 1) / 2, (1 - device[:, 1]) / 2), 1), clip[:, 3]


def rasterise(
    xy: NDArray[np.float64], depth: NDArray[np.float64], triangles: NDArray[np.int64], size: int
) -> NDArray[np.float64]:
    """A z-buffer `[size, size]`, one triangle after another."""
    buffer = np.full((size, size), np.inf)
    places = xy * size - 0.5
    for a, b, c in triangles:
        corners = places[[a, b, c]]
        low = np.maximum(np.ceil(corners.min(0)), 0).astype(int)
        high = np.minimum(np.floor(corners.max(0)), size - 1).astype(int)
        if (low > high).any():
            continue
        x, y = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
        (x0, y0), (x1, y1), (x2, y2) = corners
        whole = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if whole == 0:
            continue
        u = ((x1 - x) * (y2 - y) - (x2 - x) * (y1 - y)) / whole
        v = ((x2 - x) * (y0 - y) - (x0 - x) * (y2 - y)) / whole
        w = 1 - u - v
        inside = (u >= 0) & (v >= 0) & (w >= 0)
        # 1 / depth is linear in the image.
        here = 1 / (u / depth[a] + v / depth[b] + w / depth[c])
        part = buffer[low[1] : high[1] + 1, low[0] : high[0] + 1]
        np.minimum(part, np.where(inside, here, np.inf), out=part)
    return buffer


def pack(order: dict[str, Any], folder: Path) -> None:
    """Program three: a clip file for each view."""
    from PIL import Image

    for view in range(order["views"]):
        names = [folder / f"frame_{view}_{frame}.png" for frame in range(order["frames"])]
        frames = np.stack([np.asarray(Image.open(name)) for name in names])
        with np.load(folder / f"tracks_{view}.npz") as tracks:
            np.savez_compressed(folder / f"clip_{view}.npz", frames=frames, **tracks)


PROGRAMS = {"render": render, "track": track, "pack": pack}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](json.loads(sys.argv[2]), Path(sys.argv[3]))

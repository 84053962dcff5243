# SPDX-License-Identifier: GPL-3.0-or-later
"""Time of tracks with visibility for one view, beside one ray cast by Blender for each point and frame.

    python tests/bench/bench_tracks.py [--points 2048] [--frames 14] [--triangles 1000000 5000000]

The assets are those of ../shared; the synthetic mesh is a waving ring of the given number of triangles, all of whose
vertices move. The ray casts are timed on the first frames only (`--rays`) and scaled. Seconds are processor time of
this process, which does not mind other programs; the wall time stands beside. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Vector
from puppet_master.data_gen.assets import open_asset
from puppet_master.data_gen.cameras import Lens, Viewpoint, place_camera
from puppet_master.data_gen.playback import Playback
from puppet_master.data_gen.points import SurfacePoints, positions_of, sample_points
from puppet_master.data_gen.recording import Recording, record
from puppet_master.data_gen.scene import set_time
from puppet_master.data_gen.tracks import Tracks, follow
from puppet_master.data_gen.visibility import TOLERANCE

ASSETS = Path(__file__).resolve().parents[3] / "shared" / "assets"
CASES = {"Knight": ("Knight.glb", "Walking_A"), "Barbarian": ("Barbarian.glb", "Walking_A")}


def timed(function: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """A function's result, and the seconds it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    return result, {
        "cpu_s": round(time.process_time() - cpu, 3), "wall_s": round(time.perf_counter() - wall, 3)
    }  # fmt: skip


def asset(name: str, animation: str) -> Playback:
    """One animation of a shared asset."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    source = open_asset(ASSETS / name)
    return source.play(source.animations().index(animation))


def ring(triangles: int) -> Playback:
    """A ring of about the given number of triangles that waves through a shape key."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    across = int(np.sqrt(triangles / 8))
    along = triangles // (2 * across)
    a, b = np.meshgrid(np.linspace(0, 2 * np.pi, along, False), np.linspace(0, 2 * np.pi, across, False), indexing="ij")
    place = np.stack(((1 + 0.3 * np.cos(b)) * np.cos(a), (1 + 0.3 * np.cos(b)) * np.sin(a), 0.3 * np.sin(b)), -1)
    one = np.arange(along * across).reshape(along, across)
    next_along, next_across = np.roll(one, -1, 0), np.roll(one, -1, 1)
    faces = np.stack((one, next_along, np.roll(next_along, -1, 1), next_across), -1).reshape(-1)
    mesh = bpy.data.meshes.new("ring")
    mesh.vertices.add(along * across)
    mesh.loops.add(len(faces))
    mesh.polygons.add(len(faces) // 4)
    mesh.attributes["position"].data.foreach_set("vector", place.astype(np.float32).ravel())
    mesh.loops.foreach_set("vertex_index", faces.astype(np.int32))
    mesh.polygons.foreach_set("loop_start", np.arange(0, len(faces), 4, dtype=np.int32))
    mesh.update()
    item = bpy.data.objects.new("ring", mesh)
    bpy.context.scene.collection.objects.link(item)
    item.shape_key_add(name="rest")
    wave = item.shape_key_add(name="wave")
    place[..., 2] += 0.2 * np.sin(3 * a)
    wave.data.foreach_set("co", place.astype(np.float32).ravel())
    for frame, value in ((1, 0.0), (14, 1.0)):
        wave.value = value
        wave.keyframe_insert("value", frame=frame)
    return Playback(bpy.context.scene, (item,), 1, 14)


def look_at(playback: Playback, recording: Recording) -> Lens:
    """A camera that frames the whole clip."""
    places = recording.positions[:, :: max(1, recording.positions.shape[1] // 2000)]
    place_camera(playback.scene, places, Viewpoint(30, 20, angle=35, fill=0.85))
    return Lens.of(playback.scene, bpy.context.evaluated_depsgraph_get())


def cast_rays(
    playback: Playback, recording: Recording, points: SurfacePoints, lens: Lens, frames: int
) -> tuple[np.ndarray, float]:
    """Which points the eye sees in the first frames by one ray each, and the seconds a frame takes."""
    world, eye = positions_of(points, recording), Vector(lens.eye)
    seen, spent = np.zeros((len(points), frames), bool), 0.0
    for column in range(frames):
        set_time(playback.scene, float(recording.times[column]))
        depsgraph = bpy.context.evaluated_depsgraph_get()
        began = time.process_time()
        for row, place in enumerate(world[:, column]):
            away = Vector(place) - eye
            hit = playback.scene.ray_cast(depsgraph, eye, away.normalized(), distance=away.length * (1 - TOLERANCE))[0]
            seen[row, column] = not hit
        spent += time.process_time() - began
    return seen, spent / frames


def measure(playback: Playback, count: int, frames: int, rays: int) -> dict[str, Any]:
    """All figures of one animation."""
    times = np.linspace(playback.first, playback.last, frames).tolist()
    recording, recorded = timed(lambda: record(playback, times))
    points, sampled = timed(lambda: sample_points(recording, count, np.random.default_rng(0)))
    lens = look_at(playback, recording)
    tracks: Tracks = follow(points, recording, [lens] * frames)
    runs = [timed(lambda: follow(points, recording, [lens] * frames))[1] for _ in range(3)]
    spent = min(runs, key=lambda run: run["cpu_s"])
    seen, per_frame = cast_rays(playback, recording, points, lens, min(rays, frames))
    seen &= ((tracks.xy >= 0) & (tracks.xy <= 1)).all(2)[:, : seen.shape[1]]
    cast = per_frame * frames
    return {
        "triangles": len(recording.triangles), "record": recorded, "sample": sampled, "tracks": spent,
        "ray_cast_cpu_s": round(cast, 3), "times_faster": round(cast / spent["cpu_s"], 2),
        "agreement": round(float((seen == tracks.visible[:, : seen.shape[1]]).mean()), 5),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }  # fmt: skip


def main() -> None:
    """Measure every case and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=2048)
    parser.add_argument("--frames", type=int, default=14)
    parser.add_argument("--triangles", type=int, nargs="*", default=[20_000, 1_000_000, 5_000_000])
    parser.add_argument("--rays", type=int, default=14, help="frames on which rays are cast")
    options = parser.parse_args()
    found: dict[str, Any] = {"points": options.points, "frames": options.frames}
    if ASSETS.is_dir():
        for name, which in CASES.items():
            found[name] = measure(asset(*which), options.points, options.frames, options.rays)
    for triangles in options.triangles:
        rays = options.rays if triangles < 100_000 else 2
        found[f"ring {triangles}"] = measure(ring(triangles), options.points, options.frames, rays)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

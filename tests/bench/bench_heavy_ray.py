# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the first ray on a heavy mesh holds Blender, with Blender's tree and without.

    python tests/bench/bench_heavy_ray.py

The thread's own time, so that what else the computer does does not count.
"""

import time

import bpy
import numpy as np
from puppet_master.addon import heavy_ray, still_status, surface
from puppet_master.addon.projection import camera_view


def first_ray_ms(heavy: int) -> float:
    """Milliseconds of the first ray on a mesh that has just changed."""
    heavy_ray.HEAVY = heavy
    scene, sphere = bpy.context.scene, bpy.data.objects["Icosphere"]
    sphere.data.vertices[0].co.x += 1e-4
    sphere.data.update()
    depsgraph = still_status.depsgraph_of(scene)
    ray = camera_view(scene.camera, 256, 256).ray(0.5, 0.5)
    began = time.thread_time()
    assert surface.first_hit(scene, depsgraph, ray) is not None
    return 1000 * (time.thread_time() - began)


def main() -> None:
    """Measure three meshes."""
    for level in (7, 8, 9):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        bpy.ops.preferences.addon_enable(module="puppet_master")
        bpy.ops.mesh.primitive_ico_sphere_add(subdivisions=level, radius=0.6)
        bpy.ops.object.camera_add(location=(0.0, -4.0, 0.0), rotation=(np.pi / 2, 0.0, 0.0))
        bpy.context.scene.camera = bpy.context.object
        count = len(bpy.data.objects["Icosphere"].data.polygons)
        with_tree, without = ([first_ray_ms(heavy) for _ in range(3)] for heavy in (10**9, 0))
        print(f"{count} triangles: {np.median(with_tree):.1f} ms with the tree, {np.median(without):.1f} ms without")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""PointOdyssey's layout: `SPLIT/NAME/rgbs/rgb_00000.jpg`, `anno.npz`, `info.npz`, and the passes there are.

Coordinates are raster pixels (a pixel's centre lies at i + 0.5), as its own exporter makes them: the principal
point is half the image. Three-dimensional points and cameras share one world, in which the asset's largest
extent is `UNITS` long: long enough for the 16-bit depth images, whose steps are 1000 / 65535 units, to resolve it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...backend.clips import Clip
from .formats import FolderFormat, Options, save_frames

UNITS = 4.0
DEPTH_RANGE = 1000.0  # units that 65535 stands for


def write(clip: Clip, name: str, folder: Path, options: Options) -> list[str]:
    """Fill a sequence's folder; returns what the clip lacks."""
    frames = options.background.behind(clip.frames, name)
    save_frames(frames, folder / "rgbs", "rgb_%05d.jpg", quality=options.quality, subsampling=0)
    lacks = [] if "points_3d" in clip.extra and "camera" in clip.meta else ["3-D points"]
    annotation = annotate(clip)
    np.savez_compressed(folder / "anno.npz", **annotation)
    np.savez(folder / "info.npz", **{key: np.array(values.shape) for key, values in annotation.items()})
    if (depth := clip.passes.get("depth")) is not None:
        save_frames(depth_image(depth), folder / "depths", "depth_%05d.png")
    if (normal := clip.passes.get("normal")) is not None:
        save_frames(normal, folder / "normals", "normal_%05d.jpg", quality=options.quality, subsampling=0)
    if (part := clip.passes.get("part")) is not None:
        save_frames(part, folder / "masks", "mask_%05d.png")
    return lacks + [f"the {key} pass" for key in ("depth", "normal") if key not in clip.passes]


def annotate(clip: Clip) -> dict[str, NDArray[np.generic]]:
    """The arrays of `anno.npz`.

    `trajs_2d` float32 `[N, P, 2]`, `trajs_3d` float32 `[N, P, 3]` (one number if unknown), `visibs` and `valids` bool
    `[N, P]`, `intrinsics` float32 `[N, 3, 3]` (camera to pixels), `extrinsics` float32 `[N, 4, 4]` (world to
    camera; x right, y down, z ahead).
    """
    number, height, width = clip.frames.shape[:3]
    tracks = clip.tracks.transpose(1, 0, 2)
    valid = np.isfinite(tracks).all(-1)
    camera = clip.meta.get("camera") or {}
    points = clip.extra.get("points_3d")
    known = points is not None and bool(camera)
    return {
        "trajs_2d": (tracks * (width, height)).astype(np.float32),
        "trajs_3d": np.float32(UNITS) * points.transpose(1, 0, 2) if known else np.zeros((), np.float32),
        "visibs": clip.visible.T & valid,
        "valids": valid,
        "intrinsics": _for_all(np.diag((width, height, 1.0)) @ np.array(camera["intrinsics"]), number)
        if camera
        else np.zeros((number, 3, 3), np.float32),
        "extrinsics": _for_all(_extrinsics(clip), number) if known else np.zeros((number, 4, 4), np.float32),
    }


def _extrinsics(clip: Clip) -> NDArray[np.float64]:
    """From the exported world (the asset's middle at the origin, its extent `UNITS`) to the camera's axes."""
    pose = np.array(clip.meta["camera"]["pose"], np.float64)
    centre, size = np.array(clip.meta["centre"], np.float64), float(clip.meta["size"])
    turn = pose[..., :3]
    move = (turn @ centre + pose[..., 3]) * UNITS / size
    return np.vstack((np.column_stack((turn, move)), (0.0, 0.0, 0.0, 1.0)))


def _for_all(matrix: NDArray[np.float64], number: int) -> NDArray[np.float32]:
    return np.repeat(matrix[None].astype(np.float32), number, axis=0)


def depth_image(depth: NDArray[np.float16]) -> NDArray[np.uint16]:
    """Depth over the asset's size, `[N, H, W]`, as PointOdyssey stores it; what is empty is as far as can be."""
    units = np.nan_to_num(depth.astype(np.float64) * UNITS, nan=DEPTH_RANGE, posinf=DEPTH_RANGE)
    return np.rint(np.clip(units, 0, DEPTH_RANGE) * (65535 / DEPTH_RANGE)).astype(np.uint16)


POINTODYSSEY = FolderFormat(lambda name, options: f"{options.split}/{name}", write)

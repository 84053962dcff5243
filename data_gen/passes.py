# SPDX-License-Identifier: GPL-3.0-or-later
"""Ground truth for every pixel: depth, flow, part ids and normals, from the same lines of sight as the tracks.

A pixel's value is that of the surface at its centre; there is no blending at edges. Flow follows the very point of the
surface seen there to the next frame, so it agrees with tracks to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .raster import Hits, Sight, nearest
from .recording import Recording

if TYPE_CHECKING:
    from .cameras import Lens

BAND = 65_536  # pixels looked at together


def render_passes(
    names: Sequence[str],
    recording: Recording,
    lenses: Sequence[Lens],
    size: int | tuple[int, int],
    scale: float = 1.0,
    part: NDArray[np.integer] | None = None,
) -> dict[str, NDArray[np.generic]]:
    """Passes of all frames, in the forms a clip holds them (see `backend.clips.PASSES`).

    Args:
        names: among "depth", "flow", "part", "normal" and "paths".
        recording: the animation.
        lenses: the camera at each moment `[N]`.
        size: pixels along a side, or (width, height).
        scale: depth is divided by this.
        part: part id of each triangle `[T]`, 0 to 254; None: the triangle's item.

    Returns:
        depth: float16 `[N, H, W]`, along the viewing direction, infinite where nothing is.
        flow: float16 `[N-1, H, W, 2]`, pixels to the right and down to the next frame; NaN where nothing is, and
            where it goes behind the camera.
        part: uint8 `[N, H, W]`, part id + 1, 0 where nothing is.
        normal: uint8 `[N, H, W, 3]`, the face's normal on the side seen, in camera axes (x right, y up, z towards the
            viewer), (n + 1) · 127.5; 0, 0, 0 where nothing is.
        paths: see `follow_pixels`.
    """
    width, height = (size, size) if isinstance(size, int) else size
    count = len(recording)
    ids = recording.owner if part is None else part
    found: dict[str, NDArray[np.generic]] = {}
    if "depth" in names:
        found["depth"] = np.full((count, height, width), np.inf, np.float16)
    if "flow" in names:
        found["flow"] = np.full((count - 1, height, width, 2), np.nan, np.float16)
    if "part" in names:
        found["part"] = np.zeros((count, height, width), np.uint8)
    if "normal" in names:
        found["normal"] = np.zeros((count, height, width, 3), np.uint8)
    for index, lens in enumerate(lenses if found else ()):
        first, corners, hit = look_at_pixels(recording, index, lens, (width, height))
        rows, columns = np.divmod(hit.place, width)
        if "depth" in found:
            found["depth"][index, rows, columns] = hit.depth / scale
        if "part" in found:
            found["part"][index, rows, columns] = np.clip(ids[first], 0, 254) + 1
        if "normal" in found:
            normal = normals(lens, recording.positions[index][corners].astype(np.float64), hit)
            found["normal"][index, rows, columns] = np.rint((normal + 1) * 127.5)
        if "flow" in found and index + 1 < count:
            there = np.einsum("pkx,pk->px", recording.positions[index + 1][corners].astype(np.float64), hit.weights)
            flow = flow_to(lenses[index + 1], there, (columns, rows), (width, height))
            found["flow"][index, rows, columns] = flow
    if "paths" in names:
        found["paths"] = follow_pixels(recording, lenses, (width, height), scale)
    return found


def follow_pixels(
    recording: Recording, lenses: Sequence[Lens], size: tuple[int, int], scale: float = 1.0
) -> NDArray[np.float16]:
    """Where what the first frame's pixels show is in the later frames, seen there or not.

    Returns:
        float16 `[N-1, H, W, 3]`: pixels to the right and down from the pixel's own place, and depth over `scale`; NaN
        where the first frame shows nothing, and where a point goes behind the camera.
    """
    width, height = size
    paths = np.full((len(recording) - 1, height, width, 3), np.nan, np.float16)
    _, corners, hit = look_at_pixels(recording, 0, lenses[0], size)
    rows, columns = np.divmod(hit.place, width)
    for index, lens in enumerate(lenses[1:]):
        there = np.einsum("pkx,pk->px", recording.positions[index + 1][corners].astype(np.float64), hit.weights)
        paths[index, rows, columns, :2] = flow_to(lens, there, (columns, rows), size)
        paths[index, rows, columns, 2] = Sight.of(lens).see(there)[3] / scale
    return paths


def look_at_pixels(
    recording: Recording, index: int, lens: Lens, size: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.int32], Hits]:
    """What is seen at the pixels' centres of one frame, for the pixels where something is.

    Returns:
        The triangles' indices in the recording `[n]`, their vertices `[n, 3]`, and what is met there: `Hits.place` is
        the pixel's number, counted row by row.
    """
    width, height = size
    kept = np.flatnonzero(recording.present[index][recording.owner])
    triangles = recording.triangles if len(kept) == len(recording.owner) else recording.triangles[kept]
    sight = Sight.of(lens)
    met = []
    for start in range(0, width * height, BAND):
        pixel = np.arange(start, min(start + BAND, width * height))
        row, column = np.divmod(pixel, width)
        places = np.stack(((2 * column + 1) / width - 1, 1 - (2 * row + 1) / height), 1)
        band = nearest(sight, recording.positions[index], triangles, places)
        there = band.triangle >= 0
        met.append(Hits(pixel[there], band.triangle[there], band.weights[there], band.depth[there]))
    hit = Hits(*(np.concatenate([getattr(band, name) for band in met]) for name in Hits.__dataclass_fields__))
    return kept[hit.triangle], triangles[hit.triangle], hit


def normals(lens: Lens, corners: NDArray[np.float64], hit: Hits) -> NDArray[np.float64]:
    """Unit normals of triangles `[n, 3, 3]` on the side that is seen, in camera axes, `[n, 3]`."""
    sight = Sight.of(lens)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    normal /= np.where(length > 0, length, 1.0)
    point = np.einsum("pkx,pk->px", corners, hit.weights)
    away = point - lens.eye if sight.perspective else sight.forward
    normal[(normal * away).sum(1) > 0] *= -1
    return normal @ sight.axes.T


def flow_to(
    lens: Lens, points: NDArray[np.float64], pixel: tuple[NDArray[np.intp], NDArray[np.intp]], size: tuple[int, int]
) -> NDArray[np.float64]:
    """From pixels' centres (columns, rows) to where a lens sees world points `[n, 3]`, in pixels `[n, 2]`."""
    sight = Sight.of(lens)
    places, in_range = sight.places(sight.see(points))
    x, y = (places[:, 0] + 1) / 2 * size[0], (1 - places[:, 1]) / 2 * size[1]
    flow = np.stack((x - pixel[0] - 0.5, y - pixel[1] - 0.5), 1)
    flow[~in_range] = np.nan
    return flow

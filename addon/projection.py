# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the points of a scene lie on a still, and which ray a place on the still belongs to.

The same numbers as Blender's own projection, for perspective and orthographic cameras with any sensor fit, shift,
pixel aspect and cropped render border. Still positions are normalised, origin top-left, x right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from bpy.types import Object, RenderSettings, Scene
from numpy.typing import NDArray

from ..backend.errors import InputError

WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Ray:
    """A ray in world space: `origin` and unit `direction`, each `[3]`; `length`: as far as the camera sees."""

    origin: NDArray[np.float64]
    direction: NDArray[np.float64]
    length: float


@dataclass(frozen=True)
class CameraView:
    """What one camera sees, as numbers.

    Attributes:
        to_camera: world to camera space, `[4, 4]`; the camera looks along -Z.
        perspective: False for an orthographic camera.
        size: width and height of the picture, at depth 1 for perspective, in Blender units.
        middle: where the picture's middle lies, in the same units (the shift).
        clip: nearest and farthest depth that is drawn, in Blender units.
        region: left, top, right and bottom of the part of the picture that the still shows, 0 to 1.
    """

    to_camera: NDArray[np.float64]
    perspective: bool
    size: tuple[float, float]
    middle: tuple[float, float]
    clip: tuple[float, float]
    region: tuple[float, float, float, float] = WHOLE

    def project(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Still positions `[N, 2]` and depths `[N]` of world points `[N, 3]`.

        A point that is not before a perspective camera has no place on the still: its position is NaN.
        """
        points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        local = points @ self.to_camera[:3, :3].T + self.to_camera[:3, 3]
        depth = -local[:, 2]
        plane = local[:, :2]
        if self.perspective:
            with np.errstate(divide="ignore", invalid="ignore"):
                plane = np.where(depth[:, None] > 0.0, plane / depth[:, None], np.nan)
        across = (plane - self.middle) / self.size
        whole = np.stack([0.5 + across[:, 0], 0.5 - across[:, 1]], axis=1)
        left, top, right, bottom = self.region
        return (whole - (left, top)) / (right - left, bottom - top), depth

    def ray(self, x: float, y: float) -> Ray:
        """The ray of a place on the still, from the near clipping plane on."""
        left, top, right, bottom = self.region
        across = left + x * (right - left) - 0.5
        up = 0.5 - top - y * (bottom - top)
        plane = np.array([self.middle[0] + across * self.size[0], self.middle[1] + up * self.size[1]])
        near, far = self.clip
        if self.perspective:
            begin, end = (np.array([*plane * depth, -depth]) for depth in (near, far))
        else:
            begin, end = (np.array([*plane, -depth]) for depth in (near, far))
        to_world = np.linalg.inv(self.to_camera)
        begin, end = (to_world[:3, :3] @ point + to_world[:3, 3] for point in (begin, end))
        length = float(np.linalg.norm(end - begin))
        return Ray(begin, (end - begin) / length, length)

    @property
    def shares(self) -> NDArray[np.float64]:
        """Width and height of the still in parts of its diagonal, `[2]`."""
        left, top, right, bottom = self.region
        sides = np.array(self.size) * (right - left, bottom - top)
        return sides / np.hypot(*sides)

    @property
    def lens(self) -> tuple[float, ...]:
        """What the lens is like, as five numbers that are equal when pictures are."""
        return (float(self.perspective), *self.size, *self.middle)


def camera_view(
    camera: Object,
    width: float,
    height: float,
    pixel_aspect: tuple[float, float] = (1.0, 1.0),
    region: tuple[float, float, float, float] = WHOLE,
) -> CameraView:
    """The view of a camera object, as it stands, for a picture of `width` x `height` pixels.

    Raises:
        InputError: it is no camera, a panoramic one, whose picture no straight rays make, or one that sees nothing.
    """
    data = camera.data
    if camera.type != "CAMERA":
        raise InputError(f'"{camera.name}" is no camera; choose a camera as the scene\'s active one')
    if data.type not in ("PERSP", "ORTHO"):
        raise InputError(
            f'camera "{camera.name}" is panoramic; handles need a perspective or orthographic camera: '
            "change its type under Object Data > Lens"
        )
    stands = np.array(camera.matrix_world.normalized(), dtype=np.float64)
    if abs(np.linalg.det(stands)) < 1e-6:
        raise InputError(f'camera "{camera.name}" is scaled to nothing; give it a scale of 1, and its parents too')
    wide, high = width * pixel_aspect[0], height * pixel_aspect[1]
    fit = data.sensor_fit
    if fit == "AUTO":
        fit = "HORIZONTAL" if wide >= high else "VERTICAL"
    fitted = wide if fit == "HORIZONTAL" else high
    if data.type == "ORTHO":
        extent = data.ortho_scale
    else:
        # "Auto" measures by the sensor's width even where it fits the picture's height.
        sensor = data.sensor_height if data.sensor_fit == "VERTICAL" else data.sensor_width
        extent = sensor / data.lens
    if extent <= 0.0:
        raise InputError(f'camera "{camera.name}" sees nothing: its orthographic scale is 0')
    return CameraView(
        to_camera=np.linalg.inv(stands),
        perspective=data.type == "PERSP",
        size=(extent * wide / fitted, extent * high / fitted),
        middle=(data.shift_x * extent, data.shift_y * extent),
        clip=(data.clip_start, data.clip_end),
        region=region,
    )


def render_view(scene: Scene, camera: Object) -> CameraView:
    """The view of a camera as the scene's render settings frame it, a cropped border included.

    Raises:
        InputError: see `camera_view`.
    """
    render = scene.render
    aspect = (render.pixel_aspect_x, render.pixel_aspect_y)
    return camera_view(camera, render.resolution_x, render.resolution_y, aspect, border_region(render))


def border_region(render: RenderSettings) -> tuple[float, float, float, float]:
    """The part of the picture that a render delivers: the border where it is cropped to, in whole pixels."""
    if not (render.use_border and render.use_crop_to_border):
        return WHOLE
    scale = render.resolution_percentage / 100.0
    width, height = int(render.resolution_x * scale), int(render.resolution_y * scale)
    left, right = (_cut(part, width) for part in (render.border_min_x, render.border_max_x))
    low, high = (_cut(part, height) for part in (render.border_min_y, render.border_max_y))
    if right <= left or high <= low:
        return WHOLE
    return left, 1.0 - high, right, 1.0 - low


def _cut(part: float, pixels: int) -> float:
    """Blender cuts at whole pixels, counted from the bottom left, and multiplies in single precision."""
    return int(np.float32(part) * np.float32(pixels)) / pixels

# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras: where they stand, how they frame an object, where they see a point."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import ArrayLike, NDArray

from .rigs.rig import View
from .scene import add_to_shot

NEAR, FAR = 0.01, 1000.0  # where the camera begins and ends to see, in the subject's size


@dataclass(frozen=True)
class Viewpoint:
    """How a camera looks at an object.

    Attributes:
        azimuth: degrees about the upright axis; 0 looks at the front (along +y), positive from the right.
        elevation: degrees above the horizon.
        angle: horizontal and vertical field of view in degrees.
        fill: the share of the frame's side that the object's larger extent takes.
        shift: where the object's middle lies off the frame's middle, in shares of the side (x, y).
    """

    azimuth: float
    elevation: float
    angle: float
    fill: float
    shift: tuple[float, float] = (0.0, 0.0)

    def to_json(self) -> dict[str, object]:
        """For a clip's metadata."""
        return asdict(self)


def random_viewpoint(
    rng: np.random.Generator, view: View, fill: tuple[float, float], share: tuple[int, int] = (0, 1)
) -> Viewpoint:
    """A viewpoint within what a subject wants to be seen from.

    Args:
        rng: decides everything random.
        view: the range of azimuths and elevations.
        fill: the range of the share of the frame's side that the subject takes.
        share: (index, count): the index-th of `count` equal shares of the range of azimuths, so that
            several views of a subject are spread.
    """
    fill = float(rng.uniform(*fill))
    room = (1 - fill) / 2
    low, high = view.azimuth
    step = (high - low) / share[1]
    return Viewpoint(
        azimuth=float(rng.uniform(low + share[0] * step, low + (share[0] + 1) * step)),
        elevation=float(rng.uniform(*view.elevation)),
        angle=float(rng.uniform(18, 45)),
        fill=fill,
        shift=(float(rng.uniform(-0.35, 0.35)) * room, float(rng.uniform(-0.35, 0.35)) * room),
    )


def look_rotation(azimuth: float, elevation: float) -> NDArray[np.float64]:
    """Camera axes as columns `[3, 3]`: right, up, backwards; angles in degrees."""
    a, e = np.radians(azimuth), np.radians(elevation)
    back = np.array((np.cos(e) * np.sin(a), -np.cos(e) * np.cos(a), np.sin(e)))
    right = np.array((np.cos(a), np.sin(a), 0.0))
    return np.stack((right, np.cross(back, right), back), axis=1)


def place_camera(scene: bpy.types.Scene, points: ArrayLike, viewpoint: Viewpoint) -> bpy.types.Object:
    """Make a camera that frames world points `[n, 3]` as the viewpoint says, and make it the scene's.

    Works in the points' own scale: an ant and a house are framed alike.
    """
    points = np.asarray(points, float).reshape(-1, 3)
    rotation = look_rotation(viewpoint.azimuth, viewpoint.elevation)
    middle = (points.min(0) + points.max(0)) / 2
    size = float(np.ptp(points, axis=0).max()) or 1.0
    eye = rotation.T @ middle + size * _framing_eye((points - middle) / size @ rotation, viewpoint)
    data = bpy.data.cameras.new("camera")
    data.sensor_fit = "HORIZONTAL"
    data.angle = float(np.radians(viewpoint.angle))
    data.clip_start, data.clip_end = NEAR * size, FAR * size
    camera = bpy.data.objects.new("camera", data)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, rotation @ eye
    camera.matrix_world = Matrix(matrix.tolist())
    add_to_shot(scene, camera)
    scene.camera = camera
    return camera


def freeze_camera(scene: bpy.types.Scene, camera: bpy.types.Object) -> bpy.types.Object:
    """A camera that stays where `camera` is in the scene as it is evaluated now, and make it the scene's."""
    depsgraph = bpy.context.evaluated_depsgraph_get()
    frozen = bpy.data.objects.new("camera", camera.evaluated_get(depsgraph).data.original.copy())
    frozen.data.animation_data_clear()
    frozen.matrix_world = camera.evaluated_get(depsgraph).matrix_world.copy()
    add_to_shot(scene, frozen)
    scene.camera = frozen
    return frozen


def _framing_eye(points: NDArray[np.float64], viewpoint: Viewpoint) -> NDArray[np.float64]:
    """Where the eye is so that the points' image has the asked extent and place.

    Points and eye in camera axes, about the points' middle, in shares of their size.
    """
    tangent = np.tan(np.radians(viewpoint.angle) / 2)
    low, high = points.min(0), points.max(0)
    eye = (low + high) / 2
    eye[2] = high[2] + max(high[0] - low[0], high[1] - low[1]) / (2 * tangent * viewpoint.fill)
    target = np.array(viewpoint.shift) * (1.0, -1.0)  # image y runs down, camera y up
    for _ in range(8):
        depth = np.maximum(eye[2] - points[:, 2], NEAR)
        image = (points[:, :2] - eye[:2]) / (2 * tangent * depth[:, None])
        left, right = image.min(0), image.max(0)
        middle_depth = float(np.median(depth))
        eye[:2] += ((left + right) / 2 - target) * 2 * tangent * middle_depth
        closest = eye[2] - high[2]
        eye[2] += (float((right - left).max()) / viewpoint.fill - 1) * middle_depth
        eye[2] = max(eye[2], high[2] + max(0.2 * closest, 10 * NEAR))
    return eye


@dataclass(frozen=True)
class Lens:
    """A camera at one moment, for projecting many points at once.

    Attributes:
        matrix: from world to clip coordinates, `[4, 4]`; w is the depth along the view, in scene units.
        eye: the camera's place in the world.
        near: the depth at which it begins to see.
        pose: from world to the camera's axes (x right, y down, z ahead), `[3, 4]`.
    """

    matrix: NDArray[np.float64]
    eye: NDArray[np.float64]
    near: float = NEAR
    pose: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> Lens:
        """The scene's camera as it is in the evaluated scene."""
        camera = scene.camera.evaluated_get(depsgraph)
        render = scene.render
        window = camera.calc_matrix_camera(depsgraph, x=render.resolution_x, y=render.resolution_y)
        world = np.array(camera.matrix_world.normalized())
        matrix = np.array(window) @ np.linalg.inv(world)
        pose = np.diag((1.0, -1.0, -1.0)) @ np.linalg.inv(world)[:3]
        return cls(matrix, world[:3, 3], camera.data.clip_start, pose)

    @property
    def intrinsics(self) -> NDArray[np.float64]:
        """What turns the camera's axes into normalised image coordinates, `[3, 3]`."""
        flip = np.array(((0.5, 0.0, 0.5), (0.0, -0.5, 0.5), (0.0, 0.0, 1.0)))
        turn = np.linalg.inv(np.vstack((self.pose, (0, 0, 0, 1))))
        return flip @ (self.matrix @ turn)[[0, 1, 3], :3]

    def project(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """World points `[n, 3]` to normalised image coordinates `[n, 2]` and whether each is in front."""
        clip = points @ self.matrix[:, :3].T + self.matrix[:, 3]
        in_front = clip[:, 3] > self.near
        device = clip[:, :2] / np.where(in_front, clip[:, 3], 1.0)[:, None]
        return np.stack(((device[:, 0] + 1) / 2, (1 - device[:, 1]) / 2), axis=1), in_front

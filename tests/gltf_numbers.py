# SPDX-License-Identifier: GPL-3.0-or-later
"""A glTF file's vertices at a time, computed from its numbers alone: what Blender's playing is compared with."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_KINDS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
Array = NDArray[np.float64]


class GltfNumbers:
    """A glTF 2.0 file, read plainly."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        self.folder, self.own = path.parent, b""
        if data[:4] == b"glTF":
            (size,) = struct.unpack_from("<I", data, 12)
            self.json = json.loads(data[20 : 20 + size])
            self.own = data[28 + size :]
        else:
            self.json = json.loads(data)
        self.nodes = self.json["nodes"]
        self.parents = {child: index for index, node in enumerate(self.nodes) for child in node.get("children", ())}
        self._read: dict[int, Array] = {}

    def _buffer(self, index: int) -> bytes:
        uri = self.json["buffers"][index].get("uri")
        if uri is None:
            return self.own
        if uri.startswith("data:"):
            return base64.b64decode(uri.partition(",")[2])
        return (self.folder / uri).read_bytes()

    def accessor(self, index: int) -> Array:
        if index not in self._read:
            self._read[index] = self._accessor(self.json["accessors"][index])
        return self._read[index]

    def _accessor(self, item: dict) -> Array:
        kind, width, count = np.dtype(_KINDS[item["componentType"]]), _WIDTHS[item["type"]], item["count"]
        if "bufferView" in item:
            values = self._view(item["bufferView"], item.get("byteOffset", 0), kind, width, count)
        else:
            values = np.zeros((count, width), kind)
        if "sparse" in item:
            sparse, values = item["sparse"], values.copy()
            places, news = sparse["indices"], sparse["values"]
            index_kind = np.dtype(_KINDS[places["componentType"]])
            rows = self._view(places["bufferView"], places.get("byteOffset", 0), index_kind, 1, sparse["count"])[:, 0]
            values[rows] = self._view(news["bufferView"], news.get("byteOffset", 0), kind, width, sparse["count"])
        scale = np.iinfo(kind).max if item.get("normalized") else 1
        return values.astype(np.float64) / scale

    def _view(self, index: int, offset: int, kind: np.dtype, width: int, count: int) -> NDArray:
        view = self.json["bufferViews"][index]
        data = self._buffer(view.get("buffer", 0))
        stride = view.get("byteStride", width * kind.itemsize)
        start = view.get("byteOffset", 0) + offset
        return np.ndarray((count, width), kind, data, start, (stride, kind.itemsize)).copy()

    def pose(self, animation: int | None, seconds: float) -> dict[tuple[int, str], Array]:
        """Node index and path -> value, of what an animation changes."""
        found: dict[tuple[int, str], Array] = {}
        if animation is None:
            return found
        item = self.json["animations"][animation]
        for channel in item["channels"]:
            sampler, target = item["samplers"][channel["sampler"]], channel["target"]
            times, values = self.accessor(sampler["input"])[:, 0], self.accessor(sampler["output"])
            values = values.reshape(len(times), -1)
            found[target["node"], target["path"]] = _sample(
                times, values, seconds, sampler.get("interpolation"), target
            )
        return found

    def matrices(self, pose: dict[tuple[int, str], Array]) -> list[Array]:
        """World matrices of all nodes."""
        own = [self._local(index, node, pose) for index, node in enumerate(self.nodes)]
        done: dict[int, Array] = {}

        def world(index: int) -> Array:
            if index not in done:
                parent = self.parents.get(index)
                done[index] = own[index] if parent is None else world(parent) @ own[index]
            return done[index]

        return [world(index) for index in range(len(self.nodes))]

    def _local(self, index: int, node: dict, pose: dict[tuple[int, str], Array]) -> Array:
        if "matrix" in node:
            return np.array(node["matrix"]).reshape(4, 4).T
        place = pose.get((index, "translation"), np.array(node.get("translation", (0, 0, 0))))
        turn = pose.get((index, "rotation"), np.array(node.get("rotation", (0, 0, 0, 1))))
        scale = pose.get((index, "scale"), np.array(node.get("scale", (1, 1, 1))))
        matrix = np.eye(4)
        matrix[:3, :3] = _turn(turn) * scale
        matrix[:3, 3] = place
        return matrix

    def vertices(self, animation: int | None, seconds: float) -> dict[str, Array]:
        """World positions by node name, Blender's z axis up, `[V, 3]`."""
        pose = self.pose(animation, seconds)
        worlds = self.matrices(pose)
        found = {}
        for index, node in enumerate(self.nodes):
            if "mesh" in node:
                points = self._points(self.json["meshes"][node["mesh"]], index, node, pose, worlds)
                found[node["name"]] = points[:, [0, 2, 1]] * (1, -1, 1)
        return found

    def _points(self, mesh: dict, index: int, node: dict, pose: dict, worlds: list[Array]) -> Array:
        weights = pose.get((index, "weights"), np.array(node.get("weights", mesh.get("weights", ()))))
        parts = []
        for primitive in mesh["primitives"]:
            points = self.accessor(primitive["attributes"]["POSITION"]).copy()
            for weight, target in zip(weights, primitive.get("targets", ()), strict=False):
                if "POSITION" in target:
                    points += weight * self.accessor(target["POSITION"])
            points = np.concatenate([points, np.ones((len(points), 1))], 1)
            if "skin" in node:
                skin = self.json["skins"][node["skin"]]
                inverse = self.accessor(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
                joints = np.array([worlds[joint] for joint in skin["joints"]]) @ inverse
                use = self.accessor(primitive["attributes"]["JOINTS_0"]).astype(int)
                share = self.accessor(primitive["attributes"]["WEIGHTS_0"])
                share /= share.sum(1, keepdims=True)
                points = np.einsum("vj,vjab,vb->va", share, joints[use], points)
            else:
                points = points @ worlds[index].T
            parts.append(points[:, :3])
        return np.concatenate(parts)


def _sample(times: Array, values: Array, seconds: float, interpolation: str | None, target: dict) -> Array:
    after = int(np.clip(np.searchsorted(times, seconds), 1, max(1, len(times) - 1)))
    if len(times) == 1 or seconds <= times[0]:
        return values[0]
    if seconds >= times[-1]:
        return values[-1]
    low, high = values[after - 1], values[after]
    share = (seconds - times[after - 1]) / (times[after] - times[after - 1])
    if interpolation == "STEP":
        return high if share >= 1 else low
    if target["path"] == "rotation" and low @ high < 0:
        high = -high
    mixed = low + share * (high - low)  # Blender mixes quaternions' components, too
    return mixed / np.linalg.norm(mixed) if target["path"] == "rotation" else mixed


def _turn(quaternion: Array) -> Array:
    x, y, z, w = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )

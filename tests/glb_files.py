# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing small GLB files number by number, so that a test knows all of what is in them."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FLOAT, UNSIGNED, BYTE = 5126, 5125, 5121
_WIDTHS = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


def box(low: Sequence[float] = (-1, -1, -1), high: Sequence[float] = (1, 1, 1)) -> tuple[NDArray, NDArray]:
    """The 8 corners and 12 triangles of a box."""
    corners = np.array([[(low, high)[i >> axis & 1][axis] for axis in range(3)] for i in range(8)], np.float32)
    quads = [(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)]
    return corners, np.array([tri for a, b, c, d in quads for tri in ((a, b, c), (a, c, d))], np.uint32)


def sheet(cells: int) -> tuple[NDArray, NDArray]:
    """A square of `cells`² quads: (cells + 1)² vertices and 2·cells² triangles."""
    row = np.linspace(-1, 1, cells + 1, dtype=np.float32)
    points = np.stack([*np.meshgrid(row, row, indexing="ij"), np.zeros((cells + 1, cells + 1), np.float32)], -1)
    start = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).reshape(-1, 1)
    halves = [np.add(start, corners) for corners in ((0, 1, cells + 1), (1, cells + 2, cells + 1))]
    return points.reshape(-1, 3), np.concatenate(halves).astype(np.uint32)


class Glb:
    """A glTF 2.0 document under construction; indices are glTF's own."""

    def __init__(self, **asset: Any) -> None:
        self.json: dict[str, Any] = {"asset": {"version": "2.0", **asset}}
        self.binary = bytearray()

    def add(self, kind: str, item: dict[str, Any]) -> int:
        """Append to one of the document's lists."""
        self.json.setdefault(kind, []).append(item)
        return len(self.json[kind]) - 1

    def accessor(self, values: ArrayLike, component: int = FLOAT) -> int:
        """Numbers `[count, width]` or `[count]`."""
        kind = {FLOAT: np.float32, UNSIGNED: np.uint32, BYTE: np.uint8}[component]
        array = np.ascontiguousarray(values, kind)
        array = array.reshape(len(array), -1)
        self.binary += bytes(-len(self.binary) % 4)
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": array.nbytes}
        self.binary += array.tobytes()
        item = {
            "bufferView": self.add("bufferViews", view), "componentType": component, "count": len(array),
            "type": _WIDTHS[array.shape[1]],
        }  # fmt: skip
        if component == FLOAT and np.isfinite(array).all():
            item |= {"min": array.min(0).tolist(), "max": array.max(0).tolist()}
        return self.add("accessors", item)

    def mesh(
        self, points: ArrayLike, triangles: ArrayLike, targets: Sequence[ArrayLike] = (),
        joints: ArrayLike | None = None, material: int | None = None,
    ) -> int:  # fmt: skip
        """A mesh; `targets` are displacements of shape keys, `joints` the one joint of each vertex."""
        attributes = {"POSITION": self.accessor(points)}
        if joints is not None:
            rows = np.zeros((len(joints), 4), np.uint8)
            rows[:, 0] = joints
            attributes |= {
                "JOINTS_0": self.accessor(rows, BYTE),
                "WEIGHTS_0": self.accessor(np.eye(4)[[0] * len(rows)]),
            }
        primitive: dict[str, Any] = {
            "attributes": attributes, "indices": self.accessor(np.ravel(triangles), UNSIGNED), "mode": 4,
        }  # fmt: skip
        if material is not None:
            primitive["material"] = material
        item: dict[str, Any] = {"primitives": [primitive]}
        if targets:
            primitive["targets"] = [{"POSITION": self.accessor(target)} for target in targets]
            item["weights"] = [0.0] * len(targets)
        return self.add("meshes", item)

    def node(self, name: str, **more: Any) -> int:
        """A node: `mesh`, `children`, `translation`, `rotation` (x, y, z, w), `scale`, ..."""
        return self.add("nodes", {"name": name, **more})

    def animate(self, name: str | None, *channels: tuple[int, str, ArrayLike, ArrayLike]) -> int:
        """An animation of (node, path, seconds, values) channels with linear interpolation."""
        item: dict[str, Any] = {"channels": [], "samplers": []}
        if name is not None:
            item["name"] = name
        for node, path, seconds, values in channels:
            flat = np.ravel(values) if path == "weights" else values
            sampler = {"input": self.accessor(seconds), "output": self.accessor(flat), "interpolation": "LINEAR"}
            item["samplers"].append(sampler)
            item["channels"].append({"sampler": len(item["samplers"]) - 1, "target": {"node": node, "path": path}})
        return self.add("animations", item)

    def finish(self) -> None:
        """A scene of all nodes without a parent."""
        children = {child for node in self.json.get("nodes", ()) for child in node.get("children", ())}
        roots = [index for index in range(len(self.json.get("nodes", ()))) if index not in children]
        self.json |= {"scenes": [{"nodes": roots}], "scene": 0}
        if self.binary:
            self.json["buffers"] = [{"byteLength": len(self.binary)}]

    def write(self, path: Path) -> Path:
        """Write it as .glb."""
        self.finish()
        text = json.dumps(self.json).encode()
        text += b" " * (-len(text) % 4)
        binary = bytes(self.binary) + bytes(-len(self.binary) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text
        if binary:
            chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
        path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
        return path

    def write_apart(self, path: Path, buffer: str | None = None) -> Path:
        """Write it as .gltf with its buffer beside it."""
        self.finish()
        name = buffer or f"{path.stem}.bin"
        (path.parent / name).write_bytes(bytes(self.binary))
        self.json["buffers"][0]["uri"] = name
        path.write_text(json.dumps(self.json), "utf-8")
        return path

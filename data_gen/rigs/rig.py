# SPDX-License-Identifier: GPL-3.0-or-later
"""A rig: a tree of parts with joints, animated by real keyframes on Blender objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import bpy
import numpy as np
from numpy.typing import NDArray

from ..compat import assigned, curves_of
from .shapes import Shape

AXES = {"x": 0, "y": 1, "z": 2}


@dataclass(frozen=True)
class Joint:
    """How a part may move against its parent.

    Attributes:
        kind: "revolute" (state in radians about the axis) or "prismatic" (state in scene units along it).
        axis: "x", "y" or "z", with a leading "-" for the opposite sense.
        origin: a point on the axis, in rig coordinates with every joint at state 0.
        limits: lowest and highest state.
    """

    kind: str
    axis: str
    origin: tuple[float, float, float]
    limits: tuple[float, float]

    @property
    def index(self) -> int:
        """0, 1, 2 for x, y, z."""
        return AXES[self.axis[-1]]

    @property
    def sign(self) -> float:
        """-1 where the axis has a leading minus."""
        return -1.0 if self.axis.startswith("-") else 1.0


@dataclass(frozen=True, eq=False)
class Part:
    """A rigid part: one mesh object.

    Attributes:
        id: 0 for the static body, counting up in order of making.
        name: also the Blender object's name.
        object: the Blender object; its origin lies on the joint's axis.
        parent: the part it hangs on; None for the body.
        joint: None for the body and for parts fixed to their parent.
    """

    id: int
    name: str
    object: bpy.types.Object
    parent: Part | None = None
    joint: Joint | None = None


@dataclass(frozen=True)
class View:
    """From where a rig is worth looking at: azimuth about the front and elevation, in degrees."""

    azimuth: tuple[float, float] = (-70.0, 70.0)
    elevation: tuple[float, float] = (5.0, 45.0)


@dataclass
class Rig:
    """An articulated object in the current Blender scene.

    Attributes:
        kind: a key of `rigs.BUILDERS`.
        view: from where it is worth looking at.
        parts: the body first.
        gates: for parts shut in behind a door or under a lid: that part. They move only while it stands open.
        chains: joints that mostly bend together, as a spine's do.
    """

    kind: str
    view: View = field(default_factory=View)
    parts: list[Part] = field(default_factory=list)
    gates: dict[Part, Part] = field(default_factory=dict)
    chains: list[list[Part]] = field(default_factory=list)

    @property
    def joints(self) -> list[Part]:
        """The parts that can move, in order; a part stands for its joint."""
        return [part for part in self.parts if part.joint is not None]

    def add_part(self, name: str, shape: Shape, parent: Part | None = None, joint: Joint | None = None) -> Part:
        """Make a part's object from a shape given in rig coordinates with every joint at state 0."""
        hangs_on = parent or (self.parts[0] if self.parts else None)
        base = _origin(hangs_on)
        origin = np.array(joint.origin) if joint else base
        item = bpy.data.objects.new(name, shape.to_mesh(name, origin))
        bpy.context.scene.collection.objects.link(item)
        item.location = origin - base
        if hangs_on is not None:
            item.parent = hangs_on.object
        part = Part(len(self.parts), name, item, hangs_on, joint)
        self.parts.append(part)
        return part

    def pose(self, part: Part, state: float) -> None:
        """Put a joint into a state, without a keyframe."""
        joint = _joint_of(part)
        if joint.kind == "revolute":
            part.object.rotation_euler[joint.index] = joint.sign * state
        else:
            part.object.location[joint.index] = self._rest(part) + joint.sign * state

    def animate(
        self, part: Part, states: Sequence[float], frames: Sequence[int], interpolation: str = "LINEAR"
    ) -> None:
        """Key a joint: `states[i]` at frame `frames[i]`.

        Args:
            part: one of `joints`.
            states: radians (revolute) or scene units (prismatic).
            frames: frame numbers, rising.
            interpolation: between keys: "LINEAR" or "BEZIER" (rests at both ends).
        """
        joint = _joint_of(part)
        if len(states) != len(frames):
            raise ValueError(f"{len(states)} states for {len(frames)} frames")
        values = joint.sign * np.asarray(states, float)
        path = "rotation_euler"
        if joint.kind == "prismatic":
            path, values = "location", values + self._rest(part)
        data = part.object.animation_data_create()
        if data.action is None:
            data.action = bpy.data.actions.new(part.name)
        part.object.keyframe_insert(path, index=joint.index)  # the one way to a curve in all versions of Blender
        curves = curves_of(*assigned(data))
        curve = next(one for one in curves if (one.data_path, one.array_index) == (path, joint.index))
        curve.keyframe_points.clear()
        for frame, value in zip(frames, values, strict=True):
            curve.keyframe_points.insert(frame, float(value)).interpolation = interpolation
        curve.update()

    def _rest(self, part: Part) -> float:
        """The object's own coordinate along a prismatic joint's axis at state 0."""
        joint = _joint_of(part)
        return float(joint.origin[joint.index] - (_origin(part.parent)[joint.index] if part.parent else 0.0))

    def subtree(self, part: Part) -> list[Part]:
        """The part and all that hangs on it."""
        found = [part]
        for other in self.parts:
            if other.parent in found:
                found.append(other)
        return found


def _joint_of(part: Part) -> Joint:
    if part.joint is None:
        raise ValueError(f'part "{part.name}" has no joint')
    return part.joint


def _origin(part: Part | None) -> NDArray[np.float64]:
    """Where a part's object has its origin, in rig coordinates with every joint at state 0."""
    while part is not None:
        if part.joint is not None:
            return np.array(part.joint.origin)
        part = part.parent
    return np.zeros(3)

# SPDX-License-Identifier: GPL-3.0-or-later
"""What one action does to one datablock, and how everything was before any action."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .. import compat
from ..compat import Slot

# Collections of Blender's data whose members may be animated and then move or change something that is seen.
_ANIMATED = (
    "objects", "shape_keys", "meshes", "armatures", "curves", "metaballs", "lattices", "materials", "node_groups",
    "cameras", "lights", "particles", "textures", "cache_files",
)  # fmt: skip
_TRANSFORM = ("location", "rotation_euler", "rotation_quaternion", "rotation_axis_angle", "scale")
Place = tuple[str, str, str]  # kind and name of a datablock, data path of a property of its
_POSE = re.compile(r'pose\.bones\["(?:[^"\\]|\\.)*"\]\.(location|rotation_\w+|scale)$')
_CUSTOM = re.compile(r'(.*)\["((?:[^"\\]|\\.)*)"\]$')


@dataclass(frozen=True)
class Channel:
    """What an action does to a datablock.

    Attributes:
        target: the datablock.
        action: the action.
        slot: the action's slot for it; None until Blender 4.3.
    """

    target: bpy.types.ID
    action: bpy.types.Action
    slot: Slot | None

    @property
    def key(self) -> tuple[str, str, str, str]:
        """For comparison: Blender makes a new Python object for the same thing at each look."""
        kind = self.target.bl_rna.identifier
        return kind, self.target.name_full, self.action.name_full, compat.slot_name(self.slot)

    def curves(self) -> list[bpy.types.FCurve]:
        """The curves of the action for this datablock."""
        return compat.curves_of(self.action, self.slot)

    def range(self) -> tuple[float, float] | None:
        """First and last frame with a finite key; None without any."""
        keys = [_key_times(curve) for curve in self.curves()]
        times = np.concatenate([np.zeros(0), *keys])
        times = times[np.isfinite(times)]
        return (float(times.min()), float(times.max())) if len(times) else None

    def broken_times(self) -> list[float]:
        """Times of the keys whose values are not finite."""
        found = []
        for curve in self.curves():
            keys = _keys(curve)
            found += keys[~np.isfinite(keys[:, 1]) & np.isfinite(keys[:, 0]), 0].tolist()
        return sorted(set(found))


def _keys(curve: bpy.types.FCurve) -> NDArray[np.float32]:
    """Time and value of a curve's keys, or of its samples where it is baked, `[keys, 2]`."""
    points = curve.keyframe_points or curve.sampled_points
    keys = np.empty(2 * len(points), np.float32)
    points.foreach_get("co", keys)
    return keys.reshape(-1, 2)


def _key_times(curve: bpy.types.FCurve) -> NDArray[np.float32]:
    return _keys(curve)[:, 0]


def animated() -> Iterator[bpy.types.ID]:
    """Every datablock that may carry animation and does."""
    for name in _ANIMATED:
        for item in getattr(bpy.data, name, ()):
            yield from (part for part in (item, getattr(item, "node_tree", None)) if _has_data(part))


def _has_data(item: bpy.types.ID | None) -> bool:
    """Whether there is animation that may be changed: what is linked from other files plays as it is."""
    return item is not None and item.animation_data is not None and item.library is None


@dataclass
class Stage:
    """The state of all animation as a file was opened, to return to between two animations.

    Attributes:
        assigned: the channel that each datablock plays by itself.
        tracks: NLA tracks, whether they were muted and whether they were solo.
        values: by datablock and data path, the animated properties' values when no animation has a say.
        opened: the same as they were in the file.
    """

    assigned: list[Channel] = field(default_factory=list)
    tracks: list[tuple[bpy.types.NlaTrack, bool, bool]] = field(default_factory=list)
    values: list[tuple[bpy.types.ID, str, Any]] = field(default_factory=list)
    opened: list[tuple[bpy.types.ID, str, Any]] = field(default_factory=list)

    @classmethod
    def now(cls) -> Stage:
        """Look at the current file."""
        stage = cls()
        for item in animated():
            data = item.animation_data
            if data.use_tweak_mode:
                data.use_tweak_mode = False
            action, slot = compat.assigned(data)
            if action is not None:
                stage.assigned.append(Channel(item, action, slot))
            stage.tracks += [(track, track.mute, track.is_solo) for track in data.nla_tracks]
        return stage

    def strips(self) -> Iterator[tuple[bpy.types.ID, bpy.types.NlaTrack, bpy.types.NlaStrip]]:
        """All NLA strips with an action."""
        for item in animated():
            for track in item.animation_data.nla_tracks:
                yield from ((item, track, strip) for strip in track.strips if strip.action is not None)

    def remember(self, channels: Iterable[Channel], still: Mapping[Place, Any] | None) -> None:
        """Note the values of everything that some channel changes.

        Args:
            channels: of all animations.
            still: values where nothing is animated, as far as they are known to differ from those now; None: bones
                are at rest then.
        """
        changed = {
            (*channel.key[:2], curve.data_path): channel.target for channel in channels for curve in channel.curves()
        }
        for place, target in changed.items():
            path = place[2]
            value = _get(target, path)
            if value is None:
                continue
            self.opened.append((target, path, value))
            rest = _at_rest(path) if still is None else still.get(place)
            self.values.append((target, path, value if rest is None else rest))

    def silence(self) -> None:
        """Let no animation play, and everything be as before any."""
        for item in animated():
            compat.assign(item.animation_data, None, None)
        for track, _, _ in self.tracks:
            track.is_solo = False
            track.mute = True
        for target, path, value in self.values:
            _set(target, path, value)

    def restore(self) -> None:
        """Let play what played when the file was opened."""
        self.silence()
        for target, path, value in self.opened:
            _set(target, path, value)
        for track, mute, solo in self.tracks:
            track.mute, track.is_solo = mute, solo
        for channel in self.assigned:
            compat.assign(channel.target.animation_data, channel.action, channel.slot)


def play(channels: Iterable[Channel]) -> None:
    """Let channels play beside what plays already."""
    for channel in channels:
        data = channel.target.animation_data or channel.target.animation_data_create()
        compat.assign(data, channel.action, channel.slot)


def _at_rest(path: str) -> Any:
    """The value of a bone's transform at rest; None for other paths."""
    found = _POSE.match(path)
    if found is None:
        return None
    rest = {"location": (0.0,) * 3, "scale": (1.0,) * 3, "rotation_quaternion": (1.0, 0.0, 0.0, 0.0)}
    rest |= {"rotation_euler": (0.0,) * 3, "rotation_axis_angle": (0.0, 0.0, 1.0, 0.0)}
    return rest.get(found.group(1))


def values_now() -> dict[Place, Any]:
    """The transforms of all objects and bones, and the values of all shape keys, of the current file."""
    found: dict[Place, Any] = {}
    for item in bpy.data.objects:
        paths = list(_TRANSFORM)
        for bone in item.pose.bones if item.pose else ():
            paths += [f'pose.bones["{bpy.utils.escape_identifier(bone.name)}"].{name}' for name in _TRANSFORM]
        found |= {(item.bl_rna.identifier, item.name_full, path): _get(item, path) for path in paths}
    for keys in bpy.data.shape_keys:
        for block in keys.key_blocks:
            path = f'key_blocks["{bpy.utils.escape_identifier(block.name)}"].value'
            found[keys.bl_rna.identifier, keys.name_full, path] = block.value
    return found


def resolves(target: bpy.types.ID, path: str) -> bool:
    """Whether a datablock has a property."""
    try:
        target.path_resolve(path)
    except ValueError:
        return False
    return True


def _get(target: bpy.types.ID, path: str) -> Any:
    """A property's value, copied; None for what it does not have."""
    if not resolves(target, path):
        return None
    value = target.path_resolve(path)
    return tuple(value) if hasattr(value, "__len__") and not isinstance(value, str) else value


def _set(target: bpy.types.ID, path: str, value: Any) -> None:
    """Set a property, or a custom property."""
    custom = _CUSTOM.match(path)
    if custom:
        owner = target.path_resolve(custom.group(1)) if custom.group(1) else target
        owner[bpy.utils.unescape_identifier(custom.group(2))] = value
        return
    owner, _, name = path.rpartition(".")
    setattr(target.path_resolve(owner) if owner else target, name, value)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Every animation of an opened file, by name, with the channels that make it.

Each importer keeps them in its own way: glTF as muted NLA tracks of the animation's name, FBX as actions with a slot
for each object (or, before Blender 4.5, one action for each object, called Object|Stack|Layer), USD and Alembic as one
cache read at the scene's time. A .blend file may have all of these at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import bpy

from .. import compat
from ..compat import Slot
from .channels import Channel, Stage, resolves
from .timed import goes_on, moves_by_itself

_FITS = 0.5  # share of an action's curves that a datablock must have properties for
_KINDS = {
    "OBJECT": "objects", "KEY": "shape_keys", "ARMATURE": "armatures", "MESH": "meshes", "MATERIAL": "materials",
    "NODETREE": "node_groups", "CURVE": "curves", "LATTICE": "lattices", "CAMERA": "cameras", "LIGHT": "lights",
}  # fmt: skip


@dataclass(frozen=True)
class Animation:
    """One animation of a file.

    Attributes:
        name: as the file has it; may be empty, and two may be equal.
        channels: what it consists of.
        first, last: its frames.
        as_opened: whether it is what plays when the file is opened, with its caches, drivers and NLA strips.
    """

    name: str
    channels: tuple[Channel, ...]
    first: float
    last: float
    as_opened: bool = False


def of_gltf(stage: Stage, declared: Sequence[str]) -> list[Animation]:
    """The animations of an imported glTF file, in the file's order."""
    tracks = _by_track(stage)
    names = _track_names(declared)
    found = [_make(name, tracks.pop(track)) for name, track in zip(declared, names, strict=True) if track in tracks]
    return [item for item in [*found, *(_make(name, channels) for name, channels in tracks.items())] if item]


def _track_names(declared: Sequence[str]) -> list[str]:
    """The names that the importer gives to animations' tracks: unlike each other, 63 bytes at most."""
    taken: list[str] = []
    for number, wanted in enumerate(declared):
        stem, suffix, count = (wanted or f"Anim_{number}")[:63], "", 0
        while len((stem + suffix).encode()) > 63 or stem + suffix in taken:
            if len((stem + suffix).encode()) > 63:
                stem = stem[:-1]
            else:
                count += 1
                suffix = f".{count:03d}"
        taken.append(stem + suffix)
    return taken


def of_fbx(declared: Sequence[str]) -> list[Animation]:
    """The animations of an imported FBX file: one for each stack, in the file's order."""
    groups: dict[str, list[Channel]] = {}
    for action in bpy.data.actions:
        for channel in _channels_of(action):
            groups.setdefault(_stack_of(channel, declared), []).append(channel)
    order = {name: index for index, name in reversed(list(enumerate(declared)))}
    made = [_make(name, channels) for name, channels in groups.items()]
    return sorted((item for item in made if item), key=lambda item: order.get(item.name, len(order)))


def _stack_of(channel: Channel, declared: Sequence[str]) -> str:
    """The stack that an action was made of. Before Blender 4.5 it is called Object|Stack or Object|Stack|Layer."""
    name = channel.action.name
    if name in declared:
        return name
    rest = name.removeprefix(f"{channel.target.name}|")
    return next((stack for stack in declared if rest in (stack, f"{stack}|{stack}")), rest.partition("|")[0])


def of_scene(scene: bpy.types.Scene, stage: Stage, name: str = "") -> list[Animation]:
    """The scene as it is opened, if anything in it may move."""
    channels = _playing(stage)
    if not channels and not moves_by_itself(scene):
        return []
    first, last = float(scene.frame_start), float(scene.frame_end)
    span = _span(channels)
    if span and not moves_by_itself(scene) and not any(goes_on(channel.curves()) for channel in channels):
        # Beyond its keys nothing happens; outside the scene's range nobody looks.
        inside = max(first, span[0]), min(last, span[1])
        first, last = inside if inside[1] > inside[0] else span
    return [Animation(name, tuple(channels), first, last, as_opened=True)]


def of_blend(scene: bpy.types.Scene, stage: Stage) -> list[Animation]:
    """What plays when the file is opened, then NLA tracks by name, then actions that fit and play nowhere."""
    playing = of_scene(scene, stage, _name_of_scene(scene, stage))
    known = {channel.key for item in playing for channel in item.channels}
    tracks = [_make(name, channels) for name, channels in _by_track(stage).items()]
    # A single track with all that plays is the scene itself once more.
    tracks = [item for item in tracks if item and {channel.key for channel in item.channels} != known]
    used = {channel.key[2] for item in [*playing, *tracks] for channel in item.channels}
    spare = _from_actions(action for action in bpy.data.actions if action.name_full not in used)
    return [*playing, *tracks, *spare]


def _name_of_scene(scene: bpy.types.Scene, stage: Stage) -> str:
    names = {channel.action.name for channel in _playing(stage)}
    return names.pop() if len(names) == 1 else scene.name


def _playing(stage: Stage) -> list[Channel]:
    """Channels that play when the file is opened."""
    strips = [
        Channel(item, *compat.assigned(strip))
        for item, track, strip in stage.strips()
        if not track.mute and not strip.mute
    ]
    return _unlike([*stage.assigned, *strips])


def _unlike(channels: Iterable[Channel]) -> list[Channel]:
    return list({channel.key: channel for channel in channels}.values())


def _by_track(stage: Stage) -> dict[str, list[Channel]]:
    """The channels of all NLA tracks by the tracks' names, each strip with another action by itself."""
    found: dict[str, list[Channel]] = {}
    for item, track, strip in stage.strips():
        several = len({other.action.name_full for other in track.strips if other.action}) > 1
        name = f"{track.name}/{strip.name}" if several else track.name
        channel = Channel(item, *compat.assigned(strip))
        channels = found.setdefault(name, [])
        if channel.key in {other.key for other in channels}:
            continue
        if channel.key[:2] in {other.key[:2] for other in channels}:  # the same name twice on one datablock
            channels = found.setdefault(f"{name}/{strip.action.name}", [])
        channels.append(channel)
    return found


def _from_actions(actions: Iterable[bpy.types.Action]) -> list[Animation]:
    """Animations from actions that no datablock needs to play."""
    groups: dict[str, list[Channel]] = {}
    for action in actions:
        channels = _channels_of(action)
        if _are_alternatives(channels):
            for channel in channels:
                groups.setdefault(f"{action.name}/{compat.slot_name(channel.slot)}", []).append(channel)
        else:
            for channel in channels:
                groups.setdefault(action.name, []).append(channel)
    made = [_make(name, channels) for name, channels in groups.items()]
    return [item for item in made if item]


def _are_alternatives(channels: Sequence[Channel]) -> bool:
    """Whether several slots of an action are for the same datablock."""
    targets = [channel.key[:2] for channel in channels]
    return len(targets) > len(set(targets))


def _channels_of(action: bpy.types.Action) -> list[Channel]:
    """What an action moves: by its slots' users, by names, or by the properties it has curves for."""
    found = []
    for slot in compat.slots_of(action):
        paths = [curve.data_path for curve in compat.curves_of(action, slot)]
        if paths:
            found += [Channel(target, action, slot) for target in _targets(action, slot, paths)]
    return _unlike(found)


def _targets(action: bpy.types.Action, slot: Slot | None, paths: Sequence[str]) -> list[bpy.types.ID]:
    users = compat.users_of(slot)
    if users:
        return users
    candidates = list(_candidates(action, slot))
    named = [item for item in candidates if item.name == compat.slot_name(slot)]
    named += [item for item in candidates if action.name.startswith(f"{item.name}|")]
    meant = next((item for item in named if _share(item, paths) >= _FITS), None)
    if meant is not None:
        return [meant]
    fitting = [item for item in candidates if _share(item, paths) >= _FITS]
    if all(_says_whose(path) for path in paths):
        return sorted(fitting, key=lambda item: -_share(item, paths))[:1]
    # Everything has a location: without a name an action is taken for the object that it is called after.
    called = [item for item in fitting if item.name in action.name]
    called = called or [item for item in fitting if len(fitting) == 1]
    return sorted(called, key=lambda item: -len(item.name))[:1]


def _candidates(action: bpy.types.Action, slot: Slot | None) -> Iterator[bpy.types.ID]:
    kind = compat.target_type(action, slot)
    if kind == "OBJECT":
        yield from bpy.context.scene.objects
    elif kind in _KINDS:
        yield from getattr(bpy.data, _KINDS[kind])
    elif kind == "UNSPECIFIED":
        yield from bpy.context.scene.objects
        yield from bpy.data.shape_keys


def _share(item: bpy.types.ID, paths: Sequence[str]) -> float:
    return sum(resolves(item, path) for path in paths) / len(paths)


def _says_whose(path: str) -> bool:
    """Whether a data path names a part of a datablock (a bone, a shape key) rather than what each has."""
    return "[" in path


def _make(name: str, channels: Sequence[Channel]) -> Animation | None:
    """An animation, if its channels have keys."""
    span = _span(channels)
    return Animation(name, tuple(channels), *span) if span else None


def _span(channels: Iterable[Channel]) -> tuple[float, float] | None:
    ranges = [span for span in (channel.range() for channel in channels) if span]
    return (min(first for first, _ in ranges), max(last for _, last in ranges)) if ranges else None

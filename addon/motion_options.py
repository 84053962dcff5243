# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of drags made from motion: the scene keeps them for the panel, the operator takes them from scripts."""

from bpy.props import EnumProperty, FloatProperty, IntProperty

SOURCE_ITEMS = (
    ("BONES", "Bones", "The selected bones of the active armature", "BONE_DATA", 0),
    ("OBJECTS", "Objects", "The origins of the selected objects and empties", "OBJECT_DATA", 1),
    ("VERTICES", "Vertices", "The selected vertices of the active mesh", "VERTEXSEL", 2),
)
BONE_PART_ITEMS = (
    ("HEAD", "Head", "Where the bone begins"),
    ("MIDDLE", "Middle", "Halfway along the bone"),
    ("TAIL", "Tail", "Where the bone ends"),
)


def source(default: str) -> object:
    """What drags are made from."""
    return EnumProperty(name="Motion Of", description="What drags are made from", items=SOURCE_ITEMS, default=default)


def bone_part() -> object:
    """Which point of a bone."""
    return EnumProperty(
        name="Bone Part", description="Which point of each bone is followed", items=BONE_PART_ITEMS, default="TAIL"
    )


def start() -> object:
    """The first frame."""
    return IntProperty(
        name="Start", description="First frame of the motion, the one that the still shows", default=1, subtype="TIME"
    )


def end() -> object:
    """The last frame."""
    return IntProperty(
        name="End",
        description="Last frame of the motion, which the preview's last frame shows",
        default=25,
        subtype="TIME",
    )


def tolerance() -> object:
    """How exact the drags are."""
    return FloatProperty(
        name="Tolerance",
        description="How far a drag may be from the motion at any time, in parts of the still's diagonal: "
        "a larger value gives fewer points",
        default=0.01,
        min=0.0,
        max=0.1,
        step=0.1,
        precision=4,
    )

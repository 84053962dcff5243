# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender --command puppet_master data ...`: the command line for those who have Blender alone."""

from __future__ import annotations

import sys
from typing import Any

import bpy

from ... import __version__
from . import doors

NAME = "puppet_master"
USAGE = f"usage: blender [SCENE.blend] --command {NAME} data {'|'.join(doors.COMMANDS)} ... (--help tells more)"
WRONG_USAGE = 2

_handle: Any = None


def main(arguments: list[str]) -> int:
    """Run what follows `--command puppet_master`; returns the exit code."""
    match arguments[:1]:
        case ["--version"]:
            print(__version__)
            return 0
        case [] | ["-h" | "--help"]:
            print(USAGE)
            return 0
        case ["data"]:
            return doors.main(_with_open_file(arguments[1:]), f"blender --command {NAME} data")
    print(f"there is no command {arguments[0]!r}; {USAGE}", file=sys.stderr)
    return WRONG_USAGE


def _with_open_file(arguments: list[str]) -> list[str]:
    """`--scene` without a file stands for the .blend that Blender was started with."""
    words: list[str] = []
    for word, following in zip(arguments, [*arguments[1:], "--"], strict=False):
        words.append(word)
        if word == "--scene" and following.startswith("--") and bpy.data.filepath:
            words.append(bpy.data.filepath)
    return words


def register() -> None:
    """Register the command."""
    global _handle
    _handle = bpy.utils.register_cli_command(NAME, main)


def unregister() -> None:
    """Unregister the command."""
    bpy.utils.unregister_cli_command(_handle)

# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender --command puppet_master data ...`: the command line for those who have Blender alone.

Other rooms' commands are added by the extension's door (`COMMANDS`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import bpy

from ... import __version__
from . import doors

NAME = "puppet_master"
WRONG_USAGE = 2

_handle: Any = None


def main(arguments: list[str]) -> int:
    """Run what follows `--command puppet_master`; returns the exit code."""
    match arguments[:1]:
        case ["--version"]:
            print(__version__)
            return 0
        case [] | ["-h" | "--help"]:
            print(usage())
            return 0
        case [name] if name in COMMANDS:
            return COMMANDS[name](arguments[1:], f"blender --command {NAME} {name}")
    print(f"there is no command {arguments[0]!r}; {usage()}", file=sys.stderr)
    return WRONG_USAGE


def usage() -> str:
    """How to call it, in a line."""
    return f"usage: blender [SCENE.blend] --command {NAME} {'|'.join(COMMANDS)} ... (--help tells more)"


def _data(arguments: list[str], program: str) -> int:
    return doors.main(_with_open_file(arguments), program)


def _with_open_file(arguments: list[str]) -> list[str]:
    """`--scene` without a file stands for the .blend that Blender was started with."""
    words: list[str] = []
    for word, following in zip(arguments, [*arguments[1:], "--"], strict=False):
        words.append(word)
        if word == "--scene" and following.startswith("--") and bpy.data.filepath:
            words.append(bpy.data.filepath)
    return words


COMMANDS: dict[str, Callable[[list[str], str], int]] = {"data": _data}


def register() -> None:
    """Register the command."""
    global _handle
    _handle = bpy.utils.register_cli_command(NAME, main)


def unregister() -> None:
    """Unregister the command."""
    bpy.utils.unregister_cli_command(_handle)

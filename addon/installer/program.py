# SPDX-License-Identifier: GPL-3.0-or-later
"""The program's arguments, and its way from them to an exit code."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from .devices import BUILDS, probe_device
from .environment import install, uninstall, verify
from .events import EXIT_CODES, Refusal, tell
from .one_at_a_time import alone
from .processes import stop_when_stdin_ends


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code."""
    given = _parser().parse_args(arguments)
    if given.command == "probe":
        print(json.dumps(probe_device()))
        return 0
    root = given.root.absolute()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in Blender's terminal is for Blender
    threading.Thread(target=stop_when_stdin_ends, daemon=True).start()
    try:
        with alone(root):
            if given.command == "install":
                about = install(root, given.lock, given.torch, given.index, given.python)
            elif given.command == "verify":
                tell("stage", stage="verify", share=0.1)
                about = verify(root, given.lock)
            else:
                about = uninstall(root)
    except Refusal as error:
        tell("error", kind=error.kind, message=" ".join(str(error).split()))
        return EXIT_CODES[error.kind]
    except OSError as error:
        tell("error", kind="output", message=f"cannot write {error.filename or root}: {error.strerror}")
        return EXIT_CODES["output"]
    tell("end", **about)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("installer", description="The backend's Python environment.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("probe")
    for name in ("install", "verify", "uninstall"):
        command = commands.add_parser(name)
        command.add_argument("root", type=Path)
        if name != "uninstall":
            command.add_argument("--lock", type=Path, required=True)
    install_command = commands.choices["install"]
    install_command.add_argument("--torch", choices=("auto", *BUILDS), default="auto")
    install_command.add_argument("--index", default="")
    install_command.add_argument("--python", default="")
    return parser

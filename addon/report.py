# SPDX-License-Identifier: GPL-3.0-or-later
"""A report on the backend for whoever is asked for help, with nothing in it that is nobody else's business."""

from __future__ import annotations

import getpass
import platform
import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import bpy

from ..backend.process import tail
from . import backend_link, install, jobs, pace, preferences

if TYPE_CHECKING:
    from .backend_state import Shown

LOG_CHARACTERS = 4000
HIDDEN = "(hidden)"
WORDS = r"token|secret|password|passwd|api[_-]?key"
# What reads like a secret, wherever it stands: passwords in addresses, tokens, keys.
SECRETS = (
    (re.compile(r"(\w+://)[^/\s:@]+(?::[^/\s@]*)?@"), rf"\1{HIDDEN}@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), rf"\1 {HIDDEN}"),
    (re.compile(rf"(?i)\b([\w-]*(?:{WORDS})[\w-]*[\"']?\s*[:=]\s*[\"']?)[^\s\"',}}]+"), rf"\1{HIDDEN}"),
    (re.compile(r"\bhf_\w{8,}"), HIDDEN),
)


def report(shown: Shown) -> str:
    """The report as text."""
    about = shown.found.about if shown.found is not None else {}
    condition = shown.found.condition.value if shown.found is not None else ""
    own = preferences.own()
    lines = [
        f"Puppet Master {_version()} in Blender {bpy.app.version_string} on {platform.platform()}",
        f"state: {shown.state.value}" + (f": {shown.why}" if shown.why else ""),
        f"environment: {condition} {about}",
        f"online access: {shown.online}",
    ]
    if own is not None:
        names = ("build", "device", "memory_mode", "memory", "idle_minutes", "free_before_render", "backend_python")
        names += ("index_url", "hub_mirror")
        lines.append("settings: " + ", ".join(f"{name}={getattr(own, name)}" for name in names))
    lines += [f"job {job.serial}: {job.text()}" for job in jobs.listed()]
    lines += [f"main thread: {what} {seconds * 1000:.1f} ms at most" for what, seconds in pace.longest().items()]
    if (task := install.task()) is not None:
        lines.append(f"last change: {task.text()}")
    if (log := backend_link.log()) is not None:
        lines += ["", "log:", tail(log)[-LOG_CHARACTERS:]]
    return without_secrets("\n".join(lines))


def without_secrets(text: str) -> str:
    """A text without user and host names, home folders, passwords and tokens."""
    for pattern, harmless in SECRETS:
        text = pattern.sub(harmless, text)
    text = text.replace(str(Path.home()), "~")
    for name in _names():
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", HIDDEN, text)
    return text


def _names() -> list[str]:
    """Names of the user and of this computer, where they are long enough to mean something."""
    names = []
    for ask in (getpass.getuser, socket.gethostname):
        with suppress(OSError, KeyError, ImportError):
            names.append(ask())
    return [name for name in names if len(name) > 2 and name not in ("root", "localhost")]


def _version() -> str:
    from .. import __version__

    return __version__

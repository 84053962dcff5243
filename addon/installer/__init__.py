# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs, checks and removes the backend's Python environment, in a process of its own.

    python addon/installer install ROOT --lock FILE [--torch auto|cpu|cuda|rocm|mps] [--index URL] [--python PATH]
    python addon/installer verify ROOT --lock FILE
    python addon/installer uninstall ROOT
    python addon/installer probe

It prints JSON lines: `{"event": "stage"|"progress"|"note", ...}` and last `{"event": "end", ...}`, or
`{"event": "error", "kind", "message"}` with the exit code of the error's kind. What pip says goes to
`ROOT/install.log`. Everything lies below ROOT: `venv`, pip's cache, temporary files. `ROOT/INCOMPLETE` is there
from the first step to the last; the same command goes on where it was stopped. It stops when stdin ends: the
Blender that started it has cancelled, or is gone.

stdlib only, and nothing of the rest of the project: Blender's own Python runs it by its path. `program` reads from the
top down: `environment` has the steps, the other files one thing each that they need. The add-on imports what is named
here.
"""

from .environment import INCOMPLETE, INSTALLED, venv_python
from .one_at_a_time import note_in_use
from .pins import fingerprint, read_lock
from .processes import PROGRAM

__all__ = ["INCOMPLETE", "INSTALLED", "PROGRAM", "fingerprint", "note_in_use", "read_lock", "venv_python"]

# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend room: model, pipeline, job queue, HTTP server, command line. It never imports bpy.

Importing this package loads nothing heavy: Blender imports the protocol part (`protocol`, `errors`,
`client`, `process`: stdlib + numpy) from here without torch.
`Session`, the interface for Python programs, is loaded when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .session import Session

__all__ = ["Session"]


def __getattr__(name: str) -> Any:
    if name == "Session":
        from .session import Session

        return Session
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

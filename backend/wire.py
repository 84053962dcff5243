# SPDX-License-Identifier: GPL-3.0-or-later
"""What the backend's client and server agree on beside the protocol: versions, limits, states, the handshake.

stdlib only: the add-on reaches it through `client` and `process`.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .errors import BackendError

API_VERSION = 1
HOST = "127.0.0.1"
MAX_REQUEST_BYTES = 64 * 1024 * 1024

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
FINAL_STATES = frozenset({DONE, FAILED, CANCELLED})

Status = dict[str, Any]
"""A preview's status as JSON: id, state, stage, step, steps, progress, eta_s, notes, error, result."""


class Event(NamedTuple):
    """One server-sent event: kind "status" (data: a status) or "estimate" (data: `frames_png`, base64)."""

    kind: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Handshake:
    """How a parent finds the backend it started. The file holds the token: only the user may read it."""

    port: int
    token: str
    pid: int
    api: int
    version: str

    def write(self, path: Path) -> None:
        """Write the file whole or not at all, mode 0600."""
        # mkstemp creates with mode 0600; on Windows the user's temporary folder is private by its ACL.
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file)
        Path(temporary).replace(path)

    @classmethod
    def read(cls, path: Path) -> Handshake:
        """Read what `write` wrote. Raises `BackendError` when the backend speaks another API version."""
        handshake = cls(**json.loads(path.read_text(encoding="utf-8")))
        if handshake.api != API_VERSION:
            raise BackendError(
                f"the backend (version {handshake.version}) speaks API {handshake.api}, "
                f"this program API {API_VERSION}; install the same version of both"
            )
        return handshake

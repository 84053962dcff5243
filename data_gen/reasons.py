# SPDX-License-Identifier: GPL-3.0-or-later
"""Why an asset, an animation or a view does not become a clip, by name.

A reason is data: it is written to the ledger, counted in the report, and tested. It is no error of the run.
"""

from __future__ import annotations

REASONS: dict[str, str] = {
    # Of files.
    "missing": "the file is not there",
    "empty file": "the file holds no bytes",
    "truncated": "the file ends before its contents do",
    "unreadable": "the importer refuses the file",
    "wrong extension": "the file's contents are of another format than its name says",
    "unsupported compression": "the file needs a decoder that is not here (Draco, meshopt) or a password",
    "unsupported format": "no importer for this kind of file",
    "duplicate": "another asset of the run has the same contents",
    "licence": "the licence does not allow this use",
    "crashed": "Blender crashed on it",
    "time limit": "a stage took longer than allowed",
    "memory limit": "it took more memory than allowed",
    # Of assets.
    "no mesh": "it holds nothing that can be seen",
    "no animation": "nothing in it is animated",
    "too heavy": "it has more triangles than allowed",
    # Of animations.
    "single pose": "the animation has no length",
    "too short": "it has fewer frames than a clip needs",
    "static": "nothing moves noticeably",
    "global only": "all of it moves as one rigid whole",
    "drastic change": "place, turn or size of the whole changes too much",
    "teleport": "something jumps from one frame to the next",
    "pops": "parts appear or disappear",
    "explodes": "its extent grows out of all proportion",
    "topology changes": "the number of vertices changes, so that points cannot be followed",
    "degenerate geometry": "positions are not finite, or there is no surface",
    "unrealistic": "the judge found the motion implausible",
    "classifier": "the trained filter turned it away",
    "decided before": "the decisions given turn it away",
    # Of views.
    "off-screen": "too much of it is outside the frame",
    "invisible": "too little of the motion can be seen from here",
    "blank": "the rendered frames are all white, all black or empty",
}


class Rejection(Exception):
    """Turned away for a reason; the run goes on.

    Attributes:
        reason: a key of `REASONS`.
        detail: what was found, in one line: the thing and its value.
    """

    outcome = "rejected"

    def __init__(self, reason: str, detail: str = "") -> None:
        if reason not in REASONS:
            raise ValueError(f"no reason is called {reason!r}")
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


class Damaged(Rejection):
    """The file itself is at fault."""

    outcome = "damaged"


class NotLicensed(Rejection):
    """Its licence does not allow this use."""

    outcome = "licence"

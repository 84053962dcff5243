# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors a user can meet, each with the exit code the command line gives it.

Every message is one line that names the thing, the value and the fix. Whatever is not one of these
is a fault of ours and keeps its traceback.
"""

from __future__ import annotations

OUT_OF_MEMORY = "out of memory; ask for fewer frames, a smaller model or another device"  # wherever it ran out


class PuppetMasterError(Exception):
    """Base of all errors a user can cause or mend.

    Attributes:
        kind: stable machine name, also sent over HTTP.
        exit_code: what `puppet-master` exits with. 0 is success, 1 a fault of ours, 2 wrong usage,
            3 is kept for "done, but not everything" in batch commands.
    """

    kind = "error"
    exit_code = 1


class InputError(PuppetMasterError):
    """A still, scene, drag file or clip that cannot be used as it is."""

    kind = "input"
    exit_code = 4


class ModelError(PuppetMasterError):
    """A model folder or weight file that is missing, incomplete, corrupt or of another architecture."""

    kind = "model"
    exit_code = 5


class BackendError(PuppetMasterError):
    """The backend process cannot start, cannot be reached, refused the request or died."""

    kind = "backend"
    exit_code = 6


class OutputError(PuppetMasterError):
    """A result cannot be written: no permission, no space, a file where a folder should be."""

    kind = "output"
    exit_code = 7


class RequirementError(PuppetMasterError):
    """The machine lacks something the program needs: Blender's module, a system library, memory."""

    kind = "requirement"
    exit_code = 8


class NetworkError(PuppetMasterError):
    """A hub cannot be reached, is not to be asked (offline), or does not deliver what it should."""

    kind = "network"
    exit_code = 9


class AccessError(PuppetMasterError):
    """A hub wants to know who asks, or that its terms are accepted there: no token, a wrong one, a gated model."""

    kind = "access"
    exit_code = 10


class LicenceError(PuppetMasterError):
    """The licence of weights has not been accepted."""

    kind = "licence"
    exit_code = 11


class Cancelled(PuppetMasterError):
    """The job was cancelled on request."""

    kind = "cancelled"
    exit_code = 130


BY_KIND: dict[str, type[PuppetMasterError]] = {
    cls.kind: cls
    for cls in (
        InputError,
        ModelError,
        BackendError,
        OutputError,
        RequirementError,
        NetworkError,
        AccessError,
        LicenceError,
        Cancelled,
    )
}


def from_wire(kind: str, message: str) -> PuppetMasterError:
    """Rebuild an error that crossed a process border as its `kind` and message."""
    return BY_KIND.get(kind, PuppetMasterError)(message)

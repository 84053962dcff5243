# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine lacks, said in one line with the command that mends it.

Part of the protocol (stdlib only): every room that loads Blender's module asks here for the words, so
that a missing library reads the same everywhere. This file never imports bpy itself.
"""

from __future__ import annotations

import ctypes
import re
import sys

from .errors import RequirementError

BPY_REQUIREMENT = "bpy>=5.0.1,<5.1"

# Shared libraries that Blender's module links to, or opens when it first draws, and does not bring along.
BLENDER_LIBRARIES: dict[str, str] = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libICE.so.6": "libice6",
    "libSM.so.6": "libsm6",
    "libX11.so.6": "libx11-6",
    "libXext.so.6": "libxext6",
    "libXfixes.so.3": "libxfixes3",
    "libXi.so.6": "libxi6",
    "libXrender.so.1": "libxrender1",
    "libXt.so.6": "libxt6",
    "libXxf86vm.so.1": "libxxf86vm1",  # Blender before 5.0
    "libxkbcommon.so.0": "libxkbcommon0",
}

_SURFACELESS = 0x31DD  # EGL_PLATFORM_SURFACELESS_MESA, where Blender draws when it has no window
_INSTALL = "sudo apt-get install " + " ".join(sorted(BLENDER_LIBRARIES.values()))


def explain_missing_bpy(error: ImportError) -> RequirementError:
    """The error to raise when `import bpy` failed, with the command that installs what is missing.

    Args:
        error: what `import bpy` raised: the module is absent, or a system library it links to is.
    """
    if isinstance(error, ModuleNotFoundError) and error.name == "bpy":
        return RequirementError(
            f"Blender's Python module is not installed for {sys.executable}; "
            f'install it with: {sys.executable} -m pip install "{BPY_REQUIREMENT}" (needs Python 3.11)'
        )
    library = re.match(r"(lib[\w.+-]+\.so[\d.]*): cannot open shared object", str(error))
    if library is None:
        return RequirementError(f"Blender's Python module cannot be loaded: {error}")
    # The loader names only the first library it misses; where one is missing the others mostly are too.
    return RequirementError(
        f"Blender's Python module needs the system library {library[1]}, which is missing; "
        f"install it and its companions with: {_INSTALL}"
    )


def check_drawing() -> None:
    """Make sure that Workbench and EEVEE can draw in a Blender without a window.

    Where OpenGL cannot start, Blender ends the whole process with no word to its caller, so ask first.
    Only Linux can lack it.

    Raises:
        RequirementError: libEGL or a driver for it is missing.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        egl = ctypes.CDLL("libEGL.so.1")
    except OSError as error:
        raise RequirementError(
            "Workbench and EEVEE need the system library libEGL.so.1, which is missing; "
            f"install it and its companions with: {_INSTALL}; or let the scene render with Cycles"
        ) from error
    egl.eglGetPlatformDisplay.restype = ctypes.c_void_p
    egl.eglGetPlatformDisplay.argtypes = [ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p]
    egl.eglInitialize.argtypes = [ctypes.c_void_p] * 3
    # Not terminated afterwards: a process has one such display, and Blender may be drawing on it already.
    display = egl.eglGetPlatformDisplay(_SURFACELESS, None, None)
    if not display or not egl.eglInitialize(display, None, None):
        raise RequirementError(
            "Workbench and EEVEE find no OpenGL driver on this machine; install Mesa's with: "
            "sudo apt-get install libegl-mesa0 libgl1-mesa-dri; or let the scene render with Cycles"
        )

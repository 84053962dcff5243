# SPDX-License-Identifier: GPL-3.0-or-later
"""Names the system libraries that Blender's module needs and this machine lacks, before a download starts.

Run by `.ci/bootstrap.sh` with a bare Python 3.11 (stdlib only). Prints the missing packages' install
command and exits with 8; `--packages` prints the Debian packages to install instead, and exits with 0.
"""

from __future__ import annotations

import ctypes
import importlib
import shutil
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
MISSING = 8  # the exit code of RequirementError

# In the table for older Blenders; the module of the locked version does not open them.
NOT_NEEDED = {"libXt.so.6", "libXxf86vm.so.1"}

# What draws where there is no graphics card; named for scripts, since no library of that name is linked to.
DRIVER_PACKAGES = ("libegl-mesa0", "libgl1-mesa-dri")


def requirements() -> ModuleType:
    """The package's own table and words, read from this checkout: nothing is installed yet."""
    sys.path.insert(0, str(ROOT / "backend"))
    import launch

    sys.path.pop(0)  # the module names in there would hide others'
    launch.register_package(ROOT)
    return importlib.import_module("puppet_master.backend.requirements")


def is_loadable(library: str) -> bool:
    """Whether the dynamic loader finds `library` where it will look for it later."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def install_command(missing: dict[str, str]) -> str:
    """The command that installs `missing` on this machine, by the package manager it has."""
    if shutil.which("apt-get"):
        return "sudo apt-get install " + " ".join(sorted(missing.values()))
    # These two resolve a library by its file name, so no table of their package names is needed.
    capabilities = " ".join(f"'{name}()(64bit)'" for name in missing)
    for manager in ("dnf", "zypper"):
        if shutil.which(manager):
            return f"sudo {manager} install {capabilities}"
    if shutil.which("pacman"):
        return "sudo pacman -S libglvnd libx11 libxext libxfixes libxi libxrender libxkbcommon libsm libice"
    return "your system's package manager (on Debian the packages are " + " ".join(missing.values()) + ")"


def main() -> int:
    """Check, report, and return the exit code."""
    if not sys.platform.startswith("linux"):
        return 0  # macOS and Windows bring these along
    known = requirements()
    needed = {name: package for name, package in known.BLENDER_LIBRARIES.items() if name not in NOT_NEEDED}
    missing = {name: package for name, package in needed.items() if not is_loadable(name)}
    if "--packages" in sys.argv[1:]:
        print(*sorted({*missing.values(), *DRIVER_PACKAGES}))
        return 0
    if missing:
        return refuse(
            f"Blender's Python module needs system libraries that are missing: {', '.join(missing)}. "
            f"Install them with: {install_command(missing)}"
        )
    try:
        known.check_drawing()
    except known.RequirementError as error:
        return refuse(str(error))
    return 0


def refuse(sentence: str) -> int:
    """Say what is missing; returns the exit code."""
    print(f"setup: {sentence}", file=sys.stderr)
    return MISSING


if __name__ == "__main__":
    sys.exit(main())

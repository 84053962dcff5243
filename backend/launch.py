# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the command line from whatever folder this package lies in: `python FOLDER/backend/launch.py serve`.

Inside Blender the package is called `bl_ext.<repository>.puppet_master` and its folder may have any
name; a checkout's folder too. Run by its path, this file makes that folder importable as
`puppet_master` in the backend's own Python, with nothing to install and no path to set.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

PACKAGE = "puppet_master"


def register_package(root: Path) -> None:
    """Make the folder `root` importable as `puppet_master`, whatever the folder is called."""
    spec = importlib.util.spec_from_file_location(
        PACKAGE, root / "__init__.py", submodule_search_locations=[str(root)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{root} holds no Python package")
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)


def main() -> int:
    """Run the `puppet-master` command line; returns its exit code."""
    here = Path(__file__).absolute().parent
    # Python put this script's folder first: our module names would hide those of others.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").absolute() != here]
    register_package(here.parent)
    return importlib.import_module(f"{PACKAGE}.backend.cli").main()


if __name__ == "__main__":
    sys.exit(main())

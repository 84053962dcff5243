# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of the program: makes this folder the package `installer`, wherever it lies, and runs it.

Run by its path, Python looks for every module in this folder first, and would find `pip` here; with the add-on's folder
on the path instead, a name in the add-on could hide one of the standard library. So neither is on it.
"""

import os
import sys


def _run() -> int:
    # No pathlib yet: it would be looked for here too.
    here = os.path.realpath(os.path.dirname(__file__))  # noqa: PTH120
    sys.path[:] = [place for place in sys.path if os.path.realpath(place) != here]
    import importlib.util
    from pathlib import Path

    name = "installer"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("__init__.py"))
    assert spec is not None and spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return importlib.import_module(f"{name}.program").main()


if __name__ == "__main__":
    code = _run()
    sys.stdout.flush()
    os._exit(code)  # the thread that reads stdin would hold the end up

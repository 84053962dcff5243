# SPDX-License-Identifier: GPL-3.0-or-later
"""Program: a `data` command in a Blender of its own, for the panel.

    blender -b --factory-startup --python-exit-code 1 --python background.py -- render ASSETS --out DIR
    python background.py -- render ASSETS --out DIR

The command is interrupted when stdin ends, that is when the Blender with the panel cancels it or is gone.
"""

from __future__ import annotations

import _thread
import importlib
import importlib.util
import os
import signal
import sys
import threading
from pathlib import Path

PACKAGE = "puppet_master"
ROOT = Path(__file__).absolute().parents[2]


def _import_package() -> None:
    """Make the folder this file lies in importable as `puppet_master`, whatever it is called."""
    here = Path(__file__).absolute().parent
    # Python put this script's folder first: our module names would hide those of others.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").absolute() != here]
    spec = importlib.util.spec_from_file_location("launch", ROOT / "backend" / "launch.py")
    assert spec is not None and spec.loader is not None
    launch = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(launch)
    launch.register_package(ROOT)


def _interrupt_when_stdin_ends() -> None:
    while os.read(0, 4096):
        pass
    if hasattr(signal, "pthread_kill"):  # also wakes the main thread where it waits
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


def main(arguments: list[str]) -> int:
    """Run a command; returns its exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Blender's Python has none
    threading.Thread(target=_interrupt_when_stdin_ends, daemon=True).start()
    _import_package()
    return importlib.import_module(f"{PACKAGE}.data_gen.blender.doors").main(arguments)


if __name__ == "__main__":
    code = main(sys.argv[sys.argv.index("--") + 1 :])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # Blender's own end can take long and has nothing left to save

# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests share: the shared material, a small model, and threads that leave room for the others."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

# Read by torch and OpenCV when they load. Beyond a few threads small models get slower, and the
# backend processes that tests start inherit the same.
os.environ.setdefault("OMP_NUM_THREADS", str(min(4, os.cpu_count() or 1)))
# Models that this machine's user has pulled are no business of the tests, nor of the backends they start.
os.environ["PUPPET_MASTER_MODELS"] = str(Path(tempfile.gettempdir()) / "puppet-master-tests-have-no-models")

ROOT = Path(__file__).resolve().parent.parent
# The tests of the add-on run under Blenders whose Python cannot run the backend (tests/matrix.sh).
BACKEND_PYTHON = os.environ.get("PUPPET_MASTER_TEST_BACKEND") or sys.executable


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared material beside the repository; the test is skipped where it is absent."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the shared material (../shared) is not on this machine")
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A whole model folder with small random weights: fast, and real in all but its pictures."""
    folder = tmp_path_factory.mktemp("models") / "random"
    if sys.executable == BACKEND_PYTHON:
        from random_model import make_random_model

        make_random_model(folder)
    else:
        subprocess.run([BACKEND_PYTHON, ROOT / "tests" / "random_model.py", folder], check=True)
    return folder


@pytest.fixture(scope="session")
def backend_python() -> str:
    """A Python that fits the backend and has it."""
    return BACKEND_PYTHON

# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's state is global in a process: every test here begins with an empty scene."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("LP_NUM_THREADS", "1")  # software GL would else take every core

bpy = pytest.importorskip("bpy", reason="Blender's module (bpy) is not installed")


@pytest.fixture(autouse=True)
def scene():
    """The empty scene."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy.context.scene


@pytest.fixture
def finish():
    """A grey finish."""
    import numpy as np
    from puppet_master.data_gen.rigs.finishes import finish_from_pixels

    return finish_from_pixels("grey", np.full((4, 4, 3), 0.5, np.float32))

# SPDX-License-Identifier: GPL-3.0-or-later
"""A Blender with the add-on enabled and a small scene, and a real server around a pipeline of grey frames."""

from __future__ import annotations

import os
import socket
import threading
import time

import bpy
import numpy as np
import pytest
import uvicorn
from local_hub import hub, no_proxy  # noqa: F401
from puppet_master.backend.client import BackendClient
from puppet_master.backend.errors import Cancelled
from puppet_master.backend.jobs import JobQueue
from puppet_master.backend.protocol import PreviewResult
from puppet_master.backend.server import create_app

ADDON = "puppet_master"
TOKEN = "a token"
STEPS, FRAMES = 3, 4
WAIT_S = 20.0


def new_scene(output_folder):
    """The scene of a new file: a cube before a camera, 64 x 48 stills by Workbench; the add-on is enabled."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    assert bpy.ops.preferences.addon_enable(module=ADDON) == {"FINISHED"}
    own = bpy.context.preferences.addons[ADDON].preferences
    own.output_folder = str(output_folder)
    own.backend_python = os.environ.get("PUPPET_MASTER_TEST_BACKEND", "")  # where this Python cannot run it
    bpy.ops.mesh.primitive_cube_add(size=1.0)
    bpy.ops.object.camera_add(location=(0.0, -4.0, 0.0), rotation=(np.pi / 2, 0.0, 0.0))
    scene = bpy.context.scene
    scene.camera = bpy.context.object
    scene.render.engine = "BLENDER_WORKBENCH"
    scene.render.resolution_x, scene.render.resolution_y = 64, 48
    scene.puppet_master.still_size = 64
    return scene


@pytest.fixture
def scene(tmp_path):
    yield new_scene(tmp_path / "previews")
    bpy.ops.preferences.addon_disable(module=ADDON)


@pytest.fixture(scope="module")
def lasting_scene(tmp_path_factory):
    """One for a whole file of tests: the backend, which ends with the add-on, need not start for each."""
    yield new_scene(tmp_path_factory.mktemp("lasting"))
    bpy.ops.preferences.addon_disable(module=ADDON)


class GreyPipeline:
    """Grey frames of the still's size, one step at a time; holds before a step while `free` is not set.

    `hold_after`: so many steps are made at once in any case.
    """

    def __init__(self):
        self.free = threading.Event()
        self.free.set()
        self.hold_after = 0
        self.fault = None
        self.notes = ()

    def generate(self, request, on_step=None, should_stop=None):
        for index in range(STEPS):
            while index >= self.hold_after and not self.free.wait(0.005):
                if should_stop():
                    raise Cancelled("cancelled")
            if self.fault:
                raise self.fault
            on_step(_Step(index + 1))
        frames = np.full((FRAMES, 48, 64, 3), 128, np.uint8)
        return frames, PreviewResult(
            model=request.model, model_hash="0" * 64, drags=request.drags, frames=FRAMES, steps=STEPS,
            guidance=(1.0, 3.0), seed=request.seed, fit=request.fit, background=request.background,
            size=(64, 48), model_size=(64, 64), still_sha256="0" * 64, device="cpu float32", threads=1,
            notes=self.notes,
        )  # fmt: skip


class _Step:
    total = STEPS

    def __init__(self, index):
        self.index = index

    def estimate(self):
        return np.zeros((FRAMES, 48, 64, 3), np.uint8)


class GreyBackend:
    """A server in this process: its client, its pipeline, and a way to end it."""

    def __init__(self):
        self.pipeline = GreyPipeline()
        self._queue = JobQueue(lambda model: self.pipeline)
        listening = socket.create_server(("127.0.0.1", 0))
        self.client = BackendClient(listening.getsockname()[1], TOKEN)
        app = create_app(self._queue, TOKEN, lambda: {}, lambda: None)
        config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]})
        self._thread.start()

    def connect(self, should_stop):
        """What a job calls to reach its backend."""
        return self.client

    def close_door(self):
        """End the server alone; the pipeline is held or free as it was."""
        self._server.should_exit = True
        self._thread.join(WAIT_S)

    def close(self):
        self.pipeline.free.set()
        self.close_door()
        self._queue.close()


@pytest.fixture
def backend():
    running = GreyBackend()
    yield running
    running.close()


@pytest.fixture
def until():
    """Repeat an action until it gives something true; fails the test if it does not in time."""

    def wait(action, timeout=WAIT_S):
        deadline = time.monotonic() + timeout
        while not (value := action()):
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.01)
        return value

    return wait


@pytest.fixture(scope="session")
def embedded_model(repository):
    """The folder of the embedded model; tests that need it are skipped where it has not been published."""
    folder = repository / "backend" / "models" / "tiny"
    if not (folder / "puppet_master.json").is_file():
        pytest.skip("the embedded model is not in backend/models/tiny")
    return folder

# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of a backend for tests: a pipeline whose steps the test lets go, a queue and a server around it."""

from __future__ import annotations

import io
import socket
import threading
import time
from dataclasses import dataclass, field

import numpy as np
import psutil
import pytest
import uvicorn
from local_hub import hub, no_proxy
from PIL import Image
from puppet_master.backend.client import BackendClient
from puppet_master.backend.errors import Cancelled
from puppet_master.backend.jobs import JobQueue
from puppet_master.backend.protocol import Drag, DragPoint, PreviewRequest, PreviewResult
from puppet_master.backend.server import create_app

__all__ = ["hub", "no_proxy"]  # fixtures

TOKEN = "the right token"
WAIT_S = 20.0


@dataclass
class Step:
    index: int
    total: int
    estimate: object


@dataclass
class SteppedPipeline:
    """Makes grey frames; waits at every step until the test lets it go on, if it is told to."""

    steps: int = 3
    frames: int = 4
    free: threading.Event = field(default_factory=threading.Event)
    started: list[int] = field(default_factory=list)
    estimates: int = 0
    fault: Exception | None = None

    def generate(self, request, on_step=None, should_stop=None):
        self.started.append(request.seed)
        if self.fault:
            fault, self.fault = self.fault, None
            raise fault
        frames = np.full((self.frames, 20, 30, 3), 128, np.uint8)
        for index in range(self.steps):
            while not self.free.wait(0.005):
                if should_stop():
                    raise Cancelled("cancelled")
            if should_stop():
                raise Cancelled("cancelled")
            on_step(Step(index, self.steps, lambda: self.estimate(frames)))
        return frames, result(request, self.frames, self.steps)

    def estimate(self, frames):
        self.estimates += 1
        return frames


def result(request, frames, steps):
    return PreviewResult(
        model=request.model,
        model_hash="0" * 64,
        drags=request.drags,
        frames=frames,
        steps=steps,
        guidance=(1.0, 3.0),
        seed=request.seed,
        fit=request.fit,
        background=request.background,
        size=(30, 20),
        model_size=(32, 32),
        still_sha256="0" * 64,
        device="cpu float32",
        threads=1,
        timings={"sampling": 0.5},
    )


@pytest.fixture
def pipeline():
    """A pipeline that runs freely; `pipeline.free.clear()` makes it wait at its steps."""
    stepped = SteppedPipeline()
    stepped.free.set()
    yield stepped
    stepped.free.set()


@pytest.fixture
def queue(pipeline):
    jobs = JobQueue(lambda model: pipeline)
    yield jobs
    jobs.close()


@pytest.fixture
def token():
    return TOKEN


@pytest.fixture
def port(queue):
    """The port of a real server around `queue`, running in a thread."""
    listening = socket.create_server(("127.0.0.1", 0))
    number = listening.getsockname()[1]
    app = create_app(queue, TOKEN, lambda: {"status": "ok", "models": []}, lambda: None)
    server = uvicorn.Server(
        uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield number
    server.should_exit = True
    thread.join(WAIT_S)
    assert not thread.is_alive()


@pytest.fixture
def client(port):
    return BackendClient(port, TOKEN)


@pytest.fixture(scope="session")
def still_png():
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[5:15, 5:15] = (200, 40, 40)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def drag():
    return Drag("lid", (DragPoint(0, 0.25, 0.5), DragPoint(1, 0.75, 0.5)))


@pytest.fixture
def make_request(still_png, drag):
    """Requests told apart by their seed."""
    return lambda seed=0, **choices: PreviewRequest(still_png, (drag,), seed=seed, **choices)


@pytest.fixture
def make_result():
    return result


@pytest.fixture
def until():
    """Wait until a condition holds; fails the test if it does not in time."""

    def wait(condition, timeout=WAIT_S):
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.01)

    return wait


@pytest.fixture
def is_gone():
    """Whether a process has ended; one that nobody has collected yet has, too."""

    def ended(pid):
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return ended

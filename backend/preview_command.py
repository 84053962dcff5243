# SPDX-License-Identifier: GPL-3.0-or-later
"""`puppet-master preview`: a still or a scene, and drags, into a folder with the preview."""

from __future__ import annotations

import contextlib
import importlib.util
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import media
from .client import BackendClient
from .errors import BackendError, Cancelled, InputError, from_wire
from .fitting import decode_still
from .loader import check_drags
from .preview_folder import PreviewFolder
from .process import BackendProcess
from .progress import StageProgress
from .protocol import Drag, PreviewRequest, PreviewResult, load_drags
from .requirements import explain_missing_bpy
from .still import SceneStill, check_scene
from .wire import CANCELLED, DONE, Status

POLL_S = 0.03


@dataclass(frozen=True)
class Order:
    """What the command line asked for.

    Attributes:
        source: an image or a .blend scene.
        out: folder that receives the preview.
        request: the choices that go to the backend; its still and drags are filled in later.
        drags: drag file; overrides a scene's own drags.
        size: width and height of a scene's still in pixels.
        device: where the model runs: "auto", "cpu", "cuda", "cuda:N".
        memory, acceleration: how a diffusion model runs, see `option_values`.
    """

    source: Path
    out: Path
    request: PreviewRequest
    drags: Path | None = None
    size: tuple[int, int] | None = None
    device: str = "auto"
    memory: str = "auto"
    acceleration: str = "auto"

    @property
    def is_scene(self) -> bool:
        """Whether Blender has to render the still first."""
        return self.source.suffix.lower() == ".blend"


def make_preview(order: Order, quiet: bool = False) -> dict[str, Any]:
    """Make the preview and write it.

    All that can be told to be wrong from the input alone is refused before Blender, torch or the
    backend start.

    Returns:
        The content of `preview.json`, with `out` (the folder) and `files` added.

    Raises:
        PuppetMasterError: whatever went wrong; the folder is then as it was before.
    """
    begun = time.monotonic()
    drags = load_drags(order.drags) if order.drags else None
    still = _check_source(order)
    check_drags(order.request.model, len(drags or ()))
    arguments = ["--device", order.device, "--preload", order.request.model]
    arguments += ["--memory", order.memory, "--acceleration", order.acceleration]
    with (
        _signals_cancel(),
        PreviewFolder(order.out) as folder,
        StageProgress(quiet) as progress,
        contextlib.ExitStack() as processes,
    ):
        progress.begin("backend")
        backend = processes.enter_context(BackendProcess.spawn(arguments=arguments))
        if still is None:
            still, drags = _render(order, drags, folder.staging, backend, progress)
        _await_backend(backend, progress)
        request = replace(order.request, still_png=still, drags=tuple(drags or ()))
        frames, result = _generate(backend.client(), request, progress)
        progress.begin("writing")
        total = round(time.monotonic() - begun, 3)
        result = replace(result, timings={**result.timings, **_seconds(progress), "total": total})
        files = folder.write(still, frames, result)
        progress.end("writing")
    return {"out": str(order.out), "files": [str(file) for file in files], **result.to_json()}


def _check_source(order: Order) -> bytes | None:
    """The still's bytes; None for a scene, which Blender renders while the backend starts."""
    if not order.is_scene:
        if order.size:
            raise InputError(f"--size is for .blend scenes; {order.source} has a size of its own")
        still = media.read_still(order.source)
        decode_still(still, order.request.background)
        return still
    check_scene(order.source)
    if importlib.util.find_spec("bpy") is None:
        raise explain_missing_bpy(ModuleNotFoundError("No module named 'bpy'", name="bpy"))
    return None


def _render(
    order: Order, drags: list[Drag] | None, folder: Path, backend: BackendProcess, progress: StageProgress
) -> tuple[bytes, list[Drag]]:
    progress.begin("Blender still")
    with SceneStill(order.source, folder, order.size) as still:
        while not still.ready():
            if backend.ready() and "backend" not in progress.seconds:
                progress.end("backend")
            time.sleep(POLL_S)
    progress.end("Blender still")
    rendered, own = still.read()
    return rendered, own if drags is None else drags


def _await_backend(backend: BackendProcess, progress: StageProgress) -> None:
    backend.wait_ready()
    if "backend" not in progress.seconds:
        progress.end("backend")


def _generate(
    client: BackendClient, request: PreviewRequest, progress: StageProgress
) -> tuple[NDArray[np.uint8], PreviewResult]:
    """Have the backend make the preview; cancels it if the wait is broken off."""
    progress.begin("preview")
    preview = client.submit(request)
    try:
        status = _follow(client, preview, progress)
        result = _result(status)
        frames = np.stack([media.decode_png(client.frame_png(preview, i)) for i in range(result.frames)])
    except Cancelled:
        with contextlib.suppress(BackendError):
            client.cancel(preview)
        raise
    progress.end("preview")
    return frames, result


def _follow(client: BackendClient, preview: str, progress: StageProgress) -> Status:
    status: Status = {}
    for event in client.events(preview, estimates=False):
        status = event.data
        progress.follow("preview", status)
    return status


def _result(status: Status) -> PreviewResult:
    if status["state"] == DONE:
        return PreviewResult.from_json(status["result"])
    if status["state"] == CANCELLED:
        raise Cancelled("the preview was cancelled")
    raise from_wire(status["error"]["kind"], status["error"]["message"])


def _seconds(progress: StageProgress) -> dict[str, float]:
    return {f"command: {stage}": seconds for stage, seconds in progress.seconds.items()}


@contextlib.contextmanager
def _signals_cancel() -> Iterator[None]:
    """Ctrl-C, and the SIGTERM with which a farm ends a job, become `Cancelled`: everything is cleaned up."""

    def cancel(*_: object) -> None:
        raise Cancelled("cancelled; nothing was written")

    signals = (signal.SIGINT, signal.SIGTERM)
    # Python lets the main thread alone set handlers; elsewhere the caller has its own way to cancel.
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, cancel) for number in signals} if in_main_thread else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

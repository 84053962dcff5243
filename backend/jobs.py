# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend's queue: one preview is made at a time, others wait; listeners hear of every change.

It knows nothing of HTTP or torch. A worker thread owns the model; the lock guards bookkeeping only and
is never held while a model loads, samples or decodes.
"""

from __future__ import annotations

import base64
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import media
from .errors import OUT_OF_MEMORY, BackendError, Cancelled, PuppetMasterError, RequirementError
from .protocol import PreviewRequest, PreviewResult
from .wire import CANCELLED, DONE, FAILED, FINAL_STATES, QUEUED, RUNNING, Event, Status

FINISHED_KEPT = 20
ESTIMATE_INTERVAL_S = 0.5
# Estimates may take this share of the sampling time: decoding them is the viewer's pleasure, not the job.
ESTIMATE_SHARE = 0.2

REST = "rest"  # in the queue, among the jobs

Listener = Callable[[Event], None]

log = logging.getLogger(__name__)


class SamplingStep(Protocol):
    """What a pipeline tells after each step: `index` (from 0) of `total`, and how to see the estimate."""

    index: int
    total: int
    estimate: Callable[[], NDArray[np.uint8]]


class Pipeline(Protocol):
    """A loaded model, as far as the queue knows it."""

    def generate(
        self,
        request: PreviewRequest,
        on_step: Callable[[Any], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> tuple[NDArray[np.uint8], PreviewResult]:
        """Frames uint8 `[N, H, W, 3]` and what made them; raises `Cancelled` between steps."""


class UnknownPreview(BackendError):
    """No preview of that id, or one forgotten since."""


class NotFinished(BackendError):
    """Frames were asked of a preview that has none (yet)."""


@dataclass
class Job:
    """One preview on its way. Fields change under the queue's lock only."""

    id: str
    request: PreviewRequest
    state: str = QUEUED
    stage: str = "waiting"
    step: int = 0
    steps: int = 0
    started: float = 0.0
    first_step: float = 0.0
    notes: tuple[str, ...] = ()
    error: PuppetMasterError | None = None
    result: PreviewResult | None = None
    frames: NDArray[np.uint8] | None = None
    mp4: bytes | None = None
    estimate: Event | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    listeners: dict[Listener, bool] = field(default_factory=dict)

    def status(self) -> Status:
        """The wire form, `/v1/previews/{id}`."""
        error = self.error and {"kind": self.error.kind, "message": str(self.error)}
        return {
            "id": self.id,
            "state": self.state,
            "stage": self.stage,
            "step": self.step,
            "steps": self.steps,
            "progress": self.step / self.steps if self.steps else 0.0,
            "eta_s": self._eta(),
            "notes": list(self.notes),
            "error": error,
            "result": self.result.to_json() if self.result else None,
        }

    def _eta(self) -> float | None:
        """Seconds of sampling left; None while there is nothing to tell it from."""
        if self.state != RUNNING or self.step == 0:
            return None
        now = time.monotonic()
        # The first step also warms up; once there are others it is not a fair measure.
        since, done = (self.first_step, self.step - 1) if self.step > 1 else (self.started, 1)
        return round((now - since) / done * (self.steps - self.step), 2)


class JobQueue:
    """Runs previews one after another in its own thread.

    Args:
        load: gives the pipeline of a model's name or folder; called in the worker thread.
        prepare: called once in the worker thread before the first job, to import and load ahead.
        check: called on submission, in the submitter's thread; raises for what cannot work anyway.
        rest: called in the worker thread when it has had nothing to do for a while, or is asked to rest.
        rest_after: seconds until then, counted from the last preview; None: only when asked.
    """

    def __init__(
        self,
        load: Callable[[str], Pipeline],
        prepare: Callable[[], None] | None = None,
        check: Callable[[PreviewRequest], None] | None = None,
        rest: Callable[[], None] | None = None,
        rest_after: float | None = None,
    ) -> None:
        self._load = load
        self._prepare = prepare
        self._check = check
        self._rest = rest or _nothing
        self._rest_after = rest_after
        self._jobs: dict[str, Job] = {}
        self._waiting: SimpleQueue[Job | str | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._worked = False
        self._worker: threading.Thread | None = None

    def start(self) -> None:
        """Start the worker thread, and with it `prepare`; the first submission does so otherwise."""
        with self._lock:
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="previews", daemon=True)
                self._worker.start()

    def submit(self, request: PreviewRequest) -> Status:
        """Queue a preview. Raises what `check` raises, `BackendError` once the queue is closed."""
        if self._check:
            self._check(request)
        self.start()
        job = Job(secrets.token_hex(8), request)
        with self._lock:
            if self._closed:
                raise BackendError("the backend is shutting down; start it again")
            self._jobs[job.id] = job
            status = job.status()
            self._waiting.put(job)
        return status

    def status(self, preview: str) -> Status:
        """The preview's status. Raises `UnknownPreview`."""
        with self._lock:
            return self._job(preview).status()

    def statuses(self) -> list[Status]:
        """All previews remembered, oldest first."""
        with self._lock:
            return [job.status() for job in self._jobs.values()]

    def cancel(self, preview: str) -> Status:
        """Cancel: a queued preview at once, a running one before its next step; a finished one stays."""
        with self._lock:
            job = self._job(preview)
            self._cancel(job)
            return job.status()

    def listen(self, preview: str, listener: Listener, estimates: bool = True) -> Callable[[], None]:
        """Have `listener` called with every event from now on, the current status first.

        It is called in other threads, must return quickly and must not call the queue. Estimates are
        decoded only while somebody wants them.

        Returns:
            A function that ends the listening.
        """
        with self._lock:
            job = self._job(preview)
            listener(Event("status", job.status()))
            if estimates and job.estimate and job.state == RUNNING:
                listener(job.estimate)
            job.listeners[listener] = estimates

        def stop() -> None:
            with self._lock:
                job.listeners.pop(listener, None)

        return stop

    def frame_png(self, preview: str, index: int) -> bytes:
        """One frame of a finished preview as PNG. Raises `UnknownPreview`, `NotFinished`."""
        frames = self._finished(preview).frames
        assert frames is not None
        if not 0 <= index < len(frames):
            raise UnknownPreview(f"preview {preview} has frames 0 to {len(frames) - 1}, not {index}")
        return media.encode_png(frames[index])

    def mp4(self, preview: str) -> bytes:
        """A finished preview as mp4, encoded at the first call. Raises `UnknownPreview`, `NotFinished`."""
        job = self._finished(preview)
        assert job.frames is not None
        if job.mp4 is None:
            job.mp4 = media.encode_mp4(job.frames)
        return job.mp4

    def waiting(self) -> int:
        """How many previews are queued or running."""
        with self._lock:
            return sum(job.state not in FINAL_STATES for job in self._jobs.values())

    def rest(self) -> None:
        """Have the worker rest, after what is queued already; returns at once."""
        self._waiting.put(REST)

    def close(self, timeout: float = 5.0) -> None:
        """Cancel everything, take no more, and wait for the running step to end."""
        with self._lock:
            self._closed = True
            for job in self._jobs.values():
                self._cancel(job)
            worker = self._worker
        self._waiting.put(None)
        if worker:
            worker.join(timeout)

    def _work(self) -> None:
        if self._prepare:
            try:
                self._prepare()
            except Exception:
                # Whoever asks for a preview meets the same error with an address to send it to.
                log.exception("preparing failed")
        while job := self._next():
            with self._lock:
                if job.state != QUEUED:
                    continue
                job.state, job.stage, job.started = RUNNING, "loading", time.monotonic()
                self._tell_status(job)
            self._run(job)

    def _next(self) -> Job | None:
        """The next job, resting meanwhile as often as that is asked for; None once the queue is closed."""
        patience = self._rest_after if self._worked else None
        while True:
            try:
                job = self._waiting.get(timeout=patience)
            except Empty:
                job = REST
            if not isinstance(job, str):
                self._worked = True
                return job
            patience = None  # once rested, there is nothing more to let go of
            self._rest()

    def _run(self, job: Job) -> None:
        try:
            pipeline = self._load(job.request.model)
            if job.stop.is_set():
                raise Cancelled("cancelled")
            self._set_stage(job, "sampling")
            frames, result = pipeline.generate(job.request, _Steps(self, job), job.stop.is_set)
        except Cancelled:
            self._finish(job, CANCELLED)
        except PuppetMasterError as error:
            self._finish(job, FAILED, error=error)
        except Exception as error:
            log.exception("preview %s failed", job.id)
            self._finish(job, FAILED, error=_explained(error))
        else:
            self._finish(job, DONE, frames=frames, result=result)

    def _set_stage(self, job: Job, stage: str) -> None:
        with self._lock:
            job.stage, job.started = stage, time.monotonic()
            self._tell_status(job)

    def _finish(self, job: Job, state: str, **outcome: Any) -> None:
        with self._lock:
            for name, value in outcome.items():
                setattr(job, name, value)
            job.notes = job.result.notes if job.result else job.notes
            job.state, job.stage, job.estimate = state, "finished", None
            self._tell_status(job)
            job.listeners.clear()
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        finished = [job.id for job in self._jobs.values() if job.state in FINAL_STATES]
        for old in finished[:-FINISHED_KEPT]:
            del self._jobs[old]

    def _cancel(self, job: Job) -> None:
        job.stop.set()
        if job.state == QUEUED:
            job.state, job.stage = CANCELLED, "finished"
            self._tell_status(job)
            job.listeners.clear()

    def _tell_status(self, job: Job) -> None:
        event = Event("status", job.status())
        for listener in job.listeners:
            listener(event)

    def _job(self, preview: str) -> Job:
        if preview not in self._jobs:
            raise UnknownPreview(f"there is no preview {preview}; it may have been forgotten since")
        return self._jobs[preview]

    def _finished(self, preview: str) -> Job:
        with self._lock:
            job = self._job(preview)
            if job.state != DONE:
                raise NotFinished(f"preview {preview} is {job.state}; it has no frames to give")
            return job


class _Steps:
    """Turns a pipeline's steps into events; called in the worker thread."""

    def __init__(self, queue: JobQueue, job: Job) -> None:
        self._queue = queue
        self._job = job
        self._next_estimate = time.monotonic()

    def __call__(self, step: SamplingStep) -> None:
        job = self._job
        with self._queue._lock:
            job.step, job.steps = step.index + 1, step.total
            job.notes = getattr(step, "notes", ())  # memory ran out, and it was begun again
            if job.step == 1:
                job.first_step = time.monotonic()
            if job.step == job.steps:
                job.stage = "decoding"
            self._queue._tell_status(job)
            wanted = any(job.listeners.values())
        if wanted and job.step < job.steps and time.monotonic() >= self._next_estimate:
            self._tell_estimate(step)

    def _tell_estimate(self, step: SamplingStep) -> None:
        begun = time.monotonic()
        event = estimate_event(step.estimate())
        ended = time.monotonic()
        pause = max(ESTIMATE_INTERVAL_S, (ended - begun) * (1 - ESTIMATE_SHARE) / ESTIMATE_SHARE)
        self._next_estimate = ended + pause
        with self._queue._lock:
            self._job.estimate = event
            for listener, wants in self._job.listeners.items():
                if wants:
                    listener(event)


def estimate_event(frames: NDArray[np.uint8]) -> Event:
    """The event that shows `frames` `[N, h, w, 3]`: a PNG strip, frames side by side."""
    strip = media.estimate_strip(frames)
    data = {"frames_png": base64.b64encode(media.encode_png(strip)).decode("ascii"), "frames": len(frames)}
    return Event("estimate", data)


def _nothing() -> None:
    """The rest of a queue that has nothing to let go of."""


def _explained(error: Exception) -> PuppetMasterError:
    """A fault in words for the user; its traceback is in the log."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or re.search("out of memory|can't allocate memory|not enough memory", text):
        return RequirementError(OUT_OF_MEMORY)
    return PuppetMasterError(f"unexpected fault in the backend: {type(error).__name__}: {text}")

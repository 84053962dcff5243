# SPDX-License-Identifier: GPL-3.0-or-later
"""The previews of this session: those under way, which a timer follows, and the last ones that are over.

`tick`, the timer, takes in the news of the jobs' threads on the main thread within a time budget. Scripts do
the same in a loop (`run_blocking`).
"""

from __future__ import annotations

import time

import bpy

from ..backend.errors import Cancelled, InputError
from . import backend_link, pace, thumbnails
from .preview_job import Connect, PreviewJob, State

__all__ = ["Connect", "PreviewJob", "State"]

POLL_S = 0.05
TICK_S = 0.1
TICK_BUDGET_S = 0.005
REDRAW_S = 0.25  # between two drawings of the panels for mere progress: drawing is work too
JOIN_TIMEOUT_S = 5.0
KEPT = 8  # jobs that are over
MAX_UNDER_WAY = 32
SHOWING = {("VIEW_3D", "UI"), ("IMAGE_EDITOR", "UI"), ("PREFERENCES", "WINDOW")}
NEVER_BEGAN = "The backend ended before this began"

_jobs: list[PreviewJob] = []
_drawn = 0.0
_to_draw = False


def listed() -> tuple[PreviewJob, ...]:
    """The jobs that the list shows, newest first."""
    return tuple(reversed(_jobs))


def current() -> PreviewJob | None:
    """The job started last, running or over; None before the first."""
    return _jobs[-1] if _jobs else None


def under_way() -> tuple[PreviewJob, ...]:
    """The jobs that are not over, oldest first."""
    return tuple(job for job in _jobs if not job.state.final)


def running() -> bool:
    """Whether a job is under way."""
    return bool(under_way())


def find(serial: int) -> PreviewJob:
    """The job with this number.

    Raises:
        InputError: the list has no such job any more.
    """
    for job in _jobs:
        if job.serial == serial:
            return job
    raise InputError(f"there is no preview {serial} in the list any more")


def is_explained(job: PreviewJob) -> bool:
    """Whether a job never began for a reason that another in the list tells already."""
    return any(other.explains(job) for other in _jobs)


def reason_of(job: PreviewJob) -> str:
    """Why a job failed, for the list: one end of the backend is told in full once, not by all that waited."""
    return NEVER_BEGAN if is_explained(job) else str(job.error or "")


def start(*jobs: PreviewJob) -> None:
    """Start jobs and let a timer take in their news; returns at once. The backend makes one after another.

    Raises:
        InputError: too many are under way.
    """
    if len(under_way()) + len(jobs) > MAX_UNDER_WAY:
        raise InputError(
            f"{len(under_way())} previews are under way and {len(jobs)} more were asked for; {MAX_UNDER_WAY} is the "
            "most: wait for some or cancel them"
        )
    for job in jobs:
        _begin(job)
    if not bpy.app.timers.is_registered(tick):
        # Persistent: opening another file must not leave the jobs without their pump.
        bpy.app.timers.register(tick, first_interval=TICK_S, persistent=True)


def run_blocking(job: PreviewJob, timeout: float | None = None) -> None:
    """Run a job to its end. Ctrl-C in the terminal cancels it.

    Args:
        job: not started yet, or under way.
        timeout: seconds after which to give up waiting; the job goes on.

    Raises:
        PuppetMasterError: what made it fail, or `Cancelled`.
        TimeoutError: it took longer.
    """
    if job not in _jobs:
        _begin(job)
    deadline = None if timeout is None else time.monotonic() + timeout
    while not job.pump():
        if deadline is not None and time.monotonic() > deadline:
            raise TimeoutError(f"the preview is not ready after {timeout:g} s: {job.text()}")
        try:
            time.sleep(POLL_S)
        except KeyboardInterrupt:
            job.cancel()
    _note_end(job)
    if job.error is not None:
        raise job.error
    if job.state is State.CANCELLED:
        raise Cancelled("the preview was cancelled")


def cancel_all() -> None:
    """Ask every job under way to stop; the newest first, so that none is begun meanwhile."""
    for job in reversed(under_way()):
        job.cancel()


def clear() -> None:
    """Take the jobs that are over from the list; their results stay."""
    for job in [job for job in _jobs if job.state.final]:
        _remove(job)


def tick() -> float | None:
    """The timer: take in news, redraw if there was any; seconds until the next call, None at the end."""
    global _to_draw
    with pace.measured("following previews"):
        began, before = time.monotonic(), len(under_way())
        for job in under_way():
            _to_draw |= _take_in(job)
            if time.monotonic() - began > TICK_BUDGET_S:
                break
        left = len(under_way())
        _draw(began, at_once=left != before)
        return TICK_S if left else None


def _draw(now: float, at_once: bool) -> None:
    """Draw the panels if there is news or an estimate plays, not too often."""
    global _drawn, _to_draw
    if at_once or now - _drawn > REDRAW_S:
        with pace.measured("playing estimates"):
            if thumbnails.play() or _to_draw:
                redraw_panels()
        _drawn, _to_draw = now, False


def redraw_panels() -> None:
    """Ask the sidebars of the tab's editors, and the preferences, to draw again; not the views beside them."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            for region in area.regions:
                if (area.type, region.type) in SHOWING:
                    region.tag_redraw()


def picture_key(job: PreviewJob) -> str:
    """The name of a job's picture among the thumbnails."""
    return f"job {job.serial}"


def _take_in(job: PreviewJob) -> bool:
    """Pump a job; whether anything about it changed."""
    before = job.text(), job.progress, job.estimate
    over = job.pump()
    if job.estimate is not None and job.estimate is not before[2]:
        with pace.measured("taking in an estimate"):
            thumbnails.show_strip(picture_key(job), job.estimate.strip_png, job.estimate.frames)
    if over:
        _note_end(job)
    return before != (job.text(), job.progress, job.estimate)


def _note_end(job: PreviewJob) -> None:
    thumbnails.forget(picture_key(job))
    if job.state is State.DONE:
        backend_link.note_success()
        # The last frame: what the drags have made of the still.
        last = max((job.folder / "frames").glob("[0-9]*.png"), default=None)
        if last is not None:
            thumbnails.show_file(picture_key(job), last)
    over = [job for job in _jobs if job.state.final]
    for old in over[:-KEPT]:
        _remove(old)


def _begin(job: PreviewJob) -> None:
    before = current()
    _jobs.append(job)
    job.start(after=before)


def _remove(job: PreviewJob) -> None:
    _jobs.remove(job)
    thumbnails.forget(picture_key(job))


def connector(settings: backend_link.Settings) -> Connect:
    """A job's `connect` for the backend started with these settings."""
    return lambda should_stop: backend_link.connect(settings, should_stop)


def register() -> None:
    """Nothing to register: the timer comes and goes with jobs."""


def unregister() -> None:
    """Cancel the running jobs, so that their threads end before the backend does."""
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    waiting = under_way()
    cancel_all()
    deadline = time.monotonic() + JOIN_TIMEOUT_S
    for job in waiting:
        job.join(max(0.0, deadline - time.monotonic()))
    for job in list(_jobs):
        _remove(job)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue: order, cancellation, failures, listeners."""

import base64
import threading
import time

import pytest
from puppet_master.backend import jobs as jobs_module
from puppet_master.backend import media
from puppet_master.backend.errors import BackendError, ModelError
from puppet_master.backend.jobs import JobQueue, NotFinished, UnknownPreview


@pytest.fixture
def finished(queue, until):
    """Wait for a preview's end; its final status."""

    def wait(preview):
        until(lambda: queue.status(preview)["state"] in ("done", "failed", "cancelled"))
        return queue.status(preview)

    return wait


def test_a_submitted_preview_is_queued_and_then_done(queue, make_request, finished):
    status = queue.submit(make_request(seed=5))
    assert status["state"] == "queued"
    status = finished(status["id"])
    assert status["state"] == "done"
    assert (status["step"], status["steps"], status["progress"]) == (3, 3, 1.0)
    assert status["error"] is None
    assert status["result"]["seed"] == 5


def test_previews_run_one_at_a_time_in_the_order_asked(queue, pipeline, make_request, until, finished):
    pipeline.free.clear()
    ids = [queue.submit(make_request(seed))["id"] for seed in (1, 2, 3)]
    until(lambda: pipeline.started == [1])
    assert [queue.status(i)["state"] for i in ids] == ["running", "queued", "queued"]
    assert [status["id"] for status in queue.statuses()] == ids
    pipeline.free.set()
    assert finished(ids[2])["state"] == "done"
    assert pipeline.started == [1, 2, 3]


def test_a_queued_preview_is_cancelled_at_once_and_never_starts(queue, pipeline, make_request, finished):
    pipeline.free.clear()
    first, second, third = (queue.submit(make_request(seed))["id"] for seed in (1, 2, 3))
    assert queue.cancel(second)["state"] == "cancelled"
    pipeline.free.set()
    assert finished(third)["state"] == "done"
    assert pipeline.started == [1, 3]
    assert queue.status(first)["state"] == "done"


def test_a_running_preview_is_cancelled_between_steps(queue, pipeline, make_request, until, finished):
    pipeline.free.clear()
    preview = queue.submit(make_request())["id"]
    until(lambda: pipeline.started)
    queue.cancel(preview)
    status = finished(preview)
    assert (status["state"], status["error"]) == ("cancelled", None)


def test_cancelling_a_finished_preview_leaves_it_done(queue, make_request, finished):
    preview = queue.submit(make_request())["id"]
    finished(preview)
    assert queue.cancel(preview)["state"] == "done"


def test_a_known_error_is_reported_and_the_next_preview_runs(queue, pipeline, make_request, finished):
    pipeline.fault = ModelError("unet/config.json is missing")
    broken, fine = (queue.submit(make_request())["id"] for _ in range(2))
    assert finished(broken)["error"] == {"kind": "model", "message": "unet/config.json is missing"}
    assert finished(fine)["state"] == "done"


def test_a_fault_is_reported_with_its_traceback_in_the_log(queue, pipeline, make_request, finished, caplog):
    pipeline.fault = ZeroDivisionError("division by zero")
    status = finished(queue.submit(make_request())["id"])
    assert status["state"] == "failed"
    assert status["error"]["kind"] == "error"
    assert "ZeroDivisionError: division by zero" in status["error"]["message"]
    assert "Traceback" in caplog.text


def test_running_out_of_memory_is_told_as_a_requirement(queue, pipeline, make_request, finished):
    pipeline.fault = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes")
    assert finished(queue.submit(make_request())["id"])["error"]["kind"] == "requirement"


def test_a_model_that_does_not_load_fails_the_preview_only(make_request, until):
    def load(model):
        raise ModelError(f"there is no model {model}")

    queue = JobQueue(load)
    preview = queue.submit(make_request(model="absent"))["id"]
    until(lambda: queue.status(preview)["state"] == "failed")
    assert queue.status(preview)["error"]["message"] == "there is no model absent"
    queue.close()


def test_what_the_check_refuses_is_not_queued(pipeline, make_request):
    def check(request):
        raise ModelError("more drags than slots")

    queue = JobQueue(lambda model: pipeline, check=check)
    with pytest.raises(ModelError, match="more drags"):
        queue.submit(make_request())
    assert queue.statuses() == []
    queue.close()


def test_a_failed_preparation_does_not_stop_the_queue(pipeline, make_request, until, caplog):
    def prepare():
        raise ImportError("no torch")

    queue = JobQueue(lambda model: pipeline, prepare=prepare)
    preview = queue.submit(make_request())["id"]
    until(lambda: queue.status(preview)["state"] == "done")
    assert "no torch" in caplog.text
    queue.close()


def test_unknown_previews_are_refused(queue):
    for ask in (queue.status, queue.cancel, queue.mp4, lambda i: queue.listen(i, print)):
        with pytest.raises(UnknownPreview, match="nothing-here"):
            ask("nothing-here")


def test_frames_of_an_unfinished_preview_are_refused(queue, pipeline, make_request):
    pipeline.free.clear()
    preview = queue.submit(make_request())["id"]
    with pytest.raises(NotFinished, match=preview):
        queue.frame_png(preview, 0)


def test_frames_and_mp4_of_a_finished_preview(queue, make_request, finished):
    preview = queue.submit(make_request())["id"]
    finished(preview)
    assert media.decode_png(queue.frame_png(preview, 3)).shape == (20, 30, 3)
    assert queue.mp4(preview)[4:8] == b"ftyp"
    with pytest.raises(UnknownPreview, match="frames 0 to 3, not 4"):
        queue.frame_png(preview, 4)


def test_the_oldest_finished_previews_are_forgotten(queue, make_request, finished, monkeypatch):
    monkeypatch.setattr(jobs_module, "FINISHED_KEPT", 2)
    ids = [queue.submit(make_request(seed))["id"] for seed in range(4)]
    finished(ids[3])
    assert [status["id"] for status in queue.statuses()] == ids[2:]


def test_listeners_hear_the_current_status_first_and_every_step(
    queue, pipeline, make_request, finished, until
):
    pipeline.free.clear()
    preview = queue.submit(make_request())["id"]
    until(lambda: queue.status(preview)["stage"] == "sampling")
    heard = []
    queue.listen(preview, heard.append, estimates=False)
    assert (heard[0].kind, heard[0].data["state"]) == ("status", "running")
    pipeline.free.set()
    finished(preview)
    assert [event.data["step"] for event in heard] == [0, 1, 2, 3, 3]
    assert heard[-1].data["state"] == "done"


def test_a_late_listener_of_a_finished_preview_hears_its_end(queue, make_request, finished):
    preview = queue.submit(make_request())["id"]
    finished(preview)
    heard = []
    queue.listen(preview, heard.append)
    assert [event.data["state"] for event in heard] == ["done"]


def test_a_listener_that_left_hears_no_more(queue, pipeline, make_request, finished):
    pipeline.free.clear()
    preview = queue.submit(make_request())["id"]
    heard = []
    queue.listen(preview, heard.append)()
    pipeline.free.set()
    finished(preview)
    assert len(heard) == 1


def test_estimates_are_decoded_only_while_somebody_wants_them(queue, pipeline, make_request, finished):
    preview = queue.submit(make_request())["id"]
    finished(preview)
    assert pipeline.estimates == 0

    pipeline.free.clear()
    preview = queue.submit(make_request())["id"]
    heard = []
    queue.listen(preview, heard.append)
    pipeline.free.set()
    finished(preview)
    strips = [event for event in heard if event.kind == "estimate"]
    # Half a second must pass before the second one, and these steps take none.
    assert (len(strips), pipeline.estimates) == (1, 1)
    assert media.decode_png(base64.b64decode(strips[0].data["frames_png"])).shape == (20, 4 * 30, 3)


def test_the_time_left_comes_from_the_steps_done(queue, pipeline, make_request, finished):
    pipeline.steps = 6
    preview = queue.submit(make_request())["id"]
    heard = []

    def listen(event):
        time.sleep(0.05)
        heard.append(event.data["eta_s"])

    queue.listen(preview, listen, estimates=False)
    finished(preview)
    told = [eta for eta in heard if eta is not None]
    # Steps of 50 ms: after the second of six, four are left.
    assert told[1] == pytest.approx(4 * 0.05, abs=0.1)
    assert told == sorted(told, reverse=True)


def test_closing_cancels_everything_and_refuses_more(queue, pipeline, make_request, until):
    pipeline.free.clear()
    running, waiting = (queue.submit(make_request())["id"] for _ in range(2))
    until(lambda: queue.status(running)["state"] == "running")
    queue.close()
    assert [queue.status(i)["state"] for i in (running, waiting)] == ["cancelled", "cancelled"]
    with pytest.raises(BackendError, match="shutting down"):
        queue.submit(make_request())


def test_the_queue_answers_while_a_model_loads(pipeline, make_request, until):
    loading, go_on = threading.Event(), threading.Event()

    def load(model):
        loading.set()
        go_on.wait(20)
        return pipeline

    queue = JobQueue(load)
    preview = queue.submit(make_request())["id"]
    assert loading.wait(20)
    assert queue.status(preview)["stage"] == "loading"
    queue.cancel(preview)
    go_on.set()
    until(lambda: queue.status(preview)["state"] == "cancelled")
    assert pipeline.started == []
    queue.close()


def test_a_queue_left_alone_rests_once_and_wakes_for_the_next_preview(pipeline, make_request, until):
    rests, loads = [], []

    def load(model):
        loads.append(model)
        return pipeline

    queue = JobQueue(load, rest=lambda: rests.append(len(loads)), rest_after=0.05)
    try:
        queue.start()
        time.sleep(0.2)
        assert rests == []  # what was loaded ahead waits for the first preview
        for made in (1, 2):
            queue.submit(make_request())
            until(lambda made=made: len(rests) == made)
        time.sleep(0.2)
        assert rests == [1, 2]
        queue.rest()
        until(lambda: len(rests) == 3)
        assert queue.waiting() == 0
    finally:
        queue.close()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Preview jobs against a real server: progress, result, cancelling, and every way to fail."""

import io
import json
import threading

import bpy
import pytest
from PIL import Image
from puppet_master.addon import jobs, thumbnails
from puppet_master.addon.jobs import PreviewJob, State
from puppet_master.backend.errors import BackendError, Cancelled, InputError, ModelError, RequirementError
from puppet_master.backend.protocol import PreviewRequest


@pytest.fixture
def still_png():
    buffer = io.BytesIO()
    Image.new("RGBA", (64, 48), "red").save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def make_job(backend, still_png, tmp_path):
    def make(on_done=None, connect=None, name="result", frames=None):
        request = PreviewRequest(still_png, seed=5, frames=frames)
        return PreviewJob(request, tmp_path / name, connect or backend.connect, on_done)

    return make


@pytest.fixture(autouse=True)
def no_job_is_left_over(scene):
    yield
    assert not jobs.running()


def test_a_finished_job_leaves_a_whole_folder_and_tells_so_once(make_job, until, still_png, tmp_path):
    seen = []
    job = make_job(on_done=lambda job: seen.append((job.folder, threading.current_thread())))
    assert job.state is State.STARTING
    job.start()
    until(job.pump)
    assert (job.state, job.progress, job.error) == (State.DONE, 1.0, None)
    assert job.pump()
    assert seen == [(tmp_path / "result", threading.main_thread())]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result"]
    frames = sorted((job.folder / "frames").iterdir())
    assert [frame.name for frame in frames] == ["0000.png", "0001.png", "0002.png", "0003.png"]
    with Image.open(frames[3]) as image:
        assert image.getpixel((10, 10)) == (128, 128, 128)
    assert (job.folder / "still.png").read_bytes() == still_png
    assert (job.folder / "preview.mp4").stat().st_size > 0
    assert json.loads((job.folder / "preview.json").read_text())["seed"] == 5


def test_a_running_job_says_how_far_it_is(make_job, until, backend):
    backend.pipeline.free.clear()
    job = make_job()
    job.start()
    until(lambda: not job.pump() and job.state is State.RUNNING)
    assert job.text() in ("Generating: loading", "Generating: sampling")
    assert job.progress == 0.0
    backend.pipeline.free.set()
    until(job.pump)
    assert job.text() == "Done"


def test_what_the_user_should_know_of_a_result_stands_beside_its_end(make_job, until, backend):
    backend.pipeline.notes = ("no drags: nothing is asked to move",)
    job = make_job()
    job.start()
    until(job.pump)
    assert job.text() == "Done: no drags: nothing is asked to move"


def test_the_thread_never_changes_the_job_between_pumps(make_job, until, tmp_path):
    job = make_job()
    job.start()
    job.join(20.0)
    assert (tmp_path / "result").is_dir()
    assert job.state is State.STARTING
    until(job.pump)
    assert job.state is State.DONE


def test_a_cancelled_job_ends_as_such_and_leaves_nothing(make_job, until, backend, tmp_path):
    backend.pipeline.free.clear()
    job = make_job()
    job.start()
    until(lambda: not job.pump() and job.state is State.RUNNING)
    job.cancel()
    until(job.pump)
    assert (job.state, job.text(), job.error) == (State.CANCELLED, "Cancelled", None)
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_model_reaches_the_user_in_its_own_words(make_job, until, backend):
    backend.pipeline.fault = ModelError("model tiny: unet/config.json is missing")
    job = make_job()
    job.start()
    until(job.pump)
    assert job.state is State.FAILED
    assert isinstance(job.error, ModelError)
    assert job.text() == "Failed: model tiny: unet/config.json is missing"


def test_a_backend_that_goes_away_fails_the_job(make_job, until, backend, tmp_path):
    backend.pipeline.free.clear()
    job = make_job()
    job.start()
    until(lambda: not job.pump() and job.state is State.RUNNING)
    backend.close_door()
    until(job.pump)
    assert job.state is State.FAILED
    assert "does not answer" in job.text()
    assert not (tmp_path / "result").exists()


def test_what_ended_the_backend_is_told_once_and_by_the_job_that_ran(make_job, until, backend):
    backend.pipeline.free.clear()
    made = [make_job(name=f"result {number}") for number in range(3)]
    jobs.start(*made)
    until(lambda: jobs.tick() and made[0].state is State.RUNNING and made[1].state is made[2].state is State.QUEUED)
    backend.close_door()
    until(lambda: jobs.tick() is None)
    assert [job.state for job in made] == [State.FAILED] * 3
    assert ["does not answer" in jobs.reason_of(job) for job in made] == [True, False, False]
    assert jobs.reason_of(made[2]) == "The backend ended before this began"
    # Made again, alone, it says itself what is wrong.
    again = made[2].again(made[2].folder)
    jobs.start(again)
    until(lambda: jobs.tick() is None)
    assert "does not answer" in jobs.reason_of(again)


def test_of_jobs_that_wait_for_a_backend_that_cannot_start_the_first_says_why(make_job, until):
    def connect(should_stop):
        raise BackendError("the backend did not start: no torch")

    made = [make_job(connect=connect, name=f"result {number}") for number in range(2)]
    jobs.start(*made)
    until(lambda: jobs.tick() is None)
    reasons = [jobs.reason_of(job) for job in made]
    assert reasons == ["the backend did not start: no torch", jobs.NEVER_BEGAN]


def test_a_backend_that_cannot_start_fails_the_job(make_job, until):
    def connect(should_stop):
        raise BackendError("the backend did not start: no torch")

    job = make_job(connect=connect)
    job.start()
    until(job.pump)
    assert job.text() == "Failed: the backend did not start: no torch"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_in_the_thread_ends_the_job_too(make_job, until):
    def connect(should_stop):
        raise ZeroDivisionError

    job = make_job(connect=connect)
    job.start()
    until(job.pump)
    assert job.text() == "Failed: the preview's thread broke off; see the terminal"


def test_a_result_that_cannot_be_written_fails_the_job_and_leaves_nothing(make_job, until, tmp_path):
    job = make_job()
    job.folder = tmp_path / "file" / "result"
    (tmp_path / "file").write_text("")
    job.start()
    until(job.pump)
    assert job.error is not None
    assert str(job.error).startswith(f"cannot write the preview to {job.folder}: ")
    assert "choose another Output Folder" in str(job.error)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_result_that_cannot_be_shown_fails_the_job(make_job, until):
    def show(job):
        raise InputError("no camera to show it on")

    job = make_job(on_done=show)
    job.start()
    until(job.pump)
    assert job.text() == "Failed: no camera to show it on"


def test_a_result_that_blender_cannot_show_is_kept_and_the_other_jobs_go_on(make_job, until):
    def show(job):
        bpy.data.images.load(str(job.folder / "none.png"))

    job, other = make_job(on_done=show), make_job(name="other")
    jobs.start(job, other)
    until(lambda: jobs.tick() is None)
    assert (job.state, other.state) == (State.DONE, State.DONE)
    assert job.text().startswith("Done: Blender cannot show it (Error: Cannot read") and str(job.folder) in job.text()


def test_the_timer_runs_until_the_job_is_over(make_job, until):
    job = make_job()
    jobs.start(job)
    assert bpy.app.timers.is_registered(jobs.tick)
    assert jobs.current() is job
    assert jobs.tick() == jobs.TICK_S
    assert until(lambda: jobs.tick() is None)
    assert job.state is State.DONE


def test_previews_queue_up_and_are_cancelled_one_by_one_or_all(make_job, until, backend):
    backend.pipeline.free.clear()
    made = [make_job(name=f"result {number}") for number in range(3)]
    jobs.start(*made)
    until(lambda: jobs.tick() and made[0].state is State.RUNNING and made[1].state is made[2].state is State.QUEUED)
    assert jobs.listed() == (made[2], made[1], made[0])
    bpy.ops.puppet_master.cancel(serial=made[1].serial)
    until(lambda: jobs.tick() and made[1].state is State.CANCELLED)
    assert made[0].state is State.RUNNING
    bpy.ops.puppet_master.cancel()
    assert made[0].text() == "Cancelling"
    until(lambda: jobs.tick() is None)
    assert [job.state for job in made] == [State.CANCELLED] * 3
    assert not bpy.ops.puppet_master.cancel.poll()
    bpy.ops.puppet_master.clear_jobs()
    assert jobs.listed() == ()


def test_too_many_previews_at_once_are_refused(make_job):
    with pytest.raises(InputError, match="0 previews are under way and 33 more"):
        jobs.start(*(make_job(name=str(number)) for number in range(33)))
    assert not jobs.running()


def test_the_estimate_is_shown_while_the_preview_is_made_and_gone_afterwards(make_job, until, backend):
    backend.pipeline.free.clear()
    job = make_job()
    jobs.start(job)
    until(lambda: jobs.tick() and job.state is State.RUNNING)
    backend.pipeline.hold_after = 1  # step, so that an estimate is out
    until(lambda: jobs.tick() and job.estimate)
    assert job.estimate.frames == 4
    strip = Image.open(io.BytesIO(job.estimate.strip_png))
    assert strip.size == (4 * 64, 48)
    key = jobs.picture_key(job)
    assert thumbnails._moving[key].shape == (4, 48, 64, 4)
    assert tuple(thumbnails._pictures[key].image_size) == (64, 48)
    backend.pipeline.free.set()
    until(lambda: jobs.tick() is None)
    assert job.estimate is None
    assert key not in thumbnails._moving


def test_a_preview_is_made_again_with_the_same_request_or_fewer_frames(make_job, until, backend, tmp_path):
    backend.pipeline.fault = RequirementError("out of memory; ask for fewer frames")
    job = make_job(frames=8)
    jobs.start(job)
    until(lambda: jobs.tick() is None)
    assert job.lacked_memory
    backend.pipeline.fault = None
    bpy.ops.puppet_master.retry()
    again = jobs.current()
    assert again is not job
    assert (again.state, again.request) == (State.DONE, job.request)
    bpy.ops.puppet_master.retry(serial=job.serial, cheaper=True)
    assert jobs.current().request.frames == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result", "result-2"]


def test_a_blocking_run_raises_what_made_the_job_fail(make_job, backend):
    backend.pipeline.fault = InputError("too many drags")
    with pytest.raises(InputError, match="too many drags"):
        jobs.run_blocking(make_job())


def test_a_blocking_run_that_is_cancelled_says_so(make_job, backend):
    backend.pipeline.free.clear()
    job = make_job()
    job.cancel()
    with pytest.raises(Cancelled):
        jobs.run_blocking(job)


def test_disabling_the_addon_cancels_the_running_job(make_job, backend, until):
    backend.pipeline.free.clear()
    job = make_job()
    jobs.start(job)
    until(lambda: jobs.tick() and job.state is State.RUNNING)
    bpy.ops.preferences.addon_disable(module="puppet_master")
    assert not bpy.app.timers.is_registered(jobs.tick)
    assert jobs.current() is None
    assert job.pump()
    assert job.state is State.CANCELLED

# SPDX-License-Identifier: GPL-3.0-or-later
"""What users meet when things break beside the add-on: a full disk, a backend that dies at once or is too old."""

import contextlib
import os
import resource
import time

import bpy
import pytest
from puppet_master.addon import backend_link, backend_state, jobs, preferences, preview_operators
from puppet_master.addon.preview_job import PreviewJob, State
from puppet_master.backend.errors import BackendError, OutputError
from puppet_master.backend.protocol import PreviewRequest


@contextlib.contextmanager
def room_for(size):
    """No file may grow beyond `size` bytes: what writing to a full disk is like."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def backend_program(scene, tmp_path):
    """Makes a program of a few lines of shell the backend's Python."""

    def write(text):
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        preferences.own().backend_python = str(path)

    yield write
    backend_link.stop()


def connect():
    return backend_link.connect(preferences.backend_settings(), lambda: False)


def test_a_result_that_no_longer_fits_on_the_disk_leaves_nothing(scene, backend, until, tmp_path):
    bpy.ops.puppet_master.make_still()
    (still,) = (tmp_path / "previews").rglob("*.png")
    job = PreviewJob(PreviewRequest(still.read_bytes(), seed=5), tmp_path / "result", backend.connect)
    with room_for(400):  # the frames fit, the still and the video do not
        job.start()
        until(job.pump)
    assert job.state is State.FAILED
    assert isinstance(job.error, OutputError)
    assert str(tmp_path / "result") in str(job.error)
    assert "make room" in str(job.error)
    assert not list(tmp_path.glob("result*"))


@pytest.mark.parametrize("source", ["CAMERA", "IMAGE"])
def test_a_still_that_cannot_be_written_is_an_error_and_no_half_a_file(scene, tmp_path, source):
    scene.puppet_master.still_source = source
    scene.puppet_master.still_image = bpy.data.images.new("Painting", 64, 64)
    with room_for(40), pytest.raises(RuntimeError, match="cannot write") as caught:
        bpy.ops.puppet_master.make_still()
    assert str(tmp_path / "previews") in str(caught.value)
    assert not list((tmp_path / "previews").rglob("*.png"))
    bpy.ops.puppet_master.make_still()
    assert list((tmp_path / "previews").rglob("*.png"))


def test_a_folder_that_may_not_be_written_to_is_refused_before_anything_is_rendered(scene, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "previews").mkdir(mode=0o500)
    with pytest.raises(RuntimeError, match="make it writable or choose an Output Folder"):
        bpy.ops.puppet_master.preview()


def test_a_backend_that_crashes_at_its_start_is_not_started_for_ever(scene, backend_program):
    backend_program("echo about to break; kill -SEGV $$")
    for _ in range(2):
        with pytest.raises(BackendError, match=r"did not start.*SIGSEGV"):
            connect()
    with pytest.raises(BackendError, match=r"ended 2 times in a row.*press Restart Backend"):
        connect()
    assert backend_state.refresh().state is backend_state.State.FAILED
    assert "about to break" in backend_link.log().read_text()


def test_a_backend_of_an_older_version_is_told_apart_and_ended(scene, backend_program):
    backend_program(
        'while [ "$1" != --handshake ]; do shift; done\n'
        'echo \'{"port": 1, "token": "t", "pid": 1, "api": 0, "version": "0.0.1"}\' >"$2.part"; mv "$2.part" "$2"\n'
        "exec sleep 60"
    )
    began = time.monotonic()
    with pytest.raises(BackendError, match=r"version 0\.0\.1\) speaks API 0.*install the same version of both"):
        connect()
    assert time.monotonic() - began < 30
    assert backend_link.pid() is None


def test_previews_of_a_file_without_a_place_go_to_the_users_folder_and_their_error_names_it(scene, monkeypatch):
    assert not bpy.data.filepath
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match=r"cannot write to .*previews; make it writable"):
        preview_operators.new_jobs(scene)
    with pytest.raises(RuntimeError, match=r"cannot write to .*previews; make it writable"):
        bpy.ops.puppet_master.make_still()
    assert not jobs.listed()

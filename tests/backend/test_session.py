# SPDX-License-Identifier: GPL-3.0-or-later
"""Previews from Python: one model for many, progress, cancelling, and errors that spoil no other preview."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from puppet_master.backend import Session
from puppet_master.backend.errors import Cancelled, InputError, PuppetMasterError, RequirementError
from puppet_master.backend.protocol import Drag, DragPoint
from puppet_master.backend.session import Preview

DRAG = Drag("part", (DragPoint(0, 0.4, 0.5), DragPoint(1, 0.7, 0.5)))


@pytest.fixture(scope="module")
def session():
    with Session(device="cpu") as opened:
        yield opened


@pytest.fixture(scope="module")
def still():
    pixels = np.full((64, 64, 3), 255, np.uint8)
    pixels[20:40, 16:36] = (40, 90, 200)
    return pixels


def test_all_forms_of_still_and_drags_give_the_same_preview(session, still, tmp_path):
    from puppet_master.backend.media import encode_png

    path = tmp_path / "still.png"
    path.write_bytes(encode_png(still))
    document = {"version": 1, "drags": [DRAG.to_json()]}
    made = [
        session.preview(still, [DRAG]), session.preview(path, document), session.preview(path.read_bytes(), [DRAG]),
        session.preview(str(path), DRAG.resample(14)[None]),
    ]  # fmt: skip
    assert made[0].frames.shape == (14, 64, 64, 3) and np.array_equal(made[0].frames[0], still)
    assert not np.array_equal(made[0].frames[-1], still)
    assert all(np.array_equal(other.frames, made[0].frames) for other in made[1:3])
    assert np.abs(made[3].frames.astype(int) - made[0].frames).mean() < 1
    assert len({preview.result.model_hash for preview in made}) == 1


def test_a_preview_is_saved_as_its_name_says(session, still, tmp_path):
    made = session.preview(still, [DRAG], frames=5)
    heads = {"mp4": b"ftyp", "gif": b"GIF89a", "png": b"\x89PNG"}
    for kind, head in heads.items():
        assert head in made.save(tmp_path / "deep" / f"clip.{kind}").read_bytes()[:16]
    with pytest.raises(InputError, match=r"ends in \.mp4"):
        made.save(tmp_path / "clip.mov")


def test_progress_is_told_in_order(session, still):
    told = []
    pending = session.submit(still, [DRAG], on_progress=told.append)
    pending.result(60)
    stages = [progress.stage for progress in told]
    assert [*dict.fromkeys(stages)] == ["still", "load", "sample", "done"]
    assert told[-1].step == told[-1].steps == 1 and pending.done and pending.progress == told[-1]


def test_one_that_cannot_be_made_spoils_no_other(session, still):
    orders = [{"source": still}, {"source": "nowhere.png"}, {"source": still, "seed": -1}, {"source": still}]
    made = list(session.previews(orders))
    assert [type(one) for one in made] == [Preview, InputError, InputError, Preview]
    assert "nowhere.png" in str(made[1]) and "seed" in str(made[2])


def test_one_that_memory_is_too_small_for_spoils_no_other(session, still, monkeypatch):
    session.preview(still)
    pipeline = session._shelf.get("tiny")
    whole = pipeline.generate

    def small(request, *rest):
        if request.frames == 200:
            raise MemoryError("can't allocate memory")
        return whole(request, *rest)

    monkeypatch.setattr(pipeline, "generate", small)
    made = list(session.previews([{"source": still, "frames": 200}, {"source": still}]))
    assert [type(one) for one in made] == [RequirementError, Preview] and "fewer frames" in str(made[0])


def test_what_is_cancelled_stops_and_the_next_is_made(session, still):
    begun, go_on = threading.Event(), threading.Event()

    def hold(progress):
        begun.set()
        go_on.wait(30)

    running = session.submit(still, [DRAG], on_progress=hold)
    queued = session.submit(still, [DRAG])
    begun.wait(30)
    session.cancel()
    go_on.set()
    for pending in (running, queued):
        with pytest.raises(Cancelled):
            pending.result(60)
    assert session.preview(still).frames.shape[0] == 14


@pytest.mark.parametrize(
    "choices, words",
    [({"sed": 1}, "no choice 'sed'"), ({"camera": "A"}, "of a scene alone"), ({"steps": 0}, "steps = 0"),
     ({"drags": [1, 2]}, "drag 0 must be a Drag"), ({"drags": [{"points": 3}]}, "must be a list of"),
     ({"drags": np.zeros((2, 3))}, "must be \\[drags, frames, 2\\]"), ({"still_png": b""}, "no choice 'still_png'")],
)  # fmt: skip
def test_a_wrong_choice_is_refused_at_once(session, still, choices, words):
    with pytest.raises(InputError, match=words):
        session.submit(still, **choices)


def test_a_closed_session_makes_no_more(still):
    with Session(device="cpu") as closed:
        pass
    closed.close()
    with pytest.raises(InputError, match="session is closed"):
        closed.submit(still)


def test_scenes_share_one_blender(session, repository):
    pytest.importorskip("bpy", reason="Blender's module (bpy) is not installed")
    scene = repository / "examples" / "laptop.blend"
    first = session.preview(scene, size=(64, 64))
    blender = session._slot.pid
    second = session.preview(scene, [DRAG], size=(96, 64))
    assert first.frames.shape[1:3] == (64, 64) and second.frames.shape[1:3] == (64, 96)
    assert [drag.name for drag in first.result.drags] == ["lid", "pin"] and second.result.drags == (DRAG,)
    assert session._slot.pid == blender
    with pytest.raises(PuppetMasterError, match='no camera "B"'):
        session.preview(scene, camera="B")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "mps"])
def test_a_device_that_there_is_not_is_named(still, device):
    with Session(device=device) as opened, pytest.raises(InputError, match=f"cuda:N, not '{device}'"):
        opened.preview(still)

# SPDX-License-Identifier: GPL-3.0-or-later
"""A preview's folder holds a whole preview or what it held before, never a mixture."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from puppet_master.backend import media
from puppet_master.backend.errors import OutputError
from puppet_master.backend.preview_folder import PreviewFolder
from puppet_master.backend.protocol import PreviewResult, load_drags


def clip(frames, value=90):
    return np.full((frames, 20, 30, 3), value, np.uint8)


@pytest.fixture
def write(still_png, make_result, make_request):
    def into(folder, frames=3, value=90, seed=0):
        with PreviewFolder(folder) as preview:
            return preview.write(still_png, clip(frames, value), make_result(make_request(seed), frames, 5))

    return into


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


WHOLE = ["contact_sheet.png", "drags.json", "preview.json", "preview.mp4", "still.png"]


def test_a_preview_is_complete_and_can_be_repeated_from(tmp_path, write, still_png, drag):
    out = tmp_path / "new" / "deep"
    files = write(out, frames=3, seed=11)
    assert listing(out) == sorted([*WHOLE, "frames/0000.png", "frames/0001.png", "frames/0002.png"])
    assert sorted(map(str, files)) == sorted(str(out / name) for name in listing(out))
    assert (out / "still.png").read_bytes() == still_png
    assert load_drags(out / "drags.json") == [drag]
    assert PreviewResult.from_json(json.loads((out / "preview.json").read_text())).seed == 11
    assert np.array_equal(media.decode_png((out / "frames" / "0001.png").read_bytes()), clip(1)[0])


def test_an_earlier_preview_is_replaced_and_other_files_stay(tmp_path, write):
    write(tmp_path, frames=5, seed=1)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "frames" / "9999.png").write_text("mine")
    write(tmp_path, frames=2, value=200, seed=2)
    frames = ["frames/0000.png", "frames/0001.png", "frames/9999.png"]
    assert listing(tmp_path) == sorted([*WHOLE, "notes.txt", *frames])
    assert json.loads((tmp_path / "preview.json").read_text())["seed"] == 2
    assert media.decode_png((tmp_path / "frames" / "0001.png").read_bytes())[0, 0, 0] == 200


def test_a_failure_before_writing_leaves_no_trace(tmp_path, write):
    with pytest.raises(ZeroDivisionError), PreviewFolder(tmp_path / "out"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []

    write(tmp_path / "out", seed=1)
    before = listing(tmp_path)
    with pytest.raises(ZeroDivisionError), PreviewFolder(tmp_path / "out"):
        raise ZeroDivisionError
    assert listing(tmp_path) == before


def test_a_refusal_midway_brings_the_earlier_preview_back(tmp_path, write, monkeypatch):
    write(tmp_path, frames=5, value=90, seed=1)
    before = {name: (tmp_path / name).read_bytes() for name in listing(tmp_path)}
    rename = type(tmp_path).rename
    calls = []

    def failing(self, target):
        calls.append(target)
        if len(calls) == 13:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(type(tmp_path), "rename", failing)
    with pytest.raises(OutputError, match="No space left on device"):
        write(tmp_path, frames=2, value=200, seed=2)
    monkeypatch.undo()
    assert {name: (tmp_path / name).read_bytes() for name in listing(tmp_path)} == before


def test_a_file_where_the_folder_should_be_is_named(tmp_path, write):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match=r"cannot write to .*out: File exists"):
        write(tmp_path / "out")
    with pytest.raises(OutputError, match="Not a directory"):
        write(tmp_path / "out" / "below")
    assert (tmp_path / "out").read_text() == "a file"


@pytest.mark.parametrize("name", ["preview.mp4", "preview.json", "still.png"])
def test_a_folder_where_a_file_should_go_is_refused_before_any_work(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(OutputError, match=f"{name} is a folder"), PreviewFolder(tmp_path):
        raise AssertionError("not reached")


def test_a_file_where_the_frames_should_go_is_refused_before_any_work(tmp_path):
    (tmp_path / "frames").write_text("")
    with pytest.raises(OutputError, match="frames is a file"), PreviewFolder(tmp_path):
        raise AssertionError("not reached")


@pytest.mark.skipif(os.name != "posix", reason="permission bits as on POSIX")
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_named(tmp_path, write):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        write(tmp_path / "out")


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc, which takes no new files")
def test_a_read_only_file_system_is_named(write):
    with pytest.raises(OutputError, match="cannot write to /proc/puppet"):
        write(Path("/proc/puppet"))


def test_a_disk_that_fills_up_is_an_error_and_leaves_nothing(tmp_path):
    """A limit on file sizes stands for the full disk: the write itself fails."""
    resource = pytest.importorskip("resource", reason="limits the size of files, a POSIX facility")
    script = f"""
import numpy as np, pathlib
from puppet_master.backend.errors import OutputError
from puppet_master.backend.preview_folder import PreviewFolder
from puppet_master.backend.protocol import PreviewResult
result = PreviewResult("m", "0", (), 2, 1, (1.0, 1.0), 0, "crop", (1, 1, 1), (64, 64), (64, 64), "", "cpu", 1)
try:
    with PreviewFolder(pathlib.Path({str(tmp_path / "out")!r})) as folder:
        folder.write(b"still", np.random.randint(0, 255, (2, 64, 64, 3), dtype=np.uint8), result)
except OutputError as error:
    print(error)
"""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    run = subprocess.run([sys.executable, "-c", script], preexec_fn=limit, capture_output=True, text=True)
    assert run.stdout.startswith(f"cannot write to {tmp_path / 'out'}: File too large"), run.stderr
    assert list(tmp_path.iterdir()) == []

# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: refusals in process, previews as real programs."""

import json
import os
import signal
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from puppet_master.backend import cli, errors, media, registry
from puppet_master.backend.client import BackendClient
from puppet_master.backend.errors import InputError
from puppet_master.backend.protocol import PreviewResult, load_drags
from puppet_master.backend.wire import Handshake

PROGRAM = [sys.executable, "-m", "puppet_master.backend"]
WAIT_S = 300  # torch alone takes minutes to import on a busy machine
WHOLE = ["contact_sheet.png", "drags.json", "frames", "preview.json", "preview.mp4", "still.png"]

posix_only = pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")


@pytest.fixture
def still(tmp_path):
    """A dark box on white, 96 x 64 pixels."""
    pixels = np.full((64, 96, 3), 255, np.uint8)
    pixels[20:50, 30:66] = (60, 80, 120)
    Image.fromarray(pixels).save(tmp_path / "still.png")
    return tmp_path / "still.png"


@pytest.fixture
def drag_file(tmp_path):
    points = [{"t": 0, "x": 0.5, "y": 0.5}, {"t": 1, "x": 0.7, "y": 0.5}]
    path = tmp_path / "drags.json"
    path.write_text(json.dumps({"version": 1, "drags": [{"name": "box", "points": points}]}))
    return path


@pytest.fixture
def run(capsys):
    """Run the command line in this process: exit code, stdout, stderr."""

    def main(*arguments):
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return main


@pytest.fixture
def refused(run, tmp_path, model_folder):
    """Run what must be refused: one line on stderr, the class's exit code, no output folder."""

    def main(error, *arguments, model=model_folder):
        out = tmp_path / "refused"
        code, stdout, stderr = run("preview", *arguments, "--model", model, "--out", out)
        assert code == error.exit_code, stderr
        assert stdout == ""
        assert stderr.count("\n") == 1
        assert stderr.startswith("error: ")
        assert not out.exists()
        return stderr.removeprefix("error: ").strip()

    return main


def preview(model, *arguments, **options):
    return subprocess.Popen(
        [*PROGRAM, "preview", "--model", str(model), *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def test_help_comes_without_the_heavy_libraries():
    script = """
import sys
from puppet_master.backend.cli import main
try:
    main(["--help"])
except SystemExit:
    print([name for name in ("torch", "diffusers", "fastapi", "bpy", "av") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for word in ("preview", "serve", "model", "data", "train", "eval", "Exit codes"):
        assert word in done.stdout


def test_the_help_lists_the_exit_code_of_every_class_of_error(run):
    _, stdout, _ = run("--help")
    for kind in errors.BY_KIND.values():
        assert kind.exit_code in cli.EXIT_CODES
        assert cli.EXIT_CODES[kind.exit_code] in stdout


def test_version_is_printed(run):
    assert run("--version")[:2] == (0, "puppet-master 0.1.0\n")


def test_wrong_usage_has_a_code_of_its_own(run):
    assert run("preview")[0] == 2
    assert run("dance")[0] == 2
    assert run("preview", "a.png", "--out", "o", "--steps", "many")[0] == 2


def test_a_missing_still_is_named(refused, tmp_path):
    assert "absent.png does not exist" in refused(errors.InputError, tmp_path / "absent.png")


def test_a_still_that_is_no_image_is_named(refused, drag_file):
    assert "drags.json as an image" in refused(errors.InputError, drag_file)


@pytest.mark.parametrize("name", ["absent.blend", "text.blend"])
def test_a_scene_that_is_none_is_named(refused, tmp_path, name):
    (tmp_path / "text.blend").write_text("not a scene")
    assert name in refused(errors.InputError, tmp_path / name)


@pytest.mark.parametrize(
    "content, said",
    [
        ("{", "is not JSON"),
        ('{"version": 2, "drags": []}', '"version" is 2'),
        ('{"version": 1, "drags": [{"name": "a", "points": [{"t": 0, "x": 0, "y": 0}]}]}', "at least two"),
        ('{"version": 1, "drags": [{"name": "a", "points": [{"t": 0, "x": NaN, "y": 0}]}]}', "finite"),
    ],
)
def test_a_bad_drag_file_is_named_with_its_fault(refused, still, tmp_path, content, said):
    (tmp_path / "bad.json").write_text(content)
    message = refused(errors.InputError, still, "--drags", tmp_path / "bad.json")
    assert "bad.json" in message
    assert said in message


def test_a_missing_drag_file_is_named(refused, still, tmp_path):
    assert "nowhere.json" in refused(errors.InputError, still, "--drags", tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    "options, said",
    [
        (["--steps", "0"], "steps = 0"),
        (["--frames", "1"], "frames = 1"),
        (["--seed", "-1"], "seed = -1"),
        (["--guidance", "strong"], "'strong'"),
        (["--guidance", "1:2:3"], "'1:2:3'"),
        (["--guidance", "nan"], "must be finite"),
        (["--guidance", "0.5"], "guidance = 0.5"),
        (["--fit", "squash"], "'squash'"),
        (["--background", "white"], "'white'"),
        (["--size", "512x512"], "--size is for .blend scenes"),
        (["--size", "512"], "'512'"),
        (["--size", "0x9"], "'0x9'"),
    ],
)
def test_options_out_of_range_are_named(refused, still, options, said):
    assert said in refused(errors.InputError, still, *options)


def test_an_unknown_model_is_named(refused, still):
    assert "no-such-model" in refused(errors.ModelError, still, model="no-such-model")


def test_an_output_that_cannot_be_a_folder_is_named(run, still, model_folder):
    code, _, stderr = run("preview", still, "--model", model_folder, "--out", still / "out")
    assert code == errors.OutputError.exit_code
    assert "still.png/out" in stderr


def test_json_reports_the_error_as_one_object(run, tmp_path):
    code, stdout, stderr = run("preview", tmp_path / "absent.png", "--out", tmp_path / "o", "--json")
    assert code == 4
    error = json.loads(stdout)["error"]
    assert error["kind"] == "input"
    assert stderr == f"error: {error['message']}\n"


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch, still, tmp_path):
    def broken(path):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(media, "read_still", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["preview", str(still), "--out", str(tmp_path / "out")])


@pytest.mark.parametrize("text, numbers", [("2", (2.0, 2.0)), ("1:3", (1.0, 3.0)), ("1.5:2.5", (1.5, 2.5))])
def test_guidance_is_a_number_or_a_range(text, numbers):
    assert cli.parse_guidance(text) == numbers


def test_sizes_and_colours_are_read():
    assert cli.parse_size("640x360") == (640, 360)
    assert cli.parse_colour("#ff8000") == (1.0, 128 / 255, 0.0)
    assert cli.parse_colour("000000") == (0.0, 0.0, 0.0)
    for bad in ("#ff", "", "#ff80000"):
        with pytest.raises(InputError, match="background must be a colour"):
            cli.parse_colour(bad)


def announce(monkeypatch, name, target):
    entry = EntryPoint(name, target, cli.COMMANDS_GROUP)
    monkeypatch.setattr(cli, "entry_points", lambda group: [entry])


def test_commands_of_other_rooms_are_found_by_their_entry_point(monkeypatch, run, tmp_path):
    (tmp_path / "a_room.py").write_text(
        "import typer\n"
        "def greet(name: str = 'you') -> None:\n    '''Says hello.'''\n    print('hello', name)\n"
        "app = typer.Typer()\napp.command('one')(greet)\napp.command('two')(greet)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    announce(monkeypatch, "greet", "a_room:greet")
    assert "Says hello" in run("--help")[1]
    assert run("greet", "--name", "Judy") == (0, "hello Judy\n", "")
    announce(monkeypatch, "room", "a_room:app")
    assert run("room", "two")[1] == "hello you\n"


@pytest.mark.parametrize(
    "room, extra", [("puppet_master.training", "training"), ("cv2", "training"), ("bpy", "blender")]
)
def test_a_command_without_its_libraries_names_the_extra(monkeypatch, run, room, extra):
    def load(self):
        raise ModuleNotFoundError("No module named 'skies'", name="skies" if "." in room else room)

    monkeypatch.setattr(EntryPoint, "load", load)
    announce(monkeypatch, "learn", f"{room}.cli:app")
    assert "learn" in run("--help")[1]
    code, _, stderr = run("learn", "--any", "thing")
    assert code == errors.RequirementError.exit_code
    assert f'[{extra}]"' in stderr


def test_a_library_found_missing_by_a_running_command_names_the_extra(monkeypatch, run, tmp_path):
    (tmp_path / "late_room.py").write_text(
        "def work() -> None:\n    raise ModuleNotFoundError(\"No module named 'cv2'\", name='cv2')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    announce(monkeypatch, "work", "late_room:work")
    code, _, stderr = run("work")
    assert code == 8
    assert '[training]"' in stderr


def test_a_broken_room_shows_its_fault(monkeypatch, run):
    def load(self):
        raise ImportError("cannot import name 'x'", name="puppet_master.training")

    monkeypatch.setattr(EntryPoint, "load", load)
    announce(monkeypatch, "learn", "puppet_master.training.cli:app")
    with pytest.raises(ImportError, match="cannot import name"):
        cli.main(["learn"])


def test_models_are_listed_as_they_declare_themselves_and_what_can_be_pulled(run, model_folder, monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "EMBEDDED", model_folder.parent)
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(tmp_path))
    code, stdout, _ = run("model", "list")
    first, second = stdout.splitlines()
    assert code == 0
    assert first == "random: 32 x 32, 4 frames, up to 3 drags, 2 steps; licence GPL-3.0-or-later"
    assert second.startswith("svd: not on this computer;") and second.endswith("puppet-master model pull svd")


@pytest.fixture(scope="module")
def made(tmp_path_factory, model_folder):
    """A preview asked for as a user would: its folder and what the program said."""
    folder = tmp_path_factory.mktemp("made")
    pixels = np.full((64, 96, 3), 255, np.uint8)
    pixels[20:50, 30:66] = (60, 80, 120)
    Image.fromarray(pixels).save(folder / "box.jpg")
    points = [{"t": 0, "x": 0.5, "y": 0.5}, {"t": 1, "x": 0.7, "y": 0.5}]
    (folder / "d.json").write_text(json.dumps({"version": 1, "drags": [{"name": "box", "points": points}]}))
    program = preview(
        model_folder, folder / "box.jpg", "--drags", folder / "d.json", "--steps", 3, "--guidance", "1:2", "--seed", 4,
        "--out", folder / "out",
    )  # fmt: skip
    stdout, stderr = program.communicate(timeout=WAIT_S)
    assert program.returncode == 0, stderr
    return folder / "out", stdout, stderr


def test_a_preview_is_written_whole(made, drag_file):
    out, stdout, stderr = made
    assert sorted(path.name for path in out.iterdir()) == WHOLE
    told = PreviewResult.from_json(json.loads((out / "preview.json").read_text()))
    assert (told.steps, told.seed, told.guidance, told.size) == (3, 4, (1.0, 2.0), (96, 64))
    assert list(told.drags) == load_drags(out / "drags.json") == load_drags(drag_file)
    assert len(list((out / "frames").iterdir())) == told.frames
    assert media.decode_png((out / "frames" / "0000.png").read_bytes()).shape == (64, 96, 3)
    assert {"command: backend", "command: preview", "total"} <= set(told.timings)
    for name in ("preview.mp4", "contact_sheet.png", "preview.json", "frames"):
        assert str(out / name) in stdout
    assert f"model {told.model}" in stdout
    for stage in ("backend", "preview", "writing"):
        assert f"{stage}: " in stderr


def test_a_preview_is_repeated_bit_for_bit_from_its_folder(made, tmp_path, model_folder):
    out, _, _ = made
    again = preview(
        model_folder, out / "still.png", "--drags", out / "drags.json", "--steps", 3, "--guidance", "1:2", "--seed", 4,
        "--out", tmp_path / "again", "--json",
    )  # fmt: skip
    stdout, stderr = again.communicate(timeout=WAIT_S)
    assert again.returncode == 0, stderr
    assert stderr == ""
    told = json.loads(stdout)
    assert told["out"] == str(tmp_path / "again")
    assert told["still_sha256"] == json.loads((out / "preview.json").read_text())["still_sha256"]
    for frame in sorted((out / "frames").iterdir()):
        assert (tmp_path / "again" / "frames" / frame.name).read_bytes() == frame.read_bytes()
    assert (tmp_path / "again" / "preview.mp4").read_bytes() == (out / "preview.mp4").read_bytes()


def test_more_drags_than_the_model_has_slots_are_refused(refused, still, tmp_path):
    points = [{"t": 0, "x": 0.5, "y": 0.5}, {"t": 1, "x": 0.7, "y": 0.5}]
    drags = [{"name": f"d{index}", "points": points} for index in range(5)]
    (tmp_path / "many.json").write_text(json.dumps({"version": 1, "drags": drags}))
    message = refused(errors.InputError, still, "--drags", tmp_path / "many.json")
    assert message == "5 drags, but model random has 3 slots; remove 2"


@pytest.fixture
def under_way(still, tmp_path, model_folder):
    """A preview that would sample for minutes, and its backend's process, once the backend answers."""
    program = preview(model_folder, still, "--steps", 1000, "--out", tmp_path / "out", start_new_session=True)
    for line in program.stderr:
        if line.startswith("backend"):
            break
    (backend,) = psutil.Process(program.pid).children()
    yield program, backend
    if program.poll() is None:
        program.kill()
    program.communicate()


def await_sampling(backend, until):
    """Ask the backend itself, as its parent does, whether a step is done."""
    command = backend.cmdline()
    handshake = Handshake.read(Path(command[command.index("--handshake") + 1]))
    client = BackendClient(handshake.port, handshake.token)
    until(lambda: any(status["step"] for status in client.previews()), timeout=WAIT_S)


@posix_only
@pytest.mark.parametrize("number, is_sampling", [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_an_interrupted_preview_leaves_nothing_behind(
    under_way, tmp_path, until, is_gone, number, is_sampling
):
    program, backend = under_way
    if is_sampling:
        await_sampling(backend, until)
    program.send_signal(number)
    _, stderr = program.communicate(timeout=WAIT_S)
    assert program.returncode == 130
    assert stderr.splitlines()[-1].startswith("error: cancelled")
    assert "Traceback" not in stderr
    assert is_gone(backend.pid)
    assert not (tmp_path / "out").exists()


@posix_only
def test_a_backend_killed_in_mid_job_is_told_and_nothing_is_written(under_way, tmp_path, until):
    program, backend = under_way
    await_sampling(backend, until)
    backend.kill()
    _, stderr = program.communicate(timeout=WAIT_S)
    assert program.returncode == errors.BackendError.exit_code
    assert "SIGKILL" in stderr
    assert "its log: " in stderr
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="session")
def scene():
    pytest.importorskip("bpy", reason="Blender's module is not installed")
    path = Path(__file__).parents[2] / "examples" / "cabinet.blend"
    if not path.is_file():
        pytest.skip("examples/cabinet.blend is not there")
    return path


def test_a_scene_becomes_a_preview_with_its_own_drags(scene, tmp_path, model_folder):
    program = preview(model_folder, scene, "--steps", 2, "--size", "128x96", "--out", tmp_path / "out", "--json")
    stdout, stderr = program.communicate(timeout=WAIT_S)
    assert program.returncode == 0, stderr
    told = json.loads(stdout)
    assert told["drags"]
    assert told["size"] == [128, 96]
    assert "command: Blender still" in told["timings"]
    assert Image.open(tmp_path / "out" / "still.png").size == (128, 96)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == WHOLE


def test_a_drag_file_overrides_the_scenes_drags_and_may_be_empty(scene, tmp_path, model_folder):
    (tmp_path / "none.json").write_text('{"version": 1, "drags": []}')
    program = preview(
        model_folder, scene, "--drags", tmp_path / "none.json", "--steps", 1, "--size", "64x64",
        "--out", tmp_path / "out",
    )  # fmt: skip
    stdout, stderr = program.communicate(timeout=WAIT_S)
    assert program.returncode == 0, stderr
    assert "nothing is asked to move" in stdout
    assert json.loads((tmp_path / "out" / "preview.json").read_text())["drags"] == []


def test_a_scene_without_a_camera_is_refused_by_the_renderer(tmp_path, model_folder):
    bpy = pytest.importorskip("bpy", reason="Blender's module is not installed")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "empty.blend"))
    program = preview(model_folder, tmp_path / "empty.blend", "--out", tmp_path / "out")
    _, stderr = program.communicate(timeout=WAIT_S)
    assert program.returncode == errors.InputError.exit_code
    assert "camera" in stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()

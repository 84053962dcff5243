# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend's own environment: a real one, made from a package index on this computer."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import bpy
import pytest
from puppet_master.addon import backend_link, backend_state, install, installer, preferences
from puppet_master.addon.install import Condition
from puppet_master.addon.installer import devices, pins, processes, pythons
from puppet_master.addon.installer.events import SHARES, Refusal
from puppet_master.addon.installer.pip import PipProgress
from puppet_master.backend.errors import BackendError, Cancelled, OutputError, RequirementError

BUSY_S = 120.0

# The tests' folder is no package under pytest's importlib mode.
_spec = importlib.util.spec_from_file_location("wheel_index", Path(__file__).with_name("wheel_index.py"))
wheel_index = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(wheel_index)


@pytest.fixture(scope="module")
def versions():
    locked = installer.read_lock(install.LOCK)
    wanted = {pins.canonical(name): locked[pins.canonical(name)] for name in pins.REQUIREMENTS}
    return {**wanted, "torch": f"{wanted['torch']}+cpu"}


@pytest.fixture
def index(versions, monkeypatch):
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_TIMEOUT", "60")
    served = wheel_index.WheelIndex(versions)
    yield served
    served.close()


@pytest.fixture
def root(scene, tmp_path, monkeypatch):
    """The environment's folder, empty; the add-on looks there."""
    folder = tmp_path / "bäckend"
    monkeypatch.setattr(preferences, "backend_root", lambda: folder)
    own = bpy.context.preferences.addons["puppet_master"].preferences
    own.build, own.backend_python = "cpu", ""
    yield folder
    install.cancel()


@pytest.fixture(scope="module")
def made(versions, backend_python, tmp_path_factory):
    """An environment that is installed whole; tests copy it."""
    folder = tmp_path_factory.mktemp("made") / "backend"
    served = wheel_index.WheelIndex(versions)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("PIP_")]:
            patch.delenv(name)
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        arguments = ["--torch", "cpu", "--index", served.url, "--python", backend_python]
        assert _other("install", folder, "--lock", install.LOCK, *arguments)["event"] == "end"
    served.close()
    return folder


@pytest.fixture
def installed(made, root):
    shutil.copytree(made, root, symlinks=True)
    return root


def run(task, until):
    until(task.poll, BUSY_S)
    return task


def test_without_leave_to_go_online_it_says_where_to_give_it(root):
    assert not bpy.app.online_access
    with pytest.raises(RuntimeError, match="System > Network > Allow Online Access"):
        bpy.ops.puppet_master.install_backend(wait=True)
    assert not root.exists()
    assert not backend_state.refresh().online


def test_installing_makes_an_environment_of_the_locked_versions(root, index, versions, until, backend_python):
    assert install.look(root).condition is Condition.ABSENT
    bpy.context.preferences.addons["puppet_master"].preferences.index_url = index.url
    task = install.install(root, "cpu", index.url, backend_python)
    shares = []
    until(lambda: shares.append(task.share) or task.poll(), BUSY_S)
    assert task.error is None, task.text()
    assert shares == sorted(shares)
    assert shares[-1] >= 0.95
    found = install.look(root)
    assert found.condition is Condition.COMPLETE
    assert found.about["torch"] == versions["torch"]
    assert found.about["build"] == "cpu"
    assert sorted(path.name for path in root.iterdir()) == [
        "constraints.txt", "install.log", "installed.json", "lock", "venv",
    ]  # fmt: skip
    assert {name.partition("-")[0] for name in index.asked} == {name.replace("-", "_") for name in versions}
    # The add-on's Python is now that one, unless another is chosen.
    assert preferences.backend_python() == str(installer.venv_python(root))
    settings = preferences.backend_settings()
    assert (settings.python, settings.root) == (str(installer.venv_python(root)), root)
    assert bpy.ops.puppet_master.verify_backend(wait=True) == {"FINISHED"}


def test_one_that_is_cancelled_is_marked_and_goes_on_where_it_was(root, index, until, monkeypatch, backend_python):
    monkeypatch.setattr(preferences, "RUNS_AS_MODULE", False)
    index.hold = "transformers"
    task = install.install(root, "cpu", index.url, backend_python)
    assert backend_state.refresh().state is backend_state.State.INSTALLING
    until(lambda: task.poll() or any(name.startswith("transformers") for name in index.asked), BUSY_S)
    assert (root / installer.INCOMPLETE).is_file()
    bpy.ops.puppet_master.cancel_install()
    assert task.cancelling
    run(task, until)
    assert isinstance(task.error, Cancelled)
    assert install.look(root).condition is Condition.INCOMPLETE
    shown = backend_state.refresh()
    assert (shown.state, shown.mend_text) == (backend_state.State.NOT_INSTALLED, "Go On Installing")
    torch = next((root / "venv").rglob("torch-*.dist-info")).stat().st_mtime_ns
    index.hold, index.asked[:] = None, []
    index.free.set()
    run(install.install(root, "cpu", index.url, backend_python), until)
    assert install.look(root).condition is Condition.COMPLETE
    assert not any(name.startswith("torch-") for name in index.asked)
    assert next((root / "venv").rglob("torch-*.dist-info")).stat().st_mtime_ns == torch


def test_the_program_runs_from_any_folder_and_finds_nothing_beside_it(tmp_path):
    folder = tmp_path / "Erweiterungen für Blender" / "installer"
    shutil.copytree(installer.PROGRAM.parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for place in (folder, folder.parent):  # names of the standard library, as an add-on's file may have
        (place / "json.py").write_text("raise SystemExit('the wrong json')")
    for program in (folder, folder / "__main__.py"):
        done = subprocess.run(
            [sys.executable, program, "probe"], cwd=folder.parent, capture_output=True, text=True, timeout=60
        )
        assert json.loads(done.stdout)["build"] in devices.BUILDS, done.stderr
        done = subprocess.run([sys.executable, "-I", program, "--help"], capture_output=True, text=True, timeout=60)
        assert "{probe,install,verify,uninstall}" in done.stdout, done.stderr


def test_two_blenders_do_not_install_into_one_folder(root, index, until, backend_python):
    index.hold = "torch"
    first = install.install(root, "cpu", index.url, backend_python)
    until(lambda: first.poll() or index.asked, BUSY_S)
    done = _other("uninstall", root)
    assert done["kind"] == "backend"
    assert f"another Blender is installing the backend in {root}" in done["message"]
    first.cancel()
    run(first, until)


def _other(*arguments):
    """The last event of an installer that another Blender would start."""
    with subprocess.Popen(
        [sys.executable, installer.PROGRAM, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        lines = child.stdout.read().splitlines()
        child.wait(60)
    return json.loads(lines[-1])


def test_what_another_blenders_backend_runs_on_is_not_changed(installed, until):
    note = installer.note_in_use(installed, os.getppid())
    task = run(install.uninstall(installed), until)
    assert f"a backend of another Blender (process {os.getppid()}) runs from" in str(task.error)
    assert install.look(installed).condition is Condition.COMPLETE
    note.rename(note.with_name("999999999"))  # one that is gone does not count
    run(install.uninstall(installed), until)
    assert install.look(installed).condition is Condition.ABSENT


def test_uninstalling_leaves_nothing_but_an_empty_folder(installed, until):
    assert bpy.ops.puppet_master.uninstall_backend(wait=True) == {"FINISHED"}
    assert {path.name for path in installed.iterdir()} <= {"lock", "in-use"}


def test_a_damaged_environment_is_found_out_and_named(installed, until):
    shutil.rmtree(next((installed / "venv").rglob("site-packages/diffusers")))
    with pytest.raises(RuntimeError, match="a library cannot be loaded: diffusers: ModuleNotFoundError"):
        bpy.ops.puppet_master.verify_backend(wait=True)
    info = next((installed / "venv").rglob("typer-*.dist-info"))
    info.rename(info.with_name("typer-0.0.1.dist-info"))
    metadata = info.with_name("typer-0.0.1.dist-info") / "METADATA"
    metadata.write_text("Metadata-Version: 2.1\nName: typer\nVersion: 0.0.1\n")
    (next((installed / "venv").rglob("site-packages")) / "diffusers").mkdir()
    task = run(install.verify(installed), until)
    assert "typer is 0.0.1, not " in str(task.error)


def test_one_made_for_another_lock_is_told_to_be_upgraded(installed):
    about = json.loads((installed / installer.INSTALLED).read_text())
    (installed / installer.INSTALLED).write_text(json.dumps({**about, "lock": "older"}))
    found = install.look(installed)
    assert found.condition is Condition.OUTDATED
    assert found.python  # it serves until then
    assert "upgrade it" in backend_state.refresh().why


def test_what_the_index_lacks_and_an_index_that_is_not_there_are_told_apart(root, index, until, backend_python):
    index.files = {name: data for name, data in index.files.items() if not name.startswith("uvicorn")}
    task = run(install.install(root, "cpu", index.url, backend_python), until)
    assert isinstance(task.error, BackendError)
    assert "the package index has no uvicorn" in str(task.error)
    index.close()
    task = run(install.install(root, "cpu", index.url, backend_python), until)
    assert "the package index cannot be reached" in str(task.error)
    assert install.look(root).condition is Condition.INCOMPLETE


def test_a_folder_that_cannot_be_made_is_named(root, index, until, backend_python):
    root.write_text("")
    task = run(install.install(root, "cpu", index.url, backend_python), until)
    assert isinstance(task.error, OutputError)
    assert str(root) in str(task.error)


def test_a_machine_without_a_fitting_python_is_told_which_it_needs(monkeypatch, tmp_path):
    monkeypatch.setattr(pythons.shutil, "which", lambda name: None)
    monkeypatch.setattr(pythons, "FITTING", ((3, 7),))
    monkeypatch.setattr(pythons.Path, "home", lambda: tmp_path)
    with pytest.raises(Refusal, match=r"needs Python 3\.7 .*found .*python.* \(3\.1\d\).*uv python install"):
        pythons.find_python("", tmp_path)
    with pytest.raises(Refusal, match="/gone/python does not run"):
        pythons.find_python("/gone/python", tmp_path)


def test_the_probe_names_a_build_and_survives_a_driver_that_crashes(monkeypatch):
    assert devices.probe_apart()["build"] in devices.BUILDS
    monkeypatch.setattr(devices, "ask", lambda *_: "")
    assert devices.probe_apart()["build"] == "cpu"


def test_the_build_follows_the_driver():
    linux = sys.platform.startswith("linux")
    assert devices.torch_tags("cpu", 0) == (("cpu",) if linux else ("",))
    assert devices.torch_tags("mps", 0) == ("",)
    assert devices.torch_tags("cuda", 13010) == ("cu130", "cu126")
    assert devices.torch_tags("cuda", 12080) == ("cu126",)
    with pytest.raises(Refusal, match=r"knows CUDA 11\.4 at most; update it to one for CUDA 12\.6"):
        devices.torch_tags("cuda", 11040)


def test_what_pip_prints_becomes_a_share(tmp_path, capsys):
    progress = PipProgress(tmp_path, "libraries", 4)
    for line in ("Collecting a\n", "  Downloading a-1.whl (20.0 MB)\n", "  Using cached b-2-py3.whl (12 kB)\n"):
        progress.take_in(line)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["detail"] for event in told] == ["a, 0 of 20 MB", "b"]
    assert told[0]["share"] == SHARES["torch"]
    assert told[0]["share"] < told[1]["share"] < SHARES["libraries"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ERROR: Could not install packages: [Errno 28] No space left on device", "the disk is full"),
        ("Temporary failure in name resolution", "the package index cannot be reached"),
        ("ERROR: No matching distribution found for torch==9+cpu", "the package index has no torch==9+cpu"),
    ],
)
def test_known_failures_become_sentences(line, words):
    assert words in processes.explain(["something\n", line + "\n"], 1)


def test_what_is_installed_is_what_the_project_depends_on(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]
    names = {pins.canonical(re.split(r"[<>=!~\s\[]", entry)[0]) for entry in project["dependencies"]}
    assert names == {pins.canonical(name) for name in pins.REQUIREMENTS}


def test_disabling_the_addon_ends_the_installer(root, index, until, backend_python):
    index.hold = "torch"
    task = install.install(root, "cpu", index.url, backend_python)
    until(lambda: task.poll() or index.asked, BUSY_S)
    pid = task._child.pid
    bpy.ops.preferences.addon_disable(module="puppet_master")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert backend_link.pid() is None
    assert task.over


def test_a_command_without_leave_raises_what_scripts_can_catch(root):
    with pytest.raises(RequirementError):
        install.check_online("downloading")
    install.check_online("downloading", "http://127.0.0.1:8000/simple")

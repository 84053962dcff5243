# SPDX-License-Identifier: GPL-3.0-or-later
"""What the set-up says on machines that lack something, before it downloads anything."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from types import SimpleNamespace

import pytest

TOOLS = ["awk", "bash", "cat", "cksum", "df", "dirname", "grep", "rm", "uname"]
FILES = [
    ".ci/bootstrap.sh",
    ".ci/check_system.py",
    "__init__.py",
    "backend/__init__.py",
    "backend/errors.py",
    "backend/launch.py",
    "backend/requirements.py",
    "pyproject.toml",
    "requirements.lock",
]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the set-up is tried on Linux alone")


@pytest.fixture
def checkout(repository, tmp_path):
    """The files that the set-up reads, in a folder of their own."""
    for name in FILES:
        target = tmp_path / "checkout" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(repository / name, target)
    return tmp_path / "checkout"


@pytest.fixture
def machine(tmp_path):
    """A machine with the bare tools: `machine.path` is its PATH, `machine.add` puts a program there."""
    programs = tmp_path / "bin"
    programs.mkdir()

    def add(name, content=None):
        program = programs / name
        if content is None:
            program.symlink_to(shutil.which(name))
        else:
            program.write_text(f"#!{shutil.which('bash')}\n{content}\n")
            program.chmod(0o755)

    for tool in TOOLS:
        add(tool)
    return SimpleNamespace(path=programs, add=add)


def set_up(checkout, machine, **variables):
    environment = {"PATH": str(machine.path), "HOME": str(checkout), **variables}
    return subprocess.run(
        [shutil.which("bash"), str(checkout / ".ci" / "bootstrap.sh")],
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def check_system(repository):
    spec = importlib.util.spec_from_file_location("check_system", repository / ".ci" / "check_system.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_missing_python_is_named_with_the_command_that_installs_it(checkout, machine):
    (machine.path / "os-release").write_text("ID=debian\nVERSION_CODENAME=bookworm\n")
    done = set_up(checkout, machine, OS_RELEASE=str(machine.path / "os-release"))
    assert done.returncode == 8
    assert "Python 3.11 is missing" in done.stderr
    assert "sudo apt-get update && sudo apt-get install python3.11 python3.11-venv" in done.stderr
    assert not (checkout / ".venv").exists()


def test_where_the_system_has_no_python_311_to_offer_other_ways_are_named(checkout, machine):
    (machine.path / "os-release").write_text("ID=debian\nVERSION_CODENAME=trixie\n")
    done = set_up(checkout, machine, OS_RELEASE=str(machine.path / "os-release"))
    assert done.returncode == 8
    assert "uv python install 3.11" in done.stderr


def test_another_python_is_no_substitute(checkout, machine):
    machine.add("python3", 'case "$*" in *version_info*) exit 1;; esac')
    assert set_up(checkout, machine).returncode == 8
    done = set_up(checkout, machine, PYTHON=str(machine.path / "python3"))
    assert done.returncode == 8
    assert "is not a Python 3.11" in done.stderr


def test_a_processor_without_a_blender_module_is_named(checkout, machine):
    (machine.path / "uname").unlink()
    machine.add("uname", 'case "$1" in -s) echo Linux;; -m) echo riscv64;; *) echo Linux riscv64;; esac')
    done = set_up(checkout, machine)
    assert done.returncode == 8
    assert "Linux x86_64" in done.stderr and "riscv64" in done.stderr


def test_a_full_disk_is_named_before_the_download(checkout, machine):
    (machine.path / "df").unlink()
    machine.add("df", "echo header; echo disk 100 90 1048576 90% /")
    done = set_up(checkout, machine, PYTHON=os.path.realpath(sys.executable))
    assert done.returncode == 7
    assert "1 GiB free" in done.stderr
    assert not (checkout / ".venv").exists()


def test_an_installation_that_fails_is_not_taken_for_done(checkout, machine):
    offline = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    done = set_up(checkout, machine, PYTHON=os.path.realpath(sys.executable), **offline)
    assert done.returncode == 1
    assert "the installation failed" in done.stderr
    assert (checkout / ".venv").is_dir() and not (checkout / ".venv" / ".installed").exists()


def test_missing_libraries_are_named_with_the_command_that_installs_them(repository, monkeypatch, capsys):
    module = check_system(repository)
    monkeypatch.setattr(module, "is_loadable", lambda library: library not in ("libXi.so.6", "libGL.so.1"))
    monkeypatch.setattr(module.shutil, "which", lambda name: name == "apt-get")
    monkeypatch.setattr(sys, "argv", ["check_system.py"])
    assert module.main() == 8
    said = capsys.readouterr().err
    assert "libXi.so.6" in said and "libGL.so.1" in said
    assert "sudo apt-get install libgl1 libxi6" in said


@pytest.mark.parametrize(
    ("manager", "command"),
    [
        ("dnf", "sudo dnf install 'libXi.so.6()(64bit)'"),
        ("zypper", "sudo zypper install 'libXi.so.6()(64bit)'"),
        ("pacman", "sudo pacman -S "),
        ("none", "libxi6"),
    ],
)
def test_other_systems_get_their_own_command(repository, monkeypatch, manager, command):
    module = check_system(repository)
    monkeypatch.setattr(module.shutil, "which", lambda name: name == manager)
    assert command in module.install_command({"libXi.so.6": "libxi6"})


def test_a_library_that_is_not_there_is_not_loadable(repository):
    module = check_system(repository)
    assert module.is_loadable("libc.so.6")
    assert not module.is_loadable("libthere-is-no-such-library.so.6")


def test_the_lock_pins_every_dependency_to_one_version(repository):
    lines = [line for line in (repository / "requirements.lock").read_text().splitlines() if line[:1] != "#"]
    assert all(line.count("==") == 1 and "+" not in line for line in lines)
    locked = {line.partition("==")[0].lower().replace("_", "-") for line in lines}
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    extras = [name for extra in project["optional-dependencies"].values() for name in extra]
    asked = {re.split(r"[<>=!~ ]", name)[0].lower().replace("_", "-") for name in [*project["dependencies"], *extras]}
    assert asked <= locked

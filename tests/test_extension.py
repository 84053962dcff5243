# SPDX-License-Identifier: GPL-3.0-or-later
"""The repository as a Blender extension, judged by Blender's own tool."""

import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import bpy
import puppet_master
import pytest


@pytest.fixture(scope="module")
def blender_extension():
    """Runs `blender --command extension ...` by the program behind it, which comes with the module."""
    program = Path(bpy.utils.system_resource("SCRIPTS"), "addons_core/bl_pkg/cli/blender_ext.py")

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, str(program), *map(str, arguments)], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def archive(blender_extension, repository, tmp_path_factory):
    path = tmp_path_factory.mktemp("extension") / "puppet_master.zip"
    blender_extension("build", "--source-dir", repository, "--output-filepath", path)
    return path


def names_in(archive):
    with zipfile.ZipFile(archive) as file:
        return set(file.namelist())


def test_blender_accepts_the_manifest_and_the_built_extension(blender_extension, repository, archive):
    blender_extension("validate", repository)
    blender_extension("validate", archive)


def test_the_extension_holds_what_runs_and_nothing_of_what_only_developing_needs(archive):
    names = names_in(archive)
    tops = {name.partition("/")[0] for name in names}
    rooms = {"addon", "backend", "data_gen"}
    files = {"LICENSE", "__init__.py", "api.py", "blender_manifest.toml", "requirements.lock"}
    assert tops == rooms | files | (tops & {"README.md"})
    assert "backend/models/tiny/puppet_master.json" in names
    assert {"addon/drag_operators.py", "backend/protocol.py", "backend/launch.py", "data_gen/__init__.py"} <= names
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".blend"))]


def test_every_tracked_file_of_the_shipped_rooms_is_in_the_extension(archive, repository):
    listed = subprocess.run(
        ["git", "ls-files", "addon", "backend", "data_gen"], cwd=repository, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    assert set(listed.stdout.split()) <= names_in(archive)


def test_a_repository_of_ones_own_lists_the_extension(blender_extension, archive, tmp_path):
    (tmp_path / archive.name).write_bytes(archive.read_bytes())
    blender_extension("server-generate", "--repo-dir", tmp_path)
    (entry,) = json.loads((tmp_path / "index.json").read_text("utf-8"))["data"]
    assert (entry["id"], entry["archive_size"]) == ("puppet_master", archive.stat().st_size)


def test_the_manifest_agrees_with_the_package(repository):
    manifest = tomllib.loads((repository / "blender_manifest.toml").read_text("utf-8"))
    assert manifest["id"] == "puppet_master"
    assert manifest["version"] == puppet_master.__version__
    assert manifest["license"] == ["SPDX:GPL-3.0-or-later"]
    assert set(manifest["permissions"]) == {"files", "network"}


def test_the_installed_extension_works_inside_blender(archive, tmp_path):
    """As `bl_ext.<repository>.puppet_master`, in a Blender of its own with an empty user folder."""
    script = """
import sys, bpy
bpy.ops.extensions.package_install_files(filepath=sys.argv[1], repo="user_default", enable_on_install=True)
bpy.ops.puppet_master.add_drag(name="lid", start=(0.25, 0.5), end=(0.75, 0.5))
from bl_ext.user_default.puppet_master.addon import handles, preferences
print(handles.drags_of(bpy.context.scene)[0].name, preferences.ROOT_PACKAGE)
print(preferences.output_folder())
bpy.ops.preferences.addon_disable(module="bl_ext.user_default.puppet_master")
print(hasattr(bpy.types.Scene, "puppet_master"), "puppet_master" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(archive)],
        capture_output=True,
        text=True,
        timeout=120,
        env={"BLENDER_USER_RESOURCES": str(tmp_path), "HOME": str(tmp_path), "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()[-3:]
    assert lines[0] == "lid bl_ext.user_default.puppet_master"
    folder = Path(lines[1])
    assert tmp_path in folder.parents
    assert ".user" in folder.parts  # not among the installed files, which an update replaces
    assert lines[2] == "False False"


def test_the_installed_extension_makes_training_clips(archive, tmp_path):
    """With its own package name and folder, from which the Blender in the background starts too."""
    script = """
import sys, bpy
bpy.ops.extensions.package_install_files(filepath=sys.argv[1], repo="user_default", enable_on_install=True)
settings = bpy.context.scene.puppet_master_clips
settings.source, settings.kind, settings.count = "PROCEDURAL", "laptop", 1
settings.size, settings.frames, settings.views = 48, 4, 1
bpy.ops.puppet_master.render_clips()
from bl_ext.user_default.puppet_master.data_gen.blender import runs
print(runs.current().text())
print(runs.current().folder)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(archive)],
        capture_output=True,
        text=True,
        timeout=120,
        env={"BLENDER_USER_RESOURCES": str(tmp_path), "HOME": str(tmp_path), "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    text, folder = done.stdout.strip().splitlines()[-2:]
    assert text == "Done: 1 clip"
    assert tmp_path in Path(folder).parents
    assert (Path(folder) / "clips-000000.tar").is_file()

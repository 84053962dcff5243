# SPDX-License-Identifier: GPL-3.0-or-later
"""The still and drags of a .blend scene, rendered by Blender in a process of its own.

The backend never imports bpy or the add-on: it runs the add-on's renderer by name and reads its files.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from .errors import InputError, PuppetMasterError, from_wire
from .protocol import Drag, load_drags
from .requirements import explain_missing_bpy

RENDERER = "puppet_master.addon.render_still"
BLEND_MAGIC = (b"BLENDER", b"\x28\xb5\x2f\xfd", b"\x1f\x8b")  # plain, zstd, gzip


def check_scene(scene: Path) -> None:
    """Refuse at once what Blender could not open. Raises `InputError`."""
    try:
        with scene.open("rb") as file:
            head = file.read(7)
    except OSError as error:
        raise InputError(f"cannot read the scene {scene}: {error.strerror}") from error
    if not head.startswith(BLEND_MAGIC):
        raise InputError(f"{scene} is not a .blend file; save it from Blender again")


class SceneStill:
    """A scene's still on its way; a context manager that ends Blender if it is left early.

    Args:
        scene: the .blend file.
        folder: an existing folder that receives `still.png`, `drags.json` and Blender's output.
        size: width and height in pixels; the scene's own if not given.
    """

    def __init__(self, scene: Path, folder: Path, size: tuple[int, int] | None = None) -> None:
        self._scene = scene
        self._folder = folder
        command = [sys.executable, "-m", RENDERER, str(scene), "--out", str(folder)]
        if size:
            command += ["--size", f"{size[0]}x{size[1]}"]
        with (folder / "blender.log").open("wb") as output, (folder / "blender.err").open("wb") as errors:
            self._blender = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors
            )

    def __enter__(self) -> SceneStill:
        return self

    def __exit__(self, *_: object) -> None:
        if self._blender.poll() is None:
            self._blender.kill()
            self._blender.wait()

    def ready(self) -> bool:
        """Whether the still is there by now. Raises what the renderer reported if it failed."""
        code = self._blender.poll()
        if code is None:
            return False
        if code != 0:
            raise _failure(code, (self._folder / "blender.err").read_text("utf-8", "replace"), self._scene)
        return True

    def read(self) -> tuple[bytes, list[Drag]]:
        """The still as PNG and the scene's drags."""
        try:
            return (self._folder / "still.png").read_bytes(), load_drags(self._folder / "drags.json")
        except OSError as error:
            raise InputError(f"Blender wrote no still of {self._scene}: {error.strerror}") from error


def _failure(code: int, output: str, scene: Path) -> PuppetMasterError:
    """The renderer's own error (a JSON line), or what can be told from its last words."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for line in reversed(lines):
        try:
            error = json.loads(line)["error"]
            return from_wire(error["kind"], error["message"])
        except (ValueError, KeyError, TypeError):
            continue
    last = lines[-1] if lines else ""
    if "No module named 'bpy'" in last:
        return explain_missing_bpy(ModuleNotFoundError(last, name="bpy"))
    if "cannot open shared object" in last:
        return explain_missing_bpy(ImportError(last.partition(": ")[2]))
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return PuppetMasterError(f"Blender ended with {how} while rendering {scene}: {last or 'it said nothing'}")

# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender -b SHOT.blend --command puppet_master preview --out DIR ...`: a preview of the open file, for farms.

The options, what is written and the exit codes are those of `puppet-master preview`: Blender renders the still and
reads the drags, then that very command, run by the backend's Python, does the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import bpy

from ..backend.errors import BackendError, Cancelled, InputError, PuppetMasterError
from ..backend.option_values import (
    ACCELERATION_CHOICES,
    MEMORY_CHOICES,
    parse_choice,
    parse_colour,
    parse_guidance,
    parse_interval,
    parse_size,
)
from ..backend.presets import PRESETS
from ..backend.protocol import FITS, Drag, PreviewRequest, drags_to_json, load_drags
from ..backend.registry import find_model, read_info
from . import handles, preferences
from .stills import make_windowless

# Options that go on as they are.
PASSED = (
    "model", "frames", "steps", "guidance", "preset", "guidance_interval", "feature_reuse", "seed", "fit", "background",
    "device", "memory", "acceleration",
)  # fmt: skip


def main(arguments: Sequence[str], program: str = "preview") -> int:
    """Make the preview; returns the exit code."""
    try:
        given = _parser(program).parse_args(list(arguments))
    except SystemExit as end:  # argparse: wrong usage, or --help
        return end.code if isinstance(end.code, int) else 2
    try:
        return _make(given)
    except KeyboardInterrupt:
        return _fail(Cancelled("interrupted"), given.json)
    except PuppetMasterError as error:
        return _fail(error, given.json)


def _make(given: argparse.Namespace) -> int:
    _check_opened(sys.argv)
    scene = bpy.context.scene
    size = parse_size(given.size) if given.size else None
    drags = tuple(load_drags(given.drags)) if given.drags else handles.drags_of(scene)
    _check(given, drags)
    command = preferences.backend_command("preview")
    with tempfile.TemporaryDirectory(prefix="puppet-master-") as folder:
        still = make_windowless(scene, Path(folder) / "still.png", size)
        drag_file = Path(folder) / "drags.json"
        drag_file.write_text(json.dumps(drags_to_json(drags)), encoding="utf-8")
        return _run([*command, str(still.path), "--drags", str(drag_file), *_words(given)])


def _check_opened(words: Sequence[str]) -> None:
    """Blender goes on with its start-up scene when it cannot open a file: that is not what was asked for."""
    before = words[: words.index("--command")] if "--command" in words else ()
    asked = [word for word in before if word.endswith(".blend")]
    if asked and not bpy.data.filepath:
        raise InputError(f"Blender could not open {asked[-1]}; see what it says above, or open it with a newer version")


def _check(given: argparse.Namespace, drags: tuple[Drag, ...]) -> None:
    """What can be told to be wrong must not cost a render."""
    read_info(find_model(given.model)).check_drags(len(drags))
    parse_choice(given.memory, MEMORY_CHOICES, "memory")
    parse_choice(given.acceleration, ACCELERATION_CHOICES, "acceleration")
    PreviewRequest(
        still_png=b"rendered later",
        drags=drags,
        model=given.model,
        frames=given.frames,
        steps=given.steps,
        guidance=parse_guidance(given.guidance) if given.guidance else None,
        preset=given.preset,
        guidance_interval=parse_interval(given.guidance_interval) if given.guidance_interval else None,
        feature_reuse=given.feature_reuse,
        seed=given.seed,
        fit=given.fit,
        background=parse_colour(given.background),
    )


def _words(given: argparse.Namespace) -> list[str]:
    words = ["--out", str(given.out.absolute())]
    for name in PASSED:
        if (value := getattr(given, name)) is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return [*words, *(["--json"] if given.json else [])]


def _run(command: list[str]) -> int:
    """Run it with this process's own output; Ctrl-C reaches it too, and it ends in order."""
    sys.stdout.flush()
    try:
        child = subprocess.Popen(command, env=_environment())
    except OSError as error:
        raise BackendError(f"cannot start the Python at {command[0]}: {error.strerror or error}") from error
    while True:
        with suppress(KeyboardInterrupt):
            code = child.wait()
            return code if code >= 0 else Cancelled.exit_code


def _environment() -> dict[str, str]:
    # Settings for Blender's Python would break another one.
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}


def _fail(error: PuppetMasterError, as_json: bool) -> int:
    message = " ".join(str(error).split())
    if as_json:
        print(json.dumps({"error": {"kind": error.kind, "message": message}}), flush=True)
    print(f"error: {message}", file=sys.stderr)
    return error.exit_code


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(program, description="Make a preview of the open scene: the dragged parts move.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder that receives the preview")
    parser.add_argument("--drags", type=Path, metavar="FILE", help="drag file; the scene's own drags if not given")
    parser.add_argument("--model", default="tiny", help="name or folder of the model")
    parser.add_argument("--frames", type=int, help="frames of the clip, the still included")
    parser.add_argument("--steps", type=int, help="sampling steps")
    parser.add_argument("--guidance", metavar="A|A:B", help="guidance, or at the first and last frame")
    parser.add_argument("--preset", metavar="|".join(PRESETS), help="steps and guidance interval where not given")
    parser.add_argument("--guidance-interval", metavar="A:B", help="part of the sampling that has guidance")
    parser.add_argument("--feature-reuse", type=int, metavar="N", help="lower levels at every N-th step; 1 is exact")
    parser.add_argument("--seed", type=int, default=0, help="the same seed repeats the same preview")
    parser.add_argument("--fit", default="letterbox", metavar="|".join(FITS), help="how other aspects meet the model's")
    parser.add_argument("--background", default="#ffffff", metavar="#RRGGBB", help="behind transparent stills")
    parser.add_argument("--size", metavar="WxH", help="size of the still; the scene's own if not given")
    parser.add_argument("--device", default="auto", metavar="auto|cpu|cuda", help="where the model runs")
    parser.add_argument("--memory", default="auto", metavar="|".join(MEMORY_CHOICES), help="how memory is used")
    parser.add_argument(
        "--acceleration", default="auto", metavar="|".join(ACCELERATION_CHOICES), help="how steps are run"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")
    return parser

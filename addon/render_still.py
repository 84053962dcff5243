# SPDX-License-Identifier: GPL-3.0-or-later
"""Program: a .blend's still and drags as files, `DIR/still.png` (RGBA) and `DIR/drags.json`.

    python -m puppet_master.addon.render_still SCENE.blend --out DIR [--size WxH]
    blender -b SCENE.blend -P addon/render_still.py -- --out DIR [--size WxH]

It ends with one JSON line: `{"still", "drags", "width", "height", "frame", "engine"}` on stdout, or
`{"error": {"kind", "message"}}` on stderr with the exit code of the error's class (2: wrong usage). A
scene without drags gives an empty drag file. Python scripts stored in the .blend are not run.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path

PACKAGE = "puppet_master"


def _join_package() -> None:
    """Run by its path (`blender -P`), this file lies outside its package: make the package importable."""
    global __package__
    if __package__:
        return
    root = Path(__file__).absolute().parents[1]
    if PACKAGE not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            PACKAGE, root / "__init__.py", submodule_search_locations=[str(root)]
        )
        assert spec is not None and spec.loader is not None
        sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[PACKAGE])
    __package__ = f"{PACKAGE}.addon"


_join_package()

from ..backend.errors import InputError, PuppetMasterError  # noqa: E402
from ..backend.protocol import drags_to_json  # noqa: E402
from ..backend.requirements import explain_missing_bpy  # noqa: E402
from .files import whole  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code.

    Args:
        arguments: the command line; that of this process when absent.
    """
    options = _parser().parse_args(_own_arguments() if arguments is None else arguments)
    try:
        summary = render(options.scene, options.out, options.size)
    except PuppetMasterError as error:
        line = json.dumps({"error": {"kind": error.kind, "message": str(error)}})
        print(line, file=sys.stderr, flush=True)
        return error.exit_code
    print(json.dumps(summary), flush=True)
    return 0


def render(scene_file: Path | None, out: Path, size: tuple[int, int] | None) -> dict[str, str | int]:
    """Write the still and the drags of a .blend into `out`; returns what the program prints.

    Args:
        scene_file: the .blend; the open file when absent.
        out: folder for `still.png` and `drags.json`, created.
        size: width and height of the still in pixels; as set in the scene when absent.

    Raises:
        RequirementError: Blender's module or a system library it needs is missing.
        InputError: no readable .blend, no camera, or a stored drag that is not valid.
        OutputError: the folder cannot be written.
    """
    try:
        import bpy
    except ImportError as error:
        raise explain_missing_bpy(error) from error
    from . import anchors, handles, scene_settings
    from .stills import make_windowless

    ours = not hasattr(bpy.types.Scene, "puppet_master")  # else the extension is enabled in this Blender
    if ours:
        scene_settings.register()
    try:
        if scene_file is not None:
            open_scene(scene_file)
        scene = bpy.context.scene
        anchors.refresh(scene)
        drags = handles.drags_of(scene)  # before the still: a wrong drag must not cost a render
        still = make_windowless(scene, out / "still.png", size)
    finally:
        if ours:
            scene_settings.unregister()
    drag_file = out / "drags.json"
    with whole(drag_file) as part:
        part.write_text(json.dumps(drags_to_json(drags), indent=2) + "\n", encoding="utf-8")
    return {
        "still": str(still.path),
        "drags": str(drag_file),
        "width": still.width,
        "height": still.height,
        "frame": still.frame,
        "engine": still.engine,
    }


def open_scene(scene_file: Path) -> None:
    """Open a .blend, without running scripts stored in it. Raises `InputError` that names it."""
    import bpy

    if not scene_file.is_file():
        raise InputError(f"scene {scene_file} does not exist or is not a file")
    try:
        # Absolute: Blender 4.2 takes "here" from the environment, which programs need not keep right.
        bpy.ops.wm.open_mainfile(filepath=str(scene_file.absolute()), load_ui=False, use_scripts=False)
    except RuntimeError as error:
        reason = " ".join(str(error).removeprefix("Error: ").split())
        raise InputError(f"cannot open scene {scene_file}: {reason}") from error


def _own_arguments() -> list[str]:
    """What stands after "--" under Blender, the whole command line otherwise."""
    if "--" in sys.argv:
        return sys.argv[sys.argv.index("--") + 1 :]
    return sys.argv[1:]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="puppet_master.addon.render_still", description="Render a .blend's still and write its drags."
    )
    parser.add_argument(
        "scene", type=Path, nargs="?", metavar="SCENE.blend", help="scene to render; the open one if absent"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the two files")
    parser.add_argument(
        "--size", type=_size, metavar="WxH", help="pixels, e.g. 256x256; as set in the scene if absent"
    )
    return parser


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    try:
        return int(width), int(height)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size like 256x256") from None


if __name__ == "__main__":
    code = main()
    if "bpy" in sys.modules:
        from .compat import leave

        leave(code)
    sys.exit(code)

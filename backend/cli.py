# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line, `puppet-master`: previews, the server, models, and the commands of other rooms.

Nothing heavy is imported until a command needs it, so that help and refusals come at once.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .. import __version__
from .batch.command import batch
from .errors import Cancelled, PuppetMasterError, RequirementError
from .model_commands import app as model_app
from .option_values import parse_colour, parse_guidance, parse_interval, parse_size
from .presets import PRESETS
from .process import installable
from .protocol import FITS, PreviewRequest
from .running_options import Acceleration, Memory

COMMANDS_GROUP = "puppet_master.commands"
# Which extra brings what a room, or a module found missing, needs.
EXTRAS = {
    "puppet_master.data_gen": "blender",
    "puppet_master.training": "training",
    "bpy": "blender",
    "cv2": "training",
    "skimage": "training",
}
EXIT_CODES = {
    0: "done",
    1: "a fault of the program, with its traceback",
    2: "wrong usage",
    3: "done, but not everything (batch commands)",
    4: "a still, scene, drag file or clip that cannot be used",
    5: "a model that cannot be used",
    6: "the backend cannot start, cannot be reached or stopped",
    7: "the result cannot be written",
    8: "the machine lacks something the program needs",
    9: "a hub cannot be reached, or does not deliver",
    10: "a hub wants a login, or its terms accepted there",
    11: "the licence of weights was not accepted",
    12: "nothing of a batch could be made",
    130: "cancelled",
}
# Blank lines keep the lines apart: typer joins what stands in one paragraph.
EPILOG = "Exit codes:\n\n" + "\n\n".join(f"{code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())


class RoomCommands(TyperGroup):
    """The commands here and those that other rooms announce as entry points, loaded when asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands."""
        return [*super().list_commands(ctx), *sorted(_rooms())]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, None if there is none."""
        if cmd_name in (rooms := _rooms()):
            return _room_command(rooms[cmd_name])
        return super().get_command(ctx, cmd_name)


def _rooms() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=COMMANDS_GROUP)}


def _room_command(entry: EntryPoint) -> Any:
    """A click command of what the entry point names: a typer app or a function."""
    try:
        loaded = entry.load()
    except (ImportError, AttributeError) as error:
        loaded = _unavailable(error, entry)
    if not isinstance(loaded, typer.Typer):
        alone = typer.Typer(add_completion=False)
        settings = getattr(loaded, "context_settings", None)
        alone.command(entry.name, context_settings=settings)(loaded)
        loaded = alone
    command = typer.main.get_command(loaded)
    command.name = entry.name
    return command


def _unavailable(error: ImportError | AttributeError, entry: EntryPoint) -> Callable[[], None]:
    """A command that says what its room lacks."""

    def command() -> None:
        raise _missing(error, entry.module) or error

    command.context_settings = {"allow_extra_args": True, "ignore_unknown_options": True}  # type: ignore[attr-defined]
    command.__doc__ = "Not available: its libraries are not installed (run it to see which)."
    return command


def _missing(error: Exception, room: str = "") -> RequirementError | None:
    """The error that names the extra to install; None if the import failed for another reason."""
    if not isinstance(error, ModuleNotFoundError):
        return None
    name = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(name) or EXTRAS.get(".".join(room.split(".")[:2]))
    if name == "puppet_master" or extra is None:
        return None
    return RequirementError(
        f"the module {name} is not installed; install what this command needs with: "
        f'{sys.executable} -m pip install "{installable()}[{extra}]"'
    )


app = typer.Typer(
    cls=RoomCommands,
    help="Drag handles on a rendered still become a video of the parts moving.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(model_app, name="model")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"puppet-master {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command."""


@app.command()
def preview(
    source: Annotated[Path, typer.Argument(metavar="STILL|SCENE.blend", help="An image or a Blender scene.")],
    out: Annotated[Path, typer.Option("--out", help="Folder that receives the preview.")],
    drags: Annotated[
        Path | None, typer.Option("--drags", help="Drag file; a scene's own drags if not given.")
    ] = None,
    model: Annotated[str, typer.Option(help="Name or folder of the model.")] = "tiny",
    frames: Annotated[int | None, typer.Option(help="Frames of the clip, the still included.")] = None,
    steps: Annotated[int | None, typer.Option(help="Sampling steps.")] = None,
    guidance: Annotated[
        str | None, typer.Option(metavar="A|A:B", help="Guidance, or at the first and last frame.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(metavar="|".join(PRESETS), help="Steps and guidance interval where not given.")
    ] = None,
    guidance_interval: Annotated[
        str | None, typer.Option(metavar="A:B", help="Part of the sampling that has guidance, within 0 and 1.")
    ] = None,
    feature_reuse: Annotated[
        int | None, typer.Option(help="Run the UNet's lower levels at every so manieth step only; 1 is exact.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed repeats the same preview.")] = 0,
    fit: Annotated[
        str, typer.Option(metavar="|".join(FITS), help="How a still of another aspect meets the model's.")
    ] = "letterbox",
    background: Annotated[
        str, typer.Option(metavar="#RRGGBB", help="Behind transparent and beside letterboxed stills.")
    ] = "#ffffff",
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Size of a scene's still; the scene's own if not given.")
    ] = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where the model runs.")] = "auto",
    memory: Memory = "auto",
    acceleration: Acceleration = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else on stdout.")
    ] = False,
) -> None:
    """Make a preview of STILL or SCENE.blend: the dragged parts move."""
    from .preview_command import Order, make_preview

    request = PreviewRequest(
        still_png=b"filled in later",
        model=model,
        frames=frames,
        steps=steps,
        guidance=parse_guidance(guidance) if guidance else None,
        preset=preset,
        guidance_interval=parse_interval(guidance_interval) if guidance_interval else None,
        feature_reuse=feature_reuse,
        seed=seed,
        fit=fit,
        background=parse_colour(background),
    )
    order = Order(source, out, request, drags, parse_size(size) if size else None, device, memory, acceleration)
    made = make_preview(order, quiet=as_json)
    if as_json:
        print(json.dumps(made))
        return
    print(f"model {made['model']} on {made['device']}: {made['timings']['total']:.1f} s")
    for note in made["notes"]:
        print(f"note: {note}")
    for name in ("preview.mp4", "contact_sheet.png", "preview.json"):
        print(out / name)
    print(f"{out / 'frames'} ({made['frames']} PNG files)")


app.command()(batch)


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Loopback port; 0 takes a free one.")] = 0,
    handshake: Annotated[
        Path | None, typer.Option(help="File that receives port and token; a private new one if not given.")
    ] = None,
    parent_pid: Annotated[int | None, typer.Option(help="End when this process ends.")] = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where the model runs.")] = "auto",
    preload: Annotated[str | None, typer.Option(help="Model to load before it is asked for.")] = None,
    idle: Annotated[
        float, typer.Option(min=0.0, help="Seconds without a preview after which weights leave memory; 0: never.")
    ] = 0.0,
    keep_loaded: Annotated[
        bool, typer.Option("--keep-loaded/--unload", help="Whether weights stay in memory after a preview.")
    ] = True,
    memory: Memory = "auto",
    acceleration: Acceleration = "auto",
) -> None:
    """Run the backend: previews over HTTP on this machine's loopback, for one user."""
    from .serve import serve as run

    rest_after = (idle or None) if keep_loaded else 0.0
    run(port, handshake, parent_pid, device, preload, rest_after, memory, acceleration)
    # Leave at once: torch takes a while to unload, and a cancelled step may still be running in it.
    sys.stdout.flush()
    os._exit(0)


@app.command()
def export(
    source: Annotated[Path, typer.Argument(metavar="PREVIEW", help="Folder of a preview, with its frames.")],
    out: Annotated[Path, typer.Option("--out", help="FILE.mp4, FILE.gif, or a folder for a PNG sequence.")],
    fps: Annotated[float, typer.Option(min=0.1, max=240.0, help="Frames a second.")] = 7.0,
    loops: Annotated[int, typer.Option(min=1, max=1000, help="How many times an mp4 plays the clip.")] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else on stdout.")
    ] = False,
) -> None:
    """Save a preview as an mp4, a GIF or a sequence of PNG files."""
    from .export import export_preview

    made = export_preview(source, out, fps, loops)
    print(json.dumps(made) if as_json else made["out"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; known errors become one line and the exit code of their class."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal has no letters for must not end a command
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(arguments, prog_name="puppet-master")
    except PuppetMasterError as error:
        return _report(error, arguments)
    except KeyboardInterrupt:
        return _report(Cancelled("interrupted"), arguments)
    except ModuleNotFoundError as error:
        if (known := _missing(error)) is None:
            raise
        return _report(known, arguments)
    return 0


def _report(error: PuppetMasterError, arguments: Sequence[str]) -> int:
    message = " ".join(str(error).split())
    if {"--json", "--events"} & set(arguments):
        print(json.dumps({"error": {"kind": error.kind, "message": message}}), flush=True)
    print(f"error: {message}", file=sys.stderr)
    return error.exit_code

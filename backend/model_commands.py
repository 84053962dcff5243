# SPDX-License-Identifier: GPL-3.0-or-later
"""`puppet-master model`: list, pull, import, verify, remove."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import InputError, ModelError
from .registry import EMBEDDED, ModelInfo, check_complete, find_model, models_folder

if TYPE_CHECKING:
    from .licences import Shown
    from .pulling import Telling

app = typer.Typer(help="Models: list, pull, import, verify and remove them.", no_args_is_help=True)

AcceptLicence = Annotated[
    bool, typer.Option("--accept-licence", help="Accept the weights' licences without being asked.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on stdout.")]


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the models on this computer, and those that can be pulled."""
    from .licences import is_accepted
    from .published import PUBLISHED
    from .registry import model_folders, read_info, unusable_models

    faults = unusable_models()
    folders = {folder.name: folder for folder in model_folders()}
    infos = {name: read_info(folder) for name, folder in folders.items() if name not in faults}
    offered = [model for name, model in PUBLISHED.items() if name not in folders]
    if as_json:
        print(
            json.dumps(
                {
                    "folder": str(models_folder()),
                    "models": [_described(name, folders[name], info) for name, info in infos.items()],
                    "unusable": [{"name": name, "fault": fault} for name, fault in faults.items()],
                    "pullable": [
                        {
                            "name": model.name,
                            "about": model.about,
                            "bytes": model.bytes,
                            "accepted": is_accepted(model),
                            "licences": [
                                {"title": licence.title, "terms": licence.terms, "address": licence.address}
                                for licence in model.licences
                            ],
                        }
                        for model in offered
                    ],
                }
            )
        )
        return
    for info in infos.values():
        steps = "one pass" if info.kind == "motion" else f"{info.steps} steps"
        print(
            f"{info.name}: {info.width} x {info.height}, {info.frames} frames, up to {info.num_drags} drags, {steps}; "
            f"licence {info.licence}"
        )
    for name, fault in faults.items():
        print(f"{name}: cannot be used: {fault}")
    for model in offered:
        print(f"{model.name}: not on this computer; {model.about}; puppet-master model pull {model.name}")


@app.command("pull")
def pull_model(
    name: Annotated[str, typer.Argument(help="Which model; `model list` names those there are.")],
    accept_licence: AcceptLicence = False,
    mirror: Annotated[
        str | None, typer.Option(help="Address of a mirror of the hub; HF_ENDPOINT's, or the hub, if not given.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Take it from the hub's cache on this computer.")] = False,
    events: Annotated[
        bool, typer.Option("--events", help="Tell the progress as JSON lines, and stop when stdin ends.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Load a published model from the hub; goes on where an earlier pull was broken off."""
    from .hub import Hub
    from .published import find_published
    from .pulling import Pull, pull

    model = find_published(name)
    with _telling(events, quiet=as_json) as tell:
        how = Pull(Hub(mirror, offline), lambda shown: _accept(shown, accept_licence), tell)
        if events:
            _stop_with_stdin(how.patience.stop)
        folder = pull(model, how)
    _print_made(folder, as_json or events)


@app.command("import")
def import_model(
    source: Annotated[Path, typer.Argument(help="A model folder, or published weights: .safetensors, .pt or .bin.")],
    svd: Annotated[
        Path | None, typer.Option("--svd", help="A download of Stable Video Diffusion, for published weights.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the model is called from now on.")] = None,
    accept_licence: AcceptLicence = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="With --out: JSON of the published constructor's arguments.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Convert the UNet alone, to OUT/unet, with --config.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take a model from files: a whole folder, or published weights beside Stable Video Diffusion's."""
    if out is not None or config is not None:
        if out is None or config is None:
            raise InputError("--out and --config belong together: they convert a UNet alone")
        from .model.importing import import_weights

        made = import_weights(source, config, out)
        print(json.dumps({"folder": str(made)}) if as_json else made)
        return
    if not source.exists():
        raise ModelError(f"there is no {source}; give a model folder or published weights")
    if source.is_dir():
        from .model_store import import_folder

        folder = import_folder(source, name)
    elif svd is None:
        raise InputError(
            f"{source} is no model folder; published weights need the rest of the model: give --svd a download of "
            "Stable Video Diffusion in diffusers' layout"
        )
    else:
        from .published import SVD
        from .pulling import import_published

        folder = import_published(SVD, source, svd, lambda shown: _accept(shown, accept_licence), name)
    _print_made(folder, as_json)


@app.command("verify")
def verify_model(
    name: Annotated[str, typer.Argument(help="Name or folder of the model.")], as_json: AsJson = False
) -> None:
    """Read all of a model's files and compare them with their checksums."""
    folder = find_model(name)
    digest = check_complete(folder)
    if as_json:
        print(json.dumps({"name": name, "folder": str(folder), "hash": digest}))
    else:
        print(f"{name} is whole: {folder} ({digest})")


@app.command("remove")
def remove_model(
    name: Annotated[str, typer.Argument(help="Name of the model.")], as_json: AsJson = False
) -> None:
    """Remove a pulled or imported model, and what a broken-off pull of it left."""
    from .model_store import remove

    freed = remove(name)
    print(json.dumps({"name": name, "bytes": freed}) if as_json else f"{name} is removed: {freed / 1e6:.0f} MB free")


def _described(name: str, folder: Path, info: ModelInfo) -> dict[str, Any]:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {
        "name": name,
        "folder": str(folder),
        "embedded": folder.parent == EMBEDDED,
        "bytes": size,
        "kind": info.kind,
        "width": info.width,
        "height": info.height,
        "frames": info.frames,
        "steps": info.steps,
        "num_drags": info.num_drags,
        "licence": info.licence,
    }


def _print_made(folder: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"event": "end", "name": folder.name, "folder": str(folder)}), flush=True)
    else:
        print(folder)


def _accept(shown: Shown, accepted: bool) -> bool:
    """Show a licence on stderr and take the answer; without a terminal only `--accept-licence` is a yes."""
    print(f"{shown.text}\n", file=sys.stderr)
    if accepted:
        return True
    if not sys.stdin.isatty():
        return False
    print(f"Do you accept the licence of {shown.licence.title}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _stop_with_stdin(stop: threading.Event) -> None:
    """Set `stop` when stdin ends: whoever started this program has cancelled, or is gone."""

    def watch() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=watch, name="stdin watch", daemon=True).start()


@contextmanager
def _telling(events: bool, quiet: bool) -> Iterator[Telling]:
    if events:
        yield _Events()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, quiet=quiet, highlight=False)
    columns = (TextColumn("{task.description:<12}"), BarColumn(28), TextColumn("{task.fields[detail]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=quiet or not console.is_terminal) as bars:
        yield _Bar(bars, console)


class _Events:
    """Progress as JSON lines on stdout, as the add-on's own programs tell theirs."""

    def stage(self, name: str, share: float) -> None:
        """Another stage begins."""
        print(json.dumps({"event": "stage", "stage": name, "share": round(share, 4)}), flush=True)

    def progress(self, share: float, detail: str) -> None:
        """It goes on."""
        print(json.dumps({"event": "progress", "share": round(share, 4), "detail": detail}), flush=True)

    def note(self, text: str) -> None:
        """Something the user should know."""
        print(json.dumps({"event": "note", "text": text}), flush=True)


class _Bar:
    """Progress as a bar on a terminal, as lines in a log."""

    def __init__(self, bars: Any, console: Any) -> None:
        self._bars, self._console = bars, console
        self._task = bars.add_task("", total=1.0, detail="")

    def stage(self, name: str, share: float) -> None:
        """Another stage begins."""
        self._bars.update(self._task, description=name, completed=share, detail="")
        if not self._console.is_terminal:
            self._console.print(name)

    def progress(self, share: float, detail: str) -> None:
        """It goes on."""
        self._bars.update(self._task, completed=share, detail=detail)

    def note(self, text: str) -> None:
        """Something the user should know."""
        self._console.print(text)

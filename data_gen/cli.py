# SPDX-License-Identifier: GPL-3.0-or-later
"""`puppet-master data`: render training clips."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..backend.errors import InputError, OutputError, PuppetMasterError
from ..backend.requirements import check_drawing, explain_missing_bpy
from .batch import Job, Summary, Unit, run_batch
from .kinds import SEED_STRIDE, plan_assets, plan_procedural
from .settings import ENGINES, RenderSettings

PARTLY_DONE = 3

app = typer.Typer(help="Make training clips.", no_args_is_help=True)


@app.callback()
def _data() -> None:
    """Make training clips."""


@app.command()
def render(
    out: Annotated[Path, typer.Option(help="Folder for the clip files.")],
    procedural: Annotated[str, typer.Option(help="KIND:COUNT procedural clips; KIND may be all.")] = "",
    asset: Annotated[list[Path] | None, typer.Option(help="Animated .glb or .gltf file; repeatable.")] = None,
    animation: Annotated[str, typer.Option(help="Which of the assets' animations; default: drawn.")] = "",
    count: Annotated[int, typer.Option(help="Clips of each asset.", min=1, max=SEED_STRIDE)] = 1,
    size: Annotated[int, typer.Option(help="Width and height in pixels.", min=16, max=2048)] = 128,
    frames: Annotated[int, typer.Option(help="Frames a clip.", min=2, max=256)] = 14,
    seed: Annotated[int, typer.Option(help="Different seeds share no clip.", min=0, max=10**9)] = 0,
    workers: Annotated[int, typer.Option(help="Processes.", min=1, max=256)] = 2,
    engine: Annotated[str, typer.Option(help="workbench or cycles.")] = "workbench",
    samples: Annotated[int, typer.Option(help="Cycles' samples a pixel.", min=1, max=4096)] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
) -> None:
    """Render clips with tracks and drags; clips that exist already are skipped.

    Exit code 3: some clips failed, the rest are written.
    """
    try:
        units = _plan(procedural, asset or [], count, seed, out)
        job = Job(frames, _settings(size, engine, samples), animation or None)
        _require_blender(engine)
        _make_folder(out)
        summary = _run(units, job, workers)
    except PuppetMasterError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    _report(summary, as_json)
    if summary.failed:
        raise typer.Exit(PARTLY_DONE)


def _plan(procedural: str, assets: list[Path], count: int, seed: int, out: Path) -> list[Unit]:
    if bool(procedural) == bool(assets):
        raise InputError("say what to render: either --procedural KIND:COUNT or --asset FILE")
    return plan_procedural(procedural, seed, out) if procedural else plan_assets(assets, count, seed, out)


def _settings(size: int, engine: str, samples: int) -> RenderSettings:
    if engine not in ENGINES:
        raise InputError(f"no engine is called {engine!r}; there are {', '.join(ENGINES)}")
    return RenderSettings(size=size, engine=engine, samples=samples)


def _require_blender(engine: str) -> None:
    """Find out before any worker starts whether Blender can."""
    if importlib.util.find_spec("bpy") is None:
        raise explain_missing_bpy(ModuleNotFoundError("no bpy", name="bpy"))
    if engine == "workbench":
        check_drawing()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make folder {folder}: {error.strerror}; choose another --out") from error


def _run(units: list[Unit], job: Job, workers: int) -> Summary:
    """Run with a progress bar on the error stream."""
    columns = (
        TextColumn("clips"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(file=sys.stderr), refresh_per_second=2) as progress:
        task = progress.add_task("clips", total=len(units))

        def show(summary: Summary, todo: int) -> None:
            progress.update(task, total=todo, completed=summary.done + len(summary.failed))

        return run_batch(units, job, workers, show)


def _report(summary: Summary, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(summary.to_json()))
    else:
        failed = len(summary.failed)
        typer.echo(f"{summary.done} clip(s) rendered, {summary.skipped} there already, {failed} failed")
    for name, fault in summary.failed.items():
        typer.echo(f"{name}: {fault}", err=True)

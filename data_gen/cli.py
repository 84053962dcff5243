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

from ..backend.errors import InputError, OutputError, PuppetMasterError, RequirementError
from .batch import Job, Summary, run_batch
from .kinds import plan
from .settings import ENGINES, RenderSettings

PARTLY_DONE = 3

app = typer.Typer(help="Make training clips.", no_args_is_help=True)


@app.callback()
def _data() -> None:
    """Make training clips."""


@app.command()
def render(
    out: Annotated[Path, typer.Option(help="Folder for the clip files.")],
    procedural: Annotated[str, typer.Option(help="KIND:COUNT; KIND may be all.")],
    size: Annotated[int, typer.Option(help="Width and height in pixels.", min=16, max=2048)] = 128,
    frames: Annotated[int, typer.Option(help="Frames a clip.", min=2, max=256)] = 14,
    seed: Annotated[int, typer.Option(help="Different seeds share no clip.", min=0, max=10**9)] = 0,
    workers: Annotated[int, typer.Option(help="Processes.", min=1, max=256)] = 2,
    engine: Annotated[str, typer.Option(help="workbench or cycles.")] = "workbench",
    samples: Annotated[int, typer.Option(help="Cycles' samples a pixel.", min=1, max=4096)] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
) -> None:
    """Render clips of procedural objects; clips that exist already are skipped.

    Exit code 3: some clips failed, the rest are written.
    """
    try:
        units = plan(procedural, seed, out)
        job = Job(frames, _settings(size, engine, samples))
        _require_blender()
        _make_folder(out)
        summary = _run(units, job, workers)
    except PuppetMasterError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    _report(summary, as_json)
    if summary.failed:
        raise typer.Exit(PARTLY_DONE)


def _settings(size: int, engine: str, samples: int) -> RenderSettings:
    if engine not in ENGINES:
        raise InputError(f"no engine is called {engine!r}; there are {', '.join(ENGINES)}")
    return RenderSettings(size=size, engine=engine, samples=samples)


def _require_blender() -> None:
    if importlib.util.find_spec("bpy") is None:
        raise RequirementError("Blender's module bpy is not installed; run: pip install 'puppet-master[blender]'")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make folder {folder}: {error.strerror}; choose another --out") from error


def _run(units: list, job: Job, workers: int) -> Summary:
    """Run with a progress bar on the terminal's error stream."""
    columns = (TextColumn("clips"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr), refresh_per_second=2) as progress:
        task = progress.add_task("clips", total=len(units))

        def show(summary: Summary, todo: int) -> None:
            progress.update(task, total=todo, completed=summary.done + len(summary.failed))

        return run_batch(units, job, workers, show)


def _report(summary: Summary, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(summary.to_json()))
        return
    typer.echo(f"{summary.done} clip(s) rendered, {summary.skipped} there already, {len(summary.failed)} failed")
    for name, fault in summary.failed.items():
        typer.echo(f"  {name}: {fault}", err=True)

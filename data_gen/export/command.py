# SPDX-License-Identifier: GPL-3.0-or-later
"""`puppet-master data export`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ...backend.errors import Cancelled
from ...backend.shards import ShardFolder
from .background import Background
from .formats import Options
from .run import FORMATS, Summary, export_dataset


def export(
    dataset: Annotated[Path, typer.Argument(metavar="DIR", help="Dataset that `data render` made.")],
    out: Annotated[Path, typer.Option(metavar="DIR2", help="Folder to export into; an export begun is continued.")],
    format: Annotated[str, typer.Option("--format", metavar="|".join(FORMATS), help="Whose loaders will read it.")],
    background: Annotated[
        str, typer.Option(metavar="white|black|random|transparent|#RRGGBB", help="What stands behind the clips.")
    ] = "white",
    seed: Annotated[int, typer.Option(help="Decides random backgrounds.", min=0)] = 0,
    split: Annotated[str, typer.Option(help="Name of the split's folder (pointodyssey).")] = "train",
    per_file: Annotated[int, typer.Option(help="Videos in one pickle (tapvid).", min=1)] = 100,
    quality: Annotated[int, typer.Option(help="Of JPEG images (pointodyssey).", min=1, max=100)] = 95,
    workers: Annotated[int, typer.Option(help="Threads.", min=1, max=64)] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on stdout.")] = False,
) -> None:
    """Write a dataset's clips in the layout of another dataset, for the loaders that exist for it."""
    options = Options(Background(background, seed), split, per_file, quality)
    columns = (TextColumn("clips"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr), refresh_per_second=2, disable=as_json) as progress:
        task = progress.add_task("clips", total=len(ShardFolder(dataset)))
        try:
            summary = export_dataset(
                dataset, out, format, options, workers, lambda count: progress.advance(task, count)
            )
        except KeyboardInterrupt:
            raise Cancelled("interrupted; the same command goes on from here") from None
    _say(summary, out, as_json)


def _say(summary: Summary, out: Path, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"out": str(out), **summary.to_json()}))
        return
    typer.echo(f"{out}: {summary.written} clip(s) written, {summary.kept} there already")
    for lack, count in summary.lacks.items():
        typer.echo(f"note: {count} clip(s) hold no {lack.removeprefix('the ')}", err=True)
    if summary.left_out:
        typer.echo(f"note: {len(summary.left_out)} clip(s) left out: no point of them is ever seen", err=True)

# SPDX-License-Identifier: GPL-3.0-or-later
"""`puppet-master data report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .page import write_report


def report(
    dataset: Annotated[Path, typer.Argument(metavar="DIR", help="Dataset that `data render` or `data filter` made.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Page to write; DIR/report.html if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on stdout.")] = False,
) -> None:
    """Write one HTML page about a dataset: what was made, what was turned away and why.

    It opens from disk, needs no server and loads nothing. A run may still be going on.
    """
    path = write_report(dataset, out)
    if as_json:
        typer.echo(json.dumps({"report": str(path), "bytes": path.stat().st_size}))
    else:
        typer.echo(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")

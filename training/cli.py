# SPDX-License-Identifier: GPL-3.0-or-later
"""The training room's commands, `puppet-master train` and `puppet-master eval`.

`puppet-master` finds them by the entry points of pyproject.toml. Heavy imports wait until a command runs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

evaluate = typer.Typer(add_completion=False)


@evaluate.command()
def run_evaluation(
    clips_dir: Annotated[
        Path, typer.Argument(metavar="CLIPS_DIR", help="Folder of shards, or of .npz files with frames and drags.")
    ],
    model: Annotated[str, typer.Option(help="Name or folder of the model.")] = "tiny",
    limit: Annotated[int | None, typer.Option(min=1, help="Measure the first so many clips only.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Noise seed, the same for every clip.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps, if not the model's own.")] = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where the model runs.")] = "auto",
    save_sheets: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a picture per clip, the real frames above.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else on stdout.")
    ] = False,
) -> None:
    """Measure a model on real clips, beside the frozen still and the real frames themselves."""
    from .report import EvaluationOrder, evaluate_model, print_report

    order = EvaluationOrder(clips_dir, model, limit, seed, steps, device, save_sheets)
    report = evaluate_model(order)
    if as_json:
        print(json.dumps(report))
    else:
        print_report(report)

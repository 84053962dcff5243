# SPDX-License-Identifier: GPL-3.0-or-later
"""`puppet-master eval`: models measured on real clips.

`puppet-master` finds it by the entry points of pyproject.toml. Heavy imports wait until the command runs.
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
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL[@KEY=VALUE,...]",
            help="Name or folder of a model (tiny if not given), with settings of its own such as "
            "tiny@steps=4,guidance=1:3. Give it several times to put models side by side.",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Measure the first so many clips only.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Noise seed, the same for every clip.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps, if not the model's own.")] = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where the model runs.")] = "auto",
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep report.json, report.html and all that was made; the same DIR goes on."),
    ] = None,
    save_sheets: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a picture per clip, the real frames above.")
    ] = None,
    lpips: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Measure LPIPS with this network (.safetensors or TorchScript).")
    ] = None,
    fvd: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Measure FVD with this video network (TorchScript).")
    ] = None,
    checks: Annotated[
        bool, typer.Option("--checks", help="Check opposite drags, pins and no drags too: four more previews a clip.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else on stdout.")
    ] = False,
) -> None:
    """Measure models on real clips, beside the frozen still and the real frames themselves."""
    from .candidates import Candidate
    from .eval_table import print_report
    from .report import EvaluationOrder, evaluate_models

    candidates = [Candidate.parse(text, seed=seed, steps=steps) for text in model or ["tiny"]]
    report = evaluate_models(
        EvaluationOrder(clips_dir, candidates, limit, device, out, save_sheets, lpips, fvd, checks)
    )
    if as_json:
        print(json.dumps(report))
    else:
        print_report(report)
        if out:
            print(out / "report.html")

# SPDX-License-Identifier: GPL-3.0-or-later
"""`puppet-master data filter` and `puppet-master data train-filter`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from ...backend.errors import InputError
from ...backend.requirements import check_drawing
from ..command_line import carry_out, report
from ..ledger import LEDGER, read_ledger
from ..options import typer_command
from ..plan import FILTER
from .judging import judge_dataset, new_judge
from .order import LookOrder
from .train import fit_forest, read_labels

INCOMPLETE = 3  # exit code: done, but not everything


def _filter(order: LookOrder) -> None:
    """Decide about the animations of ASSETS, a scene or procedural rigs, without rendering clips.

    Writes DIR/ledger.jsonl with every animation's features and the decision; hand it to `render --decisions`, label it
    for `train-filter`, look at it with `report`. With --judge-url the animations that are left are shown, as small
    strips, to a vision-language model; its key is read from PUPPET_MASTER_JUDGE_KEY.
    """
    if bool(order.judge_url) != bool(order.judge_model):
        raise InputError("--judge-url and --judge-model belong together; give both or neither")
    if order.judge_url and not order.strips:
        raise InputError("the judge looks at strips; say what films them: --strips workbench or --strips cycles")
    if order.strips == "workbench":
        check_drawing()
    judge = None
    if order.judge_url and order.out:
        judge = new_judge(order.judge_url, order.judge_model, order.judge_budget, order.out)
    summary = carry_out(order, FILTER)
    judged = judge_dataset(judge, order.out) if judge else None
    lines = [line for line in read_ledger(order.out / LEDGER) if line.get("index") is not None]
    if order.as_json:
        for line in lines:
            row = {name: line.get(name) for name in ("asset", "animation", "index", "outcome", "reason", "detail")}
            typer.echo(json.dumps({"event": "decision", **row}))
        if judged:
            typer.echo(json.dumps({"event": "judged", **judged.to_json()}))
    else:
        report(summary)
        typer.echo(_reasons_table(lines))
        if judged:
            typer.echo(judged.in_words())
    if code := summary.exit_code or (INCOMPLETE if judged and judged.left else 0):
        raise typer.Exit(code)


def _reasons_table(lines: list[dict[str, Any]]) -> str:
    """How many animations each reason turned away, most first, with an example of each."""
    counts = Counter(line.get("reason") or line["outcome"] for line in lines)
    examples = {line.get("reason") or line["outcome"]: line for line in reversed(lines)}
    rows = []
    for reason, count in counts.most_common():
        line = examples[reason]
        detail = f"; {line['detail']}" if line.get("detail") else ""
        rows.append(f"{count:6}  {reason:20}  {line['asset']} {line['animation']}{detail}")
    return "\n".join(rows)


filter_assets = typer_command(LookOrder, _filter)


def train_filter(
    labels: Annotated[Path, typer.Argument(help="JSONL or CSV: asset, index or animation, label (accept, reject).")],
    out: Annotated[Path, typer.Option(metavar="FOREST.npz", help="Where the forest goes.")],
    features: Annotated[
        Path | None, typer.Option(metavar="LEDGER.jsonl", help="Ledger of a filter run, for labels without features.")
    ] = None,
    trees: Annotated[int, typer.Option(help="Trees in the forest.", min=1, max=10_000)] = 200,
    folds: Annotated[int, typer.Option(help="Folds of the cross-validation.", min=2, max=100)] = 5,
    limit: Annotated[float, typer.Option(help="Share of the votes from which one is accepted.", min=0, max=1)] = 0.5,
    seed: Annotated[int, typer.Option(help="Decides everything random.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fit a random forest on animations that a person has accepted or rejected; use it with `--filter FOREST.npz`.

    Precision and recall are of accepting, from stratified cross-validation that keeps an asset's animations together
    where there are enough assets.
    """
    if out.suffix != ".npz":
        raise InputError(f"--out {out} must end in .npz: that is how --filter knows a forest")
    training = fit_forest(read_labels(labels, features), trees, folds, limit, seed)
    training.forest.save(out)
    if as_json:
        typer.echo(json.dumps({"forest": str(out), **training.to_json()}))
        return
    about = training.about
    together = "each asset's kept together" if about["assets_kept_together"] else "too few assets to keep each together"
    typer.echo(
        f"{about['accepted']} accepted and {about['rejected']} rejected animations of {about['assets']} assets; "
        f"{folds} folds, {together}"
    )
    typer.echo(f"{'':12}{'forest':>16}{'thresholds':>14}")
    for name, value in training.scores.items():
        typer.echo(f"{name:12}{value['mean']:9.3f} ± {value['spread']:.3f}{training.baseline[name]:14.3f}")
    typer.echo(
        "what it looks at most: " + ", ".join(f"{name} {share:.0%}" for name, share in _top(training.importances))
    )
    typer.echo(f"written to {out}")


def _top(importances: dict[str, float]) -> list[tuple[str, float]]:
    return list(importances.items())[:8]

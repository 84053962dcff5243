# SPDX-License-Identifier: GPL-3.0-or-later
"""`puppet-master train`: from shards to a model folder, by a configuration; goes on where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ..backend.errors import InputError
from .config import BaseConfig, load_config, preset_text
from .settings import TrainingSettings
from .stages import STAGES, Job


class ConfigFirst(TyperGroup):
    """Commands of which one, `run`, need not be named: what is no command's name is a configuration."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `run` where it was left out."""
        if args and args[0] not in (*self.commands, "--help", "-h"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


train = typer.Typer(cls=ConfigFirst, add_completion=False, no_args_is_help=True, help=__doc__)

Overrides = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a value, such as diffusion.lr=1e-4.")
]


@train.command()
def run(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="A TOML file, or a preset: debug, svd or tiny.")],
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    only: Annotated[list[str], typer.Option("--only", metavar="STAGE", help="Run these stages alone.")] = [],  # noqa: B006
    check: Annotated[bool, typer.Option("--check", help="Check the configuration and stop.")] = False,
) -> None:
    """Run the stages of CONFIG, each from where it was stopped (the word `run` may be left out)."""
    chosen = [f"stages={list(only)}"] if only else []
    settings = load_config(config, [*overrides, *chosen])
    if check:
        typer.echo(f"{config}: {', '.join(settings.stages)} into {settings.out}")
        return
    run_stages(settings)


@train.command()
def preset(name: Annotated[str, typer.Argument(help="ablation, debug, svd, tiny or video.")]) -> None:
    """Print a preset, to start a configuration of one's own from."""
    typer.echo(preset_text(name), nl=False)


@train.command()
def ablate(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="A TOML file, or a preset, such as ablation.")],
    held_out: Annotated[list[Path], typer.Option("--held-out", metavar="DIR", help="Dataset folder to measure on.")],
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    unfiltered: Annotated[
        list[Path],
        typer.Option("--unfiltered", metavar="DIR", help="Unfiltered; stands in for the first of data.clips."),
    ] = [],  # noqa: B006
    only: Annotated[list[str], typer.Option("--only", metavar="VARIANT", help="Train these variants alone.")] = [],  # noqa: B006
    draws: Annotated[int, typer.Option(min=1, help="Drags and noise drawn for each held-out clip.")] = 4,
    eval_clips: Annotated[
        int, typer.Option(min=0, help="Measure so many held-out clips as puppet-master eval does, too.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Train CONFIG's model without each of the paper's additions, equally long, and compare them on held-out clips."""
    from .ablation import AblationOrder, table
    from .ablation import ablate as run_ablation

    order = AblationOrder(
        config, tuple(held_out), tuple(overrides), tuple(unfiltered), tuple(only), draws, eval_clips
    )
    report = run_ablation(order, lambda line: typer.echo(line, err=True))
    typer.echo(json.dumps(report) if as_json else table(report), nl=as_json)


def run_stages(config: BaseConfig) -> None:
    """Run a configuration's stages, together with the processes that were started along with this one."""
    from .parallel import start_processes

    processes = start_processes(config.device)
    check_processes(config, processes.num_processes)

    def say(line: str) -> None:
        if processes.is_main_process:
            typer.echo(line, err=True)

    for name in config.stages:
        STAGES[name].run(Job(config, processes, say))
    processes.end_training()


def check_processes(config: BaseConfig, world: int) -> None:
    """Whether batches and lanes can be shared out to `world` processes. Raises `InputError`."""
    readers = world * max(1, config.data.workers)
    trained = [name for name in config.stages if isinstance(config.section(name), TrainingSettings)]
    if trained and config.data.lanes % readers:
        raise InputError(
            f"data.lanes = {config.data.lanes} cannot be shared out to {readers} readers "
            f"({world} processes with {config.data.workers} workers each); make it a multiple"
        )
    for name in trained:
        settings: Any = config.section(name)
        if settings.batch % (world * settings.accumulate):
            raise InputError(
                f"{name}.batch = {settings.batch} cannot be shared out to {world} processes with "
                f"{name}.accumulate = {settings.accumulate}; make it a multiple of {world * settings.accumulate}"
            )


def main(arguments: Sequence[str]) -> int:
    """What `python -m puppet_master.training` does; the exit code."""
    from ..backend.cli import main as command_line

    return command_line(["train", *arguments])

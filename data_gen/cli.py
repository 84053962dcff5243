# SPDX-License-Identifier: GPL-3.0-or-later
"""`puppet-master data`: training clips from animated assets. A command's module is loaded when it is asked for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from ..backend.errors import PuppetMasterError
from .command_line import EXIT_CODES, carry_out, fail, report
from .options import FilterOrder, RenderOrder, typer_command
from .plan import RENDER

# Command -> module and function; their libraries are only needed by who calls them.
COMMANDS = {
    "filter": (".filter.command", "filter_assets"),
    "train-filter": (".filter.command", "train_filter"),
    "report": (".report.command", "report"),
    "export": (".export.command", "export"),
    "fetch": (".fetch.command", "fetch"),
}
# Blank lines keep the lines apart: typer joins what stands in one paragraph.
EPILOG = "Exit codes:\n\n" + "\n\n".join(f"{code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())


class DataCommands(TyperGroup):
    """The commands here, and those of modules that are loaded when asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands."""
        return [*super().list_commands(ctx), *COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, None if there is none."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        alone = typer.Typer(add_completion=False)
        alone.command(cmd_name)(_load(*COMMANDS[cmd_name]))
        command = typer.main.get_command(alone)
        command.name = cmd_name
        return command


def _load(module: str, function: str) -> Callable[..., Any]:
    """A command's function; where its libraries are missing, one that says so when it is called."""
    try:
        return getattr(importlib.import_module(module, __package__), function)
    except ImportError as error:
        missing = error

        def unavailable() -> None:
            """Not available: its libraries are not installed (run it to see which)."""
            raise missing

        return unavailable


app = typer.Typer(
    cls=DataCommands, help="Training clips from animated assets.", no_args_is_help=True, pretty_exceptions_enable=False
)


@app.callback()
def _data() -> None:
    """Training clips from animated assets."""


def run_order(order: FilterOrder, stage: str) -> None:
    """Carry an order out, print the result, and leave with its exit code."""
    summary = carry_out(order, stage)
    if not order.as_json:
        report(summary)
    if summary.exit_code:
        raise typer.Exit(summary.exit_code)


def _render(order: RenderOrder) -> None:
    """Render clips with tracks and drags from ASSETS, a scene or procedural rigs.

    The same command goes on where an earlier one stopped; the same seed gives the same dataset.
    """
    run_order(order, RENDER)


def main() -> int:
    """The command line by itself, without the rest of `puppet-master`; returns the exit code."""
    try:
        app(prog_name="puppet-master data")
    except PuppetMasterError as error:
        return fail(error, "--json" in sys.argv)
    return 0


app.command("render", epilog=EPILOG)(typer_command(RenderOrder, _render))

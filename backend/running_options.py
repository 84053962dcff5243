# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the command line that say how a diffusion model runs; several commands have them."""

from __future__ import annotations

from typing import Annotated

import typer

from .option_values import ACCELERATION_CHOICES, MEMORY_CHOICES, parse_choice


def _parse_memory(text: str) -> str:
    return parse_choice(text, MEMORY_CHOICES, "memory")


def _parse_acceleration(text: str) -> str:
    return parse_choice(text, ACCELERATION_CHOICES, "acceleration")


Memory = Annotated[
    str,
    typer.Option(
        metavar="|".join(MEMORY_CHOICES), help="How a diffusion model uses memory.", callback=_parse_memory
    ),
]
Acceleration = Annotated[
    str,
    typer.Option(
        metavar="|".join(ACCELERATION_CHOICES), help="How a diffusion model's steps are run.",
        callback=_parse_acceleration,
    ),
]  # fmt: skip

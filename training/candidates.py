# SPDX-License-Identifier: GPL-3.0-or-later
"""Who takes part in an evaluation: models, each with the settings it is to be sampled with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..backend.cli import parse_guidance
from ..backend.errors import InputError

if TYPE_CHECKING:
    from ..backend.pipeline import PreviewPipeline

SETTINGS: dict[str, Callable[[str], Any]] = {"steps": int, "seed": int, "guidance": parse_guidance, "fit": str}


@dataclass(frozen=True)
class Candidate:
    """A model under test.

    Attributes:
        label: what it is called in the report: as it was written.
        model: name or folder.
        settings: fields of the `PreviewRequest`; what is not there is left to the model.
    """

    label: str
    model: str
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, **defaults: Any) -> Candidate:
        """Read `MODEL` or `MODEL@KEY=VALUE,KEY=VALUE`, such as `tiny@steps=4,guidance=1:3`.

        Args:
            text: as a user writes it. A folder's name may hold an `@`, if no settings follow it.
            defaults: settings where the text has none; None is none.

        Raises:
            InputError: an unknown setting, or a value it cannot have.
        """
        settings = {key: value for key, value in defaults.items() if value is not None}
        model, at, written = text.rpartition("@")
        if not at or "=" not in written:
            return cls(text, text, settings)
        for entry in written.split(","):
            key, _, value = entry.partition("=")
            if key not in SETTINGS:
                raise InputError(f"{text}: there is no setting {key!r}; known are {', '.join(SETTINGS)}")
            try:
                settings[key] = SETTINGS[key](value)
            except ValueError as error:
                raise InputError(f"{text}: {key} cannot be {value!r}") from error
        return cls(text, model, settings)


def load_model(model: str, device: str) -> PreviewPipeline:
    """The pipeline of a model's name or folder. Raises `ModelError`, or `RequirementError` for the device."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    from ..backend.loader import ModelShelf

    # Their bars and advice are about loading, which is ours to get right; the terminal is for the report.
    diffusers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    shelf = ModelShelf(device)
    shelf.prepare()
    return shelf.get(model)

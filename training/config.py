# SPDX-License-Identifier: GPL-3.0-or-later
"""A training configuration: read from TOML, completed from a preset, overridden from the command line, checked.

All of it is checked before torch is imported: an error names the key, its value and what would be right.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, create_model, model_validator

from ..backend.errors import InputError
from .settings import DataSettings, Folder, LogSettings, Settings
from .stages import STAGES

PRESET = "preset"  # key of a configuration that names the preset it starts from


class BaseConfig(Settings):
    """What every configuration has; `Config` adds a section for each stage.

    Attributes:
        stages: what is run, in this order.
        out: folder of the run; each stage has a folder in it.
        seed: of everything random.
        device: "auto" takes CUDA where torch finds it.
        data, log: sections.
    """

    stages: list[str] = Field(min_length=1)
    out: Folder
    seed: int = Field(default=0, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    data: DataSettings = DataSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _stages_are_known(self) -> BaseConfig:
        for name in self.stages:
            if name not in STAGES:
                raise ValueError(f"stages: there is no stage {name!r}; known are {', '.join(STAGES)}")
        return self

    def section(self, stage: str) -> Any:
        """The settings of a stage."""
        return getattr(self, stage)

    def folder(self, stage: str) -> Path:
        """The folder of a stage."""
        return self.out / stage


Config: type[BaseConfig] = create_model(
    "Config",
    __base__=BaseConfig,
    **{name: (kind.settings, Field(default_factory=kind.settings)) for name, kind in STAGES.items()},
)


@cache
def preset_names() -> list[str]:
    """Names of the presets."""
    return sorted(path.name.removesuffix(".toml") for path in _presets().iterdir() if path.name.endswith(".toml"))


def preset_text(name: str) -> str:
    """A preset's TOML. Raises `InputError` if there is none of that name."""
    if name not in preset_names():
        raise InputError(f"there is no preset {name!r}; known are {', '.join(preset_names())}")
    return (_presets() / f"{name}.toml").read_text(encoding="utf-8")


def load_config(source: str, overrides: Sequence[str] = ()) -> BaseConfig:
    """Read and check a configuration.

    Args:
        source: a TOML file, or a preset's name.
        overrides: such as `diffusion.lr=1e-4`; values are TOML, or plain text where they are none.

    Raises:
        InputError: it cannot be read, or a key or value is wrong; one line that names it.
    """
    values = _read(source)
    for override in overrides:
        _override(values, override)
    try:
        config = Config(**values)
    except ValidationError as error:
        raise InputError(f"{source}: {_first_problem(error)}") from error
    for name in config.stages:
        STAGES[name].check(config)
    return config


def _presets() -> Any:
    return files(__package__) / "presets"


def _read(source: str) -> dict[str, Any]:
    path = Path(source)
    if path.suffix != ".toml" and source in preset_names():
        return _parse(source, preset_text(source))
    try:
        values = _parse(source, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        presets = ", ".join(preset_names())
        raise InputError(f"cannot read the configuration {source}: {reason}; give a TOML file or {presets}") from error
    if PRESET in values:
        values = _merged(_parse(source, preset_text(str(values.pop(PRESET)))), values)
    return values


def _parse(source: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source} is no TOML: {error}") from error


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid upon `base`, table by table."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not (key.strip() and equals):
        raise InputError(f"--set {override} is not KEY=VALUE, such as diffusion.lr=1e-4")
    *path, last = key.strip().split(".")
    table = values
    for part in path:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise InputError(f"--set {override}: {part} is a value, not a section")
    table[last] = _value(text.strip())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _first_problem(error: ValidationError) -> str:
    """The first of pydantic's complaints as a line: key, value, what would be right."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"there is no key {key}{_nearest(problem['loc'])}"
    if problem["type"] == "missing":
        return f"{key} is missing; give it in the file or as --set {key}=VALUE"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if isinstance(problem["input"], dict | Settings):
        return f"{key}: {message}" if key else message
    return f"{key} = {problem['input']!r}: {message}"


def _nearest(path: tuple[int | str, ...]) -> str:
    """What was probably meant by an unknown key."""
    section: Any = Config
    for part in path[:-1]:
        section = section.model_fields[part].annotation
    known = list(section.model_fields)
    near = difflib.get_close_matches(str(path[-1]), known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"

# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be ordered: each option is declared once, and every door is made from that.

`puppet-master data` (typer), `blender --command puppet_master data` (argparse) and the panel read the same
dataclass, so that names, defaults, limits and words cannot differ between them. stdlib only: it runs in
Blender's own Python too.
"""

# ruff: noqa: RUF009 - option() makes a dataclass field, which is what that rule allows in a default

from __future__ import annotations

import argparse
import hashlib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from ..backend.errors import InputError

ENGINES = ("workbench", "cycles", "eevee")
DEVICES = ("cpu", "gpu")
PASSES = ("depth", "flow", "part", "normal", "paths")
THRESHOLDS, NO_FILTER = "thresholds", "none"
MAX_SEED = 10**9
# What a preset decides where the order itself is silent.
PRESETS: dict[str, dict[str, Any]] = {
    "draft": {"size": 128, "engine": "workbench", "samples": 8},
    "standard": {"size": 256, "engine": "cycles", "samples": 16},
    "final": {"size": 512, "engine": "cycles", "samples": 64},
}

OrderType = TypeVar("OrderType", bound="Order")


@dataclass(frozen=True)
class Option:
    """One option as a door sees it.

    Attributes:
        name: the field of the order.
        flag: what it is called on a command line ("--time-limit"); "ASSETS" stands alone, without a flag.
        kind: bool, int, float, str or Path; of one element where there are several.
        many: the value is a tuple.
        default: the value where nothing is said.
        help: one sentence.
        low: smallest number allowed.
        high: largest number allowed.
        choices: words allowed; empty: any.
        metavar: what stands for the value in a help text.
        shapes_data: another value gives another dataset; the rest says only how it is made.
    """

    name: str
    flag: str
    kind: type
    many: bool
    default: Any
    help: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    metavar: str
    shapes_data: bool

    @property
    def positional(self) -> bool:
        """Whether it stands on the command line without a flag."""
        return not self.flag.startswith("-")

    @property
    def summary(self) -> str:
        """The help with choices, limits and default in words."""
        notes = [*([", ".join(self.choices)] if self.choices else []), *([self.limits] if self.limits else [])]
        if self.default not in (None, "", (), False) and not self.positional:
            value = ",".join(map(str, self.default)) if self.many else self.default
            notes.append(f"default {value}")
        return f"{self.help} ({'; '.join(notes)})" if notes else self.help

    @property
    def limits(self) -> str:
        """ "1 to 256", "at least 1", or nothing."""
        if self.low is None:
            return ""
        return f"at least {self.low}" if self.high is None else f"{self.low} to {self.high}"

    def check(self, value: Any) -> Any:
        """The value, of the option's type.

        Raises:
            InputError: another type, outside the limits, none of the choices.
        """
        if value is None:
            return self.default
        if self.many:
            parts = [part for part in value.split(",") if part] if isinstance(value, str) else value
            return tuple(self._check_one(part) for part in parts)
        return self._check_one(value)

    def _check_one(self, value: Any) -> Any:
        try:
            value = self.kind(value)
        except (TypeError, ValueError) as error:
            raise InputError(f"{self.flag} must be {_NOUNS[self.kind]}, not {value!r}") from error
        if self.choices and value and value not in self.choices:
            raise InputError(f"{self.flag} cannot be {value!r}; there are {', '.join(self.choices)}")
        below = self.low is not None and value < self.low
        if below or (self.high is not None and value > self.high):
            raise InputError(f"{self.flag} must be {self.limits}, not {value}")
        return value


_NOUNS = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", Path: "a path"}


def option(
    default: Any,
    help: str,
    *,
    flag: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    metavar: str = "",
    shapes_data: bool = False,
) -> Any:
    """Declare an option: a dataclass field that knows how every door shows it."""
    known = {
        "flag": flag, "help": help, "low": low, "high": high, "choices": choices, "metavar": metavar,
        "shapes_data": shapes_data,
    }  # fmt: skip
    return field(default=default, metadata=known)


@dataclass(frozen=True)
class Order:
    """Base of all orders: checked when made, crosses process borders as JSON."""

    def __post_init__(self) -> None:
        for known in options_of(type(self)):
            object.__setattr__(self, known.name, known.check(getattr(self, known.name)))

    def to_json(self) -> dict[str, Any]:
        """JSON values only; `from_json` reads it back."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls: type[OrderType], data: Mapping[str, Any]) -> OrderType:
        """The order that `to_json` gave; names it does not know are left out."""
        return cls(**{known.name: data[known.name] for known in options_of(cls) if known.name in data})


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value


@dataclass(frozen=True)
class FilterOrder(Order):
    """Look at the animations of assets and decide about them, without rendering."""

    assets: tuple[Path, ...] = option((), "Files and folders with animated assets.", flag="ASSETS")
    scene: Path | None = option(None, "A .blend file to be taken as one shot.", metavar="SCENE.blend")
    procedural: str = option("", "Procedural rigs; KIND may be all.", metavar="KIND:N")
    scripts: bool = option(False, "Let the scene run the Python scripts and drivers it holds.", shapes_data=True)
    out: Path | None = option(None, "Folder of the dataset.", metavar="DIR")
    seed: int = option(0, "Decides everything random.", low=0, high=MAX_SEED, shapes_data=True)
    animation: str = option("", "Only the animations of this name.", metavar="NAME", shapes_data=True)
    filter: str = option(
        THRESHOLDS, f"How animations are chosen: {THRESHOLDS}, {NO_FILTER}, limits of one's own, or a trained forest.",
        metavar=f"{THRESHOLDS}|{NO_FILTER}|LIMITS.toml|FOREST.npz", shapes_data=True,
    )  # fmt: skip
    decisions: Path | None = option(
        None, "Ledger of a filter run: what it turned away stays away.", metavar="LEDGER.jsonl", shapes_data=True
    )
    licences: tuple[str, ...] = option(
        ("cc0", "by", "by-sa"), "Licences of assets that may be used; all allows every one.", metavar="A,B",
        shapes_data=True,
    )  # fmt: skip
    shard_mb: float = option(256.0, "Size at which a shard is closed, in MB.", low=0.001, shapes_data=True)
    workers: int = option(0, "Blender processes; 0 starts one a core.", low=0, high=1024)
    device: str = option("cpu", "What Cycles and EEVEE render on.", choices=DEVICES, shapes_data=True)
    time_limit: float = option(600.0, "Seconds that one stage of an asset may take.", low=1)
    memory_limit_gb: float = option(8.0, "Memory that a process may take, in GB; 0 sets no limit.", low=0)
    recycle: int = option(50, "Assets after which a process is replaced.", low=1)
    retry_failed: bool = option(False, "Try the assets again that crashed or met a limit.")
    ray: str = option("", "Work on a running Ray cluster.", metavar="ADDRESS|auto")
    blender: Path | None = option(None, "Blender to run; otherwise Blender's Python module.", metavar="PROGRAM")
    as_json: bool = option(False, "Print events and a summary as JSON lines.", flag="--json")

    def for_workers(self) -> dict[str, Any]:
        """The order as JSON for processes that may run in another folder: paths in full."""
        full = self.to_json()
        if self.filter not in (THRESHOLDS, NO_FILTER):
            full["filter"] = str(Path(self.filter).absolute())
        for name in ("decisions", "scene", "out", "blender"):
            full[name] = full[name] and str(Path(full[name]).absolute())
        del full["assets"]  # a unit knows its own
        return full

    def settings(self) -> dict[str, Any]:
        """What decides the dataset's contents beside its assets: JSON values.

        A file that decides is represented by its contents' hash.

        Raises:
            InputError: such a file cannot be read.
        """
        plain = self.to_json()
        chosen = {known.name: plain[known.name] for known in options_of(type(self)) if known.shapes_data}
        if self.filter not in (THRESHOLDS, NO_FILTER):
            chosen["filter"] = _fingerprint("--filter", Path(self.filter))
        if self.decisions is not None:
            chosen["decisions"] = _fingerprint("--decisions", self.decisions)
        return chosen


@dataclass(frozen=True)
class RenderOrder(FilterOrder):
    """Render clips with tracks and drags."""

    preset: str = option("draft", "What size, engine and samples are if not given.", choices=tuple(PRESETS))
    views: int = option(1, "Cameras an animation is seen from.", low=1, high=1000, shapes_data=True)
    size: int | None = option(None, "Width and height in pixels.", low=16, high=4096, shapes_data=True)
    frames: int = option(14, "Frames a clip.", low=2, high=1024, shapes_data=True)
    engine: str | None = option(None, "What renders.", choices=ENGINES, shapes_data=True)
    samples: int | None = option(
        None, "Samples a pixel, for Cycles and EEVEE.", low=1, high=65536, shapes_data=True
    )
    passes: tuple[str, ...] = option((), "Further images.", choices=PASSES, metavar="A,B", shapes_data=True)
    still_only: bool = option(
        False, "Render the first frame alone; tracks, drags and passes are of all.", shapes_data=True
    )

    def resolved(self) -> RenderOrder:
        """The same with size, engine and samples filled in from the preset."""
        missing = {name: value for name, value in PRESETS[self.preset].items() if getattr(self, name) is None}
        return replace(self, **missing)


def _fingerprint(flag: str, path: Path) -> str:
    try:
        return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    except OSError as error:
        raise InputError(f"{flag} {path} cannot be read: {error.strerror or error}") from error


def options_of(order: type[Order]) -> list[Option]:
    """The options of a kind of order, in the order of their declaration."""
    hints = typing.get_type_hints(order)
    return [_option(known, hints[known.name]) for known in fields(order)]


def _option(known: Field[Any], hint: Any) -> Option:
    many = typing.get_origin(hint) is tuple
    if many or isinstance(hint, types.UnionType):  # tuple[X, ...] or X | None
        hint = typing.get_args(hint)[0]
    stored = dict(known.metadata)
    if known.default is MISSING or not stored:
        raise TypeError(f"{known.name} is not declared with option()")
    stored["flag"] = stored["flag"] or "--" + known.name.replace("_", "-")
    return Option(name=known.name, kind=hint, many=many, default=known.default, **stored)


def add_arguments(parser: argparse.ArgumentParser, order: type[Order]) -> None:
    """Give an argparse parser the options of `order`; read the answer with `order_of`."""
    for known in options_of(order):
        text = known.summary.replace("%", "%%")
        if known.positional:
            parser.add_argument(known.name, nargs="*", type=known.kind, metavar=known.flag, help=text)
        elif known.kind is bool:
            parser.add_argument(known.flag, dest=known.name, action="store_true", help=text)
        else:
            metavar = known.metavar or _metavar(known)
            parser.add_argument(known.flag, dest=known.name, metavar=metavar, help=text)


def order_of(order: type[OrderType], answers: argparse.Namespace) -> OrderType:
    """The order that parsed arguments give.

    Raises:
        InputError: a value that an option does not allow.
    """
    given = {known.name: getattr(answers, known.name) for known in options_of(order)}
    return order(**given)


def typer_command(order: type[OrderType], run: Callable[[OrderType], None]) -> Callable[..., None]:
    """A function with the signature that typer makes a command of; it calls `run` with the order."""
    import typer

    def command(**given: Any) -> None:
        run(order(**given))

    parameters = []
    for known in options_of(order):
        hint, info = _typer_parameter(known, typer)
        kind = inspect.Parameter.KEYWORD_ONLY
        default = False if known.kind is bool else None
        annotation = typing.Annotated[hint, info]
        parameters.append(inspect.Parameter(known.name, kind, default=default, annotation=annotation))
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = run.__doc__
    return command


def _typer_parameter(known: Option, typer: types.ModuleType) -> tuple[Any, Any]:
    """The type and the declaration typer wants; limits are left to `Option.check`, the same for every door."""
    if known.positional:
        return list[known.kind] | None, typer.Argument(metavar=f"[{known.flag}]...", help=known.summary)
    if known.kind is bool:
        return bool, typer.Option(known.flag, help=known.summary)
    metavar = known.metavar or _metavar(known)
    return str | None, typer.Option(known.flag, metavar=metavar, help=known.summary, show_default=False)


def _metavar(known: Option) -> str:
    return "|".join(known.choices) if known.choices and not known.many else known.kind.__name__.upper()

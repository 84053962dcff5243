# SPDX-License-Identifier: GPL-3.0-or-later
"""What one job of a job file may say; most choices take one value or several, which are then swept over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .. import media
from ..errors import InputError
from ..option_values import parse_colour, parse_guidance, parse_interval, parse_size
from ..presets import PRESETS
from ..protocol import FITS, MAX_FRAMES, MAX_REUSE, MAX_SEED, MAX_STEPS

Output = Literal["mp4", "gif", "png", "sheet"]
OUTPUTS: tuple[Output, ...] = ("mp4", "gif", "png", "sheet")
SEPARATOR = "|"  # between several values in one text, as in a table's cell
MOST_VALUES = 10_000  # of one choice
MOST_PREVIEWS = 100_000  # of one job: a slip of the pen must not order a million
SWEPT = ("camera", "frame", "drags", "model", "guidance", "steps", "seed")

Value = TypeVar("Value")


def _several(value: Any) -> Any:
    """One value, a list of them, or a text such as "1|2|3", as a list."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(SEPARATOR)]
    return value if isinstance(value, list | tuple) else [value]


def _several_numbers(value: Any) -> Any:
    """As `_several`; "0:4" stands for 0, 1, 2, 3."""
    numbers: list[Any] = []
    for part in _several(value):
        first, colon, end = part.partition(":") if isinstance(part, str) else (part, "", "")
        if not colon:
            numbers.append(part)
            continue
        try:
            bounds = int(first or 0), int(end)
        except ValueError:
            raise ValueError(f"{part!r} must be FIRST:END, two whole numbers such as 0:8") from None
        count = max(0, bounds[1] - bounds[0])
        if not 0 < count <= MOST_VALUES:
            raise ValueError(f"{part!r} stands for {count} values; give FIRST:END with 1 to {MOST_VALUES} between")
        numbers += range(*bounds)
    return numbers


def _several_drags(value: Any) -> Any:
    """Drag files, or drags written in place: a drag file's content, or the list of its drags."""
    if isinstance(value, Mapping):
        return [value]
    if isinstance(value, list) and value and all(isinstance(drag, Mapping) and "points" in drag for drag in value):
        return [{"version": 1, "drags": value}]
    several = _several(value)
    if wrong := [drags for drags in several if not isinstance(drags, str | Path | Mapping)]:
        raise ValueError(f"{wrong[0]!r} is neither a drag file's name nor its content")
    return several


def _guidance(value: Any) -> tuple[float, float]:
    """`3`, `"1:3"`."""
    return parse_guidance(str(value))


def _interval(value: Any) -> tuple[float, float]:
    return parse_interval(str(value))


def _size(value: Any) -> tuple[int, int]:
    return parse_size(str(value))


def _colour(value: Any) -> tuple[float, float, float]:
    return parse_colour(str(value))


Several = Annotated[tuple[Value, ...], BeforeValidator(_several), Field(min_length=1, max_length=MOST_VALUES)]
SeveralNumbers = Annotated[
    tuple[Value, ...], BeforeValidator(_several_numbers), Field(min_length=1, max_length=MOST_VALUES)
]
Guidance = Annotated[tuple[float, float], BeforeValidator(_guidance)]
Interval = Annotated[tuple[float, float], BeforeValidator(_interval)]
Size = Annotated[tuple[int, int], BeforeValidator(_size)]


class JobEntry(BaseModel):
    """One job as written; see docs/batch.md for what each field means.

    Once read, `preset` is a quality, one of `presets.PRESETS`: what the file's own presets say is filled in.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    name: str | None = None
    shot: str | None = None
    still: Path | None = None
    scene: Path | None = None
    camera: Several[str] | None = None
    frame: SeveralNumbers[int] | None = None
    size: Size | None = None
    drags: Annotated[tuple[Path | dict[str, Any], ...], BeforeValidator(_several_drags), Field(min_length=1)] | None = (
        None
    )
    visibility: Path | None = None
    tracks_size: Size | None = None
    preset: str | None = None
    model: Several[str] = ("tiny",)
    seed: SeveralNumbers[Annotated[int, Field(ge=0, le=MAX_SEED)]] = (0,)
    guidance: Several[Guidance] | None = None
    steps: SeveralNumbers[Annotated[int, Field(ge=1, le=MAX_STEPS)]] | None = None
    guidance_interval: Interval | None = None
    feature_reuse: Annotated[int, Field(ge=1, le=MAX_REUSE)] | None = None
    frames: Annotated[int, Field(ge=2, le=MAX_FRAMES)] | None = None
    fit: Literal[FITS] = FITS[0]  # type: ignore[valid-type]
    background: Annotated[tuple[float, float, float], BeforeValidator(_colour)] = (1.0, 1.0, 1.0)
    outputs: Annotated[tuple[Output, ...], BeforeValidator(_several), Field(min_length=1)] = ("mp4",)
    fps: Annotated[float, Field(ge=0.1, le=240.0)] = float(media.FRAMES_PER_SECOND)


def read_entry(fields: Mapping[str, Any], base: Path, presets: Mapping[str, Mapping[str, Any]]) -> JobEntry:
    """A job from its fields, with its preset's where it is silent, and paths taken from `base`.

    Raises:
        InputError: names the first field that is wrong, its value, and what is allowed.
    """
    preset = fields.get("preset")
    filled_in = presets.get(preset, {}) if isinstance(preset, str) else {}
    quality = filled_in.get("preset") if preset in list(presets) else preset
    if quality is not None and quality not in list(PRESETS):  # it may be anything, a list too
        own = f"; of the job file's own: {', '.join(sorted(presets))}" if presets else ""
        raise InputError(f"there is no preset {quality!r}; presets: {', '.join(PRESETS)}{own}")
    try:
        entry = JobEntry.model_validate({**filled_in, **fields, "preset": quality})
    except ValidationError as error:
        raise InputError(_in_words(error)) from error
    if (entry.still is None) == (entry.scene is None):
        raise InputError('a job needs either "still" (an image) or "scene" (a .blend)')
    if entry.still and entry.still.suffix.lower() == ".blend":
        raise InputError(f'{entry.still} is no picture; give it as "scene"')
    if entry.scene is None and (entry.camera or entry.frame or entry.size):
        raise InputError(f'camera, frame and size belong to a "scene"; {entry.still} is a still')
    paths = {name: base / path for name in ("still", "scene", "visibility") if (path := getattr(entry, name))}
    drags = entry.drags and tuple(base / drag if isinstance(drag, Path) else drag for drag in entry.drags)
    for path in (*paths.values(), *(drag for drag in drags or () if isinstance(drag, Path))):
        if "\0" in str(path):
            raise InputError(f"{str(path)!r} is no name of a file")
    if (previews := math.prod(len(getattr(entry, name) or (None,)) for name in SWEPT)) > MOST_PREVIEWS:
        raise InputError(f"it stands for {previews} previews; sweep over fewer values, to {MOST_PREVIEWS} at most")
    return entry.model_copy(update={**paths, "drags": drags})


def _in_words(error: ValidationError) -> str:
    """The first fault, in one line."""
    fault = error.errors()[0]
    place = str(fault["loc"][0]) if fault["loc"] else ""  # what follows tells pydantic's own types
    if fault["type"] == "extra_forbidden":
        return f"unknown field {place!r}; known are {', '.join(JobEntry.model_fields)}"
    value = fault.get("input")
    said = fault["msg"].removeprefix("Value error, ")
    return f"{place} = {value!r}: {said[0].lower()}{said[1:]}" if place else said

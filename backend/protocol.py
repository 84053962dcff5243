# SPDX-License-Identifier: GPL-3.0-or-later
"""The project's common language: drags, preview requests and preview results.

stdlib + numpy only, Python 3.11-3.14: Blender, the backend, data generation and training all import it.

Image coordinates are normalised to [0, 1], origin top-left, x right, y down, pixel centres at
(i + 0.5) / size. Trajectories are float32 arrays `[K, N, 2]` (drags, frames, xy).
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .presets import PRESETS, WHOLE

DRAG_FILE_VERSION = 1
REQUEST_VERSION = 1
EASES = ("linear", "smooth")
FITS = ("letterbox", "crop")
MAX_FRAMES = 256
MAX_STEPS = 1000
MAX_SEED = 2**63 - 1
MAX_REUSE = 5


@dataclass(frozen=True)
class DragPoint:
    """A place the dragged point passes: `t` in clip time [0, 1]; `x`, `y` normalised image coordinates."""

    t: float
    x: float
    y: float


@dataclass(frozen=True)
class Drag:
    """One controlled point and the path it is asked to take.

    The path passes each point at its time. It rests at the first point before that point's time and
    at the last point after its time. A drag whose points coincide is a pin: it asks its part to stay.

    Attributes:
        name: shown to the user and used in messages.
        points: at least two, strictly increasing in `t`; the first lies inside the still, later ones
            may leave it.
        ease: "linear" moves at constant speed between points; "smooth" starts and ends at rest.

    Raises:
        InputError: on anything else, naming the drag, the point and the value.
    """

    name: str
    points: tuple[DragPoint, ...]
    ease: str = "linear"

    def __post_init__(self) -> None:
        label = f'drag "{self.name}"'
        if not isinstance(self.name, str) or not self.name:
            raise InputError(f"a drag's name must be a non-empty text, not {self.name!r}")
        if self.ease not in EASES:
            raise InputError(f"{label}: ease must be one of {', '.join(EASES)}, not {self.ease!r}")
        if len(self.points) < 2:
            raise InputError(
                f"{label} has {len(self.points)} point(s); it needs at least two "
                "(for a pin, give the same place twice)"
            )
        for index, point in enumerate(self.points):
            for axis in ("t", "x", "y"):
                _check_number(getattr(point, axis), f"{label}, point {index}: {axis}")
            if not 0.0 <= point.t <= 1.0:
                raise InputError(f"{label}, point {index}: t = {point.t:g} lies outside clip time 0 to 1")
        for index in range(1, len(self.points)):
            if not self.points[index].t > self.points[index - 1].t:
                raise InputError(
                    f"{label}, point {index}: t = {self.points[index].t:g} does not come after "
                    f"t = {self.points[index - 1].t:g}; order the points by time, each time once"
                )
        start = self.points[0]
        if not (0.0 <= start.x <= 1.0 and 0.0 <= start.y <= 1.0):
            raise InputError(
                f"{label} starts at ({start.x:g}, {start.y:g}), outside the still; "
                "x and y of the first point must lie in 0 to 1"
            )

    @property
    def is_pin(self) -> bool:
        """Whether the drag asks its point to stay where it is."""
        first = self.points[0]
        return all(point.x == first.x and point.y == first.y for point in self.points)

    def resample(self, frames: int) -> NDArray[np.float32]:
        """Positions at `frames` evenly spaced times of the clip, float32 `[frames, 2]`; row 0: the start."""
        # A clip of one frame shows the still alone: the drag is at its start.
        return self.at(np.linspace(0.0, 1.0, max(frames, 1))).astype(np.float32)

    def at(self, clip_times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Positions at times `[N]` of the clip, 0 to 1, as float64 `[N, 2]`."""
        times = np.array([point.t for point in self.points], dtype=np.float64)
        places = np.array([(point.x, point.y) for point in self.points], dtype=np.float64)
        at = np.clip(clip_times, times[0], times[-1])
        segment = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 2)
        length = times[segment + 1] - times[segment]
        u = ((at - times[segment]) / length)[:, None]
        if self.ease == "linear":
            return places[segment] * (1 - u) + places[segment + 1] * u
        return _hermite(places, _rest_to_rest_velocities(times, places), segment, length[:, None], u)

    @classmethod
    def from_json(cls, value: object, where: str = "drag") -> Drag:
        """Read one entry of a drag file's `drags` list; `where` names it in errors."""
        entry = _object(value, where)
        _refuse_unknown(entry, {"name", "points", "ease"}, where)
        points = entry.get("points")
        if not isinstance(points, list):
            raise InputError(f'{where}: "points" must be a list of {{t, x, y}}, not {_kind(points)}')
        name = entry.get("name", where)
        if not isinstance(name, str):
            raise InputError(f'{where}: "name" must be a text, not {_kind(name)}')
        return cls(
            name=name,
            points=tuple(_point(p, f'drag "{name}", point {i}') for i, p in enumerate(points)),
            ease=entry.get("ease", "linear"),
        )

    def to_json(self) -> dict[str, Any]:
        """The entry of a drag file's `drags` list that `from_json` reads back."""
        return {"name": self.name, "points": [asdict(point) for point in self.points], "ease": self.ease}


def drags_from_json(value: object, where: str = "drag file") -> list[Drag]:
    """Read the content of a drag file, `{"version": 1, "drags": [...]}`.

    Raises:
        InputError: wrong types, an unknown version or key, or any fault `Drag` refuses.
    """
    document = _object(value, where)
    version = document.get("version")
    if version != DRAG_FILE_VERSION or isinstance(version, bool):
        raise InputError(
            f'{where}: "version" is {version!r}; this program reads version {DRAG_FILE_VERSION}'
        )
    _refuse_unknown(document, {"version", "drags"}, where)
    drags = document.get("drags")
    if not isinstance(drags, list):
        raise InputError(f'{where}: "drags" must be a list, not {_kind(drags)}')
    return [Drag.from_json(entry, f"drag {index}") for index, entry in enumerate(drags)]


def drags_to_json(drags: Sequence[Drag]) -> dict[str, Any]:
    """The content of a drag file."""
    return {"version": DRAG_FILE_VERSION, "drags": [drag.to_json() for drag in drags]}


def load_drags(path: Path) -> list[Drag]:
    """Read a drag file. Raises `InputError` that names the file for whatever is wrong with it."""
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read drag file {path}: {error}") from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"drag file {path} is not JSON (line {error.lineno}, column {error.colno}: {error.msg})"
        ) from error
    try:
        return drags_from_json(document)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def trajectories(drags: Sequence[Drag], frames: int) -> NDArray[np.float32]:
    """All drags resampled to a clip of `frames`: float32 `[K, frames, 2]`."""
    if not drags:
        return np.zeros((0, frames, 2), dtype=np.float32)
    return np.stack([drag.resample(frames) for drag in drags])


@dataclass(frozen=True)
class PreviewRequest:
    """Everything inference needs for one preview.

    `None` leaves a choice to the model's own defaults.

    Attributes:
        still_png: the still as an encoded image (PNG; any format the backend can read is accepted).
        drags: what is asked to move; may be empty, then nothing is asked to move.
        model: name of an installed model or path of a model folder.
        frames: number of frames of the clip, the still included, 2 to 256.
        steps: sampling steps, 1 to 1000.
        guidance: classifier-free guidance at the first and at the last frame, rising linearly between;
            1 turns it off.
        preset: "draft", "normal" or "final": steps and guidance interval where they are not given; see `presets`.
        guidance_interval: part of the sampling, from noise 0 to clip 1, in which guidance is applied.
        feature_reuse: run the UNet's lower levels at every so manieth step only, 1 to 5; 1 is exact.
        seed: noise seed; the same request with the same seed repeats bit for bit on the same device.
        fit: how a still of another aspect meets the model's size: "letterbox" pads it whole with the
            background, "crop" cuts the middle out.
        background: RGB in [0, 1] put behind transparent stills and beside letterboxed ones.

    Raises:
        InputError: a field of the wrong type or out of range.
    """

    still_png: bytes
    drags: tuple[Drag, ...] = ()
    model: str = "tiny"
    frames: int | None = None
    steps: int | None = None
    guidance: tuple[float, float] | None = None
    preset: str | None = None
    guidance_interval: tuple[float, float] | None = None
    feature_reuse: int | None = None
    seed: int = 0
    fit: str = "letterbox"
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if not self.still_png:
            raise InputError("the still is empty")
        if not isinstance(self.model, str) or not self.model:
            raise InputError(f"model must be a name or a folder, not {self.model!r}")
        if self.frames is not None:
            _check_integer(self.frames, "frames", 2, MAX_FRAMES)
        if self.steps is not None:
            _check_integer(self.steps, "steps", 1, MAX_STEPS)
        _check_integer(self.seed, "seed", 0, MAX_SEED)
        if self.guidance is not None:
            _check_tuple(self.guidance, "guidance", 2, 1.0, 100.0)
        if self.preset is not None and self.preset not in PRESETS:
            raise InputError(f"preset must be one of {', '.join(PRESETS)}, not {self.preset!r}")
        if self.guidance_interval is not None:
            _check_tuple(self.guidance_interval, "guidance_interval", 2, 0.0, 1.0)
            if self.guidance_interval[0] > self.guidance_interval[1]:
                first, last = self.guidance_interval
                raise InputError(f"guidance_interval ends before it begins: {first:g} to {last:g}")
        if self.feature_reuse is not None:
            _check_integer(self.feature_reuse, "feature_reuse", 1, MAX_REUSE)
        if self.fit not in FITS:
            raise InputError(f"fit must be one of {', '.join(FITS)}, not {self.fit!r}")
        _check_tuple(self.background, "background", 3, 0.0, 1.0)

    def to_json(self) -> dict[str, Any]:
        """The wire form: JSON values only, the still in base64."""
        fields = asdict(self)
        fields["still_png"] = base64.b64encode(self.still_png).decode("ascii")
        fields["drags"] = [drag.to_json() for drag in self.drags]
        return {"version": REQUEST_VERSION, **fields}

    @classmethod
    def from_json(cls, value: object) -> PreviewRequest:
        """Read the wire form. Raises `InputError` on anything that is not a valid request."""
        fields = dict(_object(value, "request"))
        version = fields.pop("version", None)
        if version != REQUEST_VERSION:
            raise InputError(f"request version is {version!r}; this backend reads version {REQUEST_VERSION}")
        _refuse_unknown(fields, set(cls.__dataclass_fields__), "request")
        encoded = fields.get("still_png")
        if not isinstance(encoded, str):
            raise InputError(f'request: "still_png" must be base64 text, not {_kind(encoded)}')
        try:
            fields["still_png"] = base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise InputError(f'request: "still_png" is not base64: {error}') from error
        drags = fields.get("drags", [])
        if not isinstance(drags, list):
            raise InputError(f'request: "drags" must be a list, not {_kind(drags)}')
        fields["drags"] = tuple(Drag.from_json(entry, f"drag {i}") for i, entry in enumerate(drags))
        for name in ("guidance", "guidance_interval", "background"):
            if isinstance(fields.get(name), list):
                fields[name] = tuple(fields[name])
        return cls(**fields)


@dataclass(frozen=True)
class PreviewResult:
    """What made a preview: enough to repeat it bit for bit on the same device. Written as `preview.json`.

    Attributes:
        model: the model's name.
        model_hash: SHA-256 over the model folder's files.
        drags: as asked, in the still's normalised coordinates.
        frames, steps, guidance, guidance_interval, feature_reuse, seed, fit, background: as used, defaults filled in.
        size: width and height in pixels of the frames delivered.
        model_size: width and height in pixels the model worked at.
        still_sha256: SHA-256 of the encoded still.
        device: device and dtype the model ran on, e.g. "cpu float32".
        threads: CPU threads torch used.
        memory: the memory mode it was made in; empty for models that have none.
        together: how many previews were made at once, this one among them; the timings are of all.
        timings: seconds by stage.
        versions: versions of this program and of the libraries that shape the numbers.
        notes: things the user should know, e.g. that there were no drags.
        reached: where the point at each drag's start is in each frame, as (x, y) in the still's normalised
            coordinates, the start first; one path a drag, or none at all from models that do not tell.
    """

    model: str
    model_hash: str
    drags: tuple[Drag, ...]
    frames: int
    steps: int
    guidance: tuple[float, float]
    seed: int
    fit: str
    background: tuple[float, float, float]
    size: tuple[int, int]
    model_size: tuple[int, int]
    still_sha256: str
    device: str
    threads: int
    guidance_interval: tuple[float, float] = WHOLE
    feature_reuse: int = 1
    memory: str = ""
    together: int = 1
    timings: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    reached: tuple[tuple[tuple[float, float], ...], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The content of `preview.json`."""
        return {**asdict(self), "drags": [drag.to_json() for drag in self.drags]}

    @classmethod
    def from_json(cls, value: object) -> PreviewResult:
        """Read what `to_json` wrote."""
        fields = dict(_object(value, "preview result"))
        _refuse_unknown(fields, set(cls.__dataclass_fields__), "preview result")
        fields["drags"] = tuple(Drag.from_json(entry) for entry in fields["drags"])
        for name in ("guidance", "background", "size", "model_size", "notes"):
            fields[name] = tuple(fields[name])
        fields["guidance_interval"] = tuple(fields.get("guidance_interval", WHOLE))  # older ones lack it
        fields["reached"] = tuple(tuple((x, y) for x, y in path) for path in fields.get("reached", ()))
        return cls(**fields)


def _rest_to_rest_velocities(times: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Velocity at each point, `[P, 2]`: zero at both ends, the central difference between."""
    velocities = np.zeros_like(places)
    velocities[1:-1] = (places[2:] - places[:-2]) / (times[2:] - times[:-2])[:, None]
    return velocities


def _hermite(
    places: NDArray[np.float64],
    velocities: NDArray[np.float64],
    segment: NDArray[np.intp],
    length: NDArray[np.float64],
    u: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Cubic Hermite interpolation; with two points at rest it is the smoothstep 3u² - 2u³."""
    u2, u3 = u * u, u * u * u
    return (
        places[segment] * (2 * u3 - 3 * u2 + 1)
        + velocities[segment] * length * (u3 - 2 * u2 + u)
        + places[segment + 1] * (3 * u2 - 2 * u3)
        + velocities[segment + 1] * length * (u3 - u2)
    )


def _point(value: object, where: str) -> DragPoint:
    entry = _object(value, where)
    _refuse_unknown(entry, {"t", "x", "y"}, where)
    missing = [axis for axis in ("t", "x", "y") if axis not in entry]
    if missing:
        raise InputError(f"{where}: {', '.join(missing)} missing")
    for axis in ("t", "x", "y"):
        _check_number(entry[axis], f"{where}: {axis}")
    return DragPoint(float(entry["t"]), float(entry["x"]), float(entry["y"]))


def _object(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: must be an object, not {_kind(value)}")
    return value


def _refuse_unknown(entry: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(entry) - known)
    if unknown:
        raise InputError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")


def _check_number(value: object, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{what} must be a number, not {_kind(value)}")
    try:
        finite = math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        raise InputError(f"{what} is larger than any number that can be reckoned with") from None
    if not finite:
        raise InputError(f"{what} is {value}; it must be finite")


def _check_integer(value: object, what: str, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{what} must be a whole number, not {_kind(value)}")
    if not low <= value <= high:
        raise InputError(f"{what} = {value} lies outside {low} to {high}")


def _check_tuple(value: object, what: str, length: int, low: float, high: float) -> None:
    if not isinstance(value, tuple) or len(value) != length:
        raise InputError(f"{what} must be {length} numbers, not {value!r}")
    for number in value:
        _check_number(number, what)
        if not low <= number <= high:
            raise InputError(f"{what} = {number:g} lies outside {low:g} to {high:g}")


def _kind(value: object) -> str:
    names = {type(None): "nothing", bool: "true/false", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), f"{type(value).__name__} {value!r}")

# SPDX-License-Identifier: GPL-3.0-or-later
"""From jobs to the previews they stand for: every variation, its name, and what decides its content.

Laying out a plan reads no pictures, so that each task of a farm can do it for itself; `prepare` reads what one preview
needs, and gives the digest by which a later run knows whether anything has changed.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from .. import media, registry
from ..errors import InputError, PuppetMasterError
from ..protocol import Drag, PreviewRequest, drags_from_json, drags_to_json
from ..still import check_scene
from .entries import JobEntry
from .job_file import Job
from .naming import check_template, fill, sweep_text
from .track_files import read_drags

FORMAT = 1  # another one makes everything anew
SCENE_DRAGS, INLINE_DRAGS, NO_DRAGS = "scene", "inline", "none"
SAMPLE = 64 * 1024  # bytes at each end of a model's file that its fingerprint reads


@dataclass(frozen=True)
class Variation:
    """One preview of a batch, laid out but not looked into.

    Attributes:
        index: its place in the plan, from 0; also that of a job which cannot be read.
        job: what it belongs to.
        name: where its files go, below the batch's folder and without an ending; empty where that is not known.
        choices: `camera`, `frame`, `drags`, `model`, `seed`, `guidance`, `steps`: one value of each.
        drags: its drag file or drags; None: the scene's own, or none.
        fault: why it cannot be made.
    """

    index: int
    job: Job
    name: str = ""
    choices: Mapping[str, Any] = field(default_factory=dict)
    drags: Path | Mapping[str, Any] | None = None
    fault: str | None = None

    @property
    def source(self) -> str:
        """The still or scene, as a path."""
        entry = self.job.entry
        return str(entry.scene or entry.still) if entry else ""

    @property
    def shot(self) -> str:
        """What it is filed under."""
        entry = self.job.entry
        return (entry.shot or Path(self.source).stem) if entry else self.job.name

    def described(self) -> dict[str, Any]:
        """What a ledger line says of it."""
        choices = {name: value for name, value in self.choices.items() if name != "sweep"}
        return {
            "index": self.index, "name": self.name or self.job.name, "job": self.job.number, "where": self.job.where,
            "shot": self.shot, "source": self.source, **choices,
        }  # fmt: skip


@dataclass(frozen=True)
class Prepared:
    """A preview that can be made.

    Attributes:
        variation: which.
        digest: SHA-256 over all that decides its files.
        still: what the worker in Blender is told, see `addon/still_maker`; None where there is a picture.
        task: what the worker that makes it is told, see `maker.work`.
    """

    variation: Variation
    digest: str
    still: dict[str, Any] | None
    task: dict[str, Any]

    @property
    def shape(self) -> tuple[Any, ...]:
        """Previews of one shape can share the model's forward passes."""
        return tuple(self.task[name] for name in ("model", "frames", "steps", "preset", "feature_reuse"))


def lay_out(jobs: Sequence[Job], template: str) -> list[Variation]:
    """Every preview of a batch, in the jobs' order; names are told apart whatever a disk thinks of capitals.

    Raises:
        InputError: the template names something there is not.
    """
    check_template(template)
    taken: dict[str, Variation] = {}
    laid_out: list[Variation] = []
    for job in jobs:
        for variation in _variations(job, template, len(laid_out)):
            first = taken.setdefault(variation.name.casefold(), variation) if variation.name else variation
            if first is not variation:
                fault = (
                    f"its files would be called {variation.name!r}, as those of {first.job.where}; "
                    "give it another name, or tell them apart by --name"
                )
                variation = replace(variation, fault=fault)
            laid_out.append(variation)
    return laid_out


def _variations(job: Job, template: str, index: int) -> Iterator[Variation]:
    entry = job.entry
    if entry is None:
        yield Variation(index, job, fault=job.fault)
        return
    axes: dict[str, Sequence[Any]] = {
        "camera": entry.camera or ("",), "frame": entry.frame or (None,), "drags": entry.drags or (None,),
        "model": entry.model, "guidance": entry.guidance or (None,), "steps": entry.steps or (None,),
        "seed": entry.seed,
    }  # fmt: skip
    swept = {name for name, values in axes.items() if len(values) > 1}
    for place, values in enumerate(itertools.product(*axes.values())):
        chosen = dict(zip(axes, values, strict=True))
        choices = {**chosen, "drags": _drags_name(entry, chosen["drags"])}
        variation = Variation(index + place, job, choices=choices, drags=chosen["drags"])
        try:
            yield replace(variation, name=fill(template, _name_values(variation, swept)))
        except InputError as error:
            yield replace(variation, fault=str(error))


def _drags_name(entry: JobEntry, drags: Path | Mapping[str, Any] | None) -> str:
    if drags is None:
        return SCENE_DRAGS if entry.scene else NO_DRAGS
    if isinstance(drags, Path):
        return drags.stem
    assert entry.drags is not None
    inline = [given for given in entry.drags if not isinstance(given, Path)]
    return INLINE_DRAGS if len(inline) == 1 else f"{INLINE_DRAGS}{inline.index(drags)}"  # type: ignore[arg-type]


def _name_values(variation: Variation, swept: set[str]) -> dict[str, Any]:
    entry, choices = variation.job.entry, variation.choices
    assert entry is not None
    guidance = choices["guidance"]
    shown = {
        **choices,
        "frame": "" if choices["frame"] is None else choices["frame"],
        "steps": "" if choices["steps"] is None else choices["steps"],
        "guidance": "" if guidance is None else "-".join(f"{end:g}" for end in dict.fromkeys(guidance)),
        "model": Path(choices["model"]).name,
    }
    stem = Path(variation.source).stem
    known = {"name": entry.name or stem, "shot": variation.shot, "source": stem}
    return {
        **shown, **known, "job": variation.job.number, "index": variation.index, "sweep": sweep_text(shown, swept),
    }  # fmt: skip


def prepare(variation: Variation) -> Prepared:
    """Read what decides a preview.

    Raises:
        PuppetMasterError: it cannot be made; says why.
    """
    entry = variation.job.entry
    if variation.fault or entry is None:
        raise InputError(variation.fault or "the job cannot be read")
    choices = variation.choices
    still, picture = _still(entry, choices)
    drags = _drags(variation, entry)
    folder = registry.find_model(choices["model"])
    registry.read_info(folder).check_drags(len(drags or ()))
    PreviewRequest(  # what is wrong with the choices is told before anything starts
        b"read later", tuple(drags or ()), choices["model"], entry.frames, choices["steps"], choices["guidance"],
        entry.preset, entry.guidance_interval, entry.feature_reuse, choices["seed"], entry.fit, entry.background,
    )  # fmt: skip
    settings = {
        "drags": None if drags is None else drags_to_json(drags), "frames": entry.frames, "steps": choices["steps"],
        "guidance": choices["guidance"], "preset": entry.preset, "guidance_interval": entry.guidance_interval,
        "feature_reuse": entry.feature_reuse, "seed": choices["seed"], "fit": entry.fit,
        "background": entry.background, "outputs": sorted(entry.outputs), "fps": entry.fps,
    }  # fmt: skip
    decides = {"format": FORMAT, "still": picture, "model": fingerprint(folder), **settings}
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    task = {
        **settings, "key": variation.name, "digest": digest, "model": choices["model"],
        "still": None if entry.still is None else str(entry.still.absolute()), "still_key": still and still["key"],
    }  # fmt: skip
    return Prepared(variation, digest, still, task)


def _still(entry: JobEntry, choices: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """What Blender is told, if it is needed, and a digest of what the still will show."""
    if entry.still:
        return None, _file_digest(entry.still, "still")
    assert entry.scene is not None
    check_scene(entry.scene)
    shown = {"camera": choices["camera"], "frame": choices["frame"], "size": entry.size}
    digest = hashlib.sha256(
        json.dumps([_file_digest(entry.scene, "scene"), shown], sort_keys=True).encode()
    ).hexdigest()
    return {"key": digest[:32], "scene": str(entry.scene.absolute()), **shown}, digest


def _drags(variation: Variation, entry: JobEntry) -> list[Drag] | None:
    """The drags given; None: the scene's own."""
    given = variation.drags
    if given is None:
        return None if entry.scene else []
    if isinstance(given, Path):
        return read_drags(given, entry.tracks_size or entry.size or _size_of(entry.still), entry.visibility)
    return drags_from_json(given, "drags")


def _size_of(still: Path | None) -> tuple[int, int] | None:
    if still is None:
        return None
    with Image.open(io.BytesIO(media.read_still(still))) as image:
        return image.size


def _file_digest(path: Path, what: str) -> str:
    try:
        status = path.stat()
        return _digest_of(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise InputError(f"cannot read the {what} {path}: {error.strerror or error}") from error


@lru_cache(maxsize=4096)
def _digest_of(path: Path, size: int, changed_ns: int) -> str:
    """SHA-256 of a file, read once while it stays the same."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@lru_cache(maxsize=64)
def fingerprint(folder: Path) -> str:
    """What tells a model's folder from another without reading gigabytes: its files' sizes, and both their ends.

    The sidecar of each preview has the hash over the whole folder.
    """
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix not in (".json", ".safetensors") or not path.is_file():
            continue
        size = path.stat().st_size
        total.update(f"{path.relative_to(folder).as_posix()} {size}\n".encode())
        with path.open("rb") as stream:
            total.update(stream.read(SAMPLE))
            stream.seek(max(0, size - SAMPLE))
            total.update(stream.read(SAMPLE))
    return total.hexdigest()


def share(variations: Sequence[Variation], first: int, end: int) -> list[Variation]:
    """Those with index `first` to `end` - 1. Raises `InputError` if the plan has no such previews."""
    if not 0 <= first < end or first >= len(variations):
        raise InputError(f"--range {first}:{end} names none of the batch's {len(variations)} previews")
    return list(variations[first:end])


def task_range(task: int, tasks: int, count: int) -> tuple[int, int]:
    """First and end of task `task` (from 1) of `tasks`, of even sizes; an empty range where there are more tasks."""
    return (task - 1) * count // tasks, task * count // tasks


def largest_model(variations: Sequence[Variation]) -> int:
    """Bytes of the largest model that previews ask for; models that are not there count for nothing."""
    found = 0
    for model in {made.choices["model"] for made in variations if made.choices}:
        with suppress(PuppetMasterError):
            found = max(found, sum(path.stat().st_size for path in registry.find_model(model).rglob("*.safetensors")))
    return found

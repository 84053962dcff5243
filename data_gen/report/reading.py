# SPDX-License-Identifier: GPL-3.0-or-later
"""A dataset folder as the report sees it: the ledger's lines, the settings, and where the film strips lie.

A run that is still going is read as far as it got: a torn last line of the ledger or a shard that cannot be
read is noted, never a reason to give up.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...backend.clips import FRAMES, META, POINTS, decode_arrays
from ...backend.errors import InputError
from ...backend.png import SIGNATURE
from ...backend.shards import CLIPS, REJECTED, Place, index_tar

LEDGER, SETTINGS, WORK = "ledger.jsonl", "dataset.json", ".work"

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Strip:
    """Where one film strip lies; its contents are read when they are shown.

    Attributes:
        name: the sample's name.
        shard: the tar that holds it.
        places: its members by their endings.
    """

    name: str
    shard: Path
    places: Mapping[str, Place]

    @property
    def size(self) -> int:
        """Bytes of the film strip's PNG."""
        return self.places[FRAMES].size


@dataclass(frozen=True)
class Film:
    """A film strip as stored and what is drawn over it.

    Attributes:
        png: the strip as one PNG, frames stacked downwards.
        frames: how many.
        width: of a frame, pixels.
        height: of a frame, pixels.
        drags: float `[K, N, 2]`, normalised; none for rejected animations.
        meta: the sample's metadata.
    """

    png: bytes
    frames: int
    width: int
    height: int
    drags: Any
    meta: Mapping[str, Any]


@dataclass
class Dataset:
    """What a dataset folder holds.

    Attributes:
        folder: the dataset.
        assets: the last ledger line of each asset.
        animations: the last ledger line of each animation.
        settings: `dataset.json`; empty if there is none.
        clips: the accepted clips' strips, in the shards' order.
        rejected: the rejected animations' strips.
        notes: what could not be read, one line each.
        running: a run is going on here, or was interrupted.
    """

    folder: Path
    assets: list[Line] = field(default_factory=list)
    animations: list[Line] = field(default_factory=list)
    settings: Mapping[str, Any] = field(default_factory=dict)
    clips: list[Strip] = field(default_factory=list)
    rejected: list[Strip] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    running: bool = False

    @property
    def order(self) -> Mapping[str, Any]:
        """The settings that shaped the data, by option."""
        inner = self.settings.get("settings")
        return inner if isinstance(inner, dict) else self.settings


def read_dataset(folder: Path) -> Dataset:
    """Read a dataset folder, finished or not.

    Raises:
        InputError: no such folder, or nothing in it that `puppet-master data` writes.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the --out of a `puppet-master data render` run")
    known = (LEDGER, SETTINGS, WORK)
    if not any((folder / name).exists() for name in known) and not any(folder.glob(f"{CLIPS}-*.tar")):
        raise InputError(f"{folder} holds no dataset: no {LEDGER}, no shards; give the --out of a run")
    dataset = Dataset(folder, running=(folder / WORK).exists())
    dataset.settings = _settings(folder / SETTINGS, dataset.notes)
    lines = [*_lines(folder / LEDGER, dataset.notes), *_unit_lines(folder / WORK)]
    _sort_lines(lines, dataset)
    for stream, strips in ((CLIPS, dataset.clips), (REJECTED, dataset.rejected)):
        for shard in sorted(folder.glob(f"{stream}-*.tar")):
            strips.extend(_strips(shard, dataset.notes))
        strips.extend(_unpacked(folder / WORK / stream, dataset, {strip.name for strip in strips}))
    return dataset


def read_film(strip: Strip) -> Film:
    """Read one film strip with its drags and metadata.

    Raises:
        InputError: it is damaged.
    """
    wanted = {ending: place for ending, place in strip.places.items() if ending in (FRAMES, POINTS, META)}
    try:
        with strip.shard.open("rb") as stream:
            data = {}
            for ending, place in wanted.items():
                stream.seek(place.start)
                data[ending] = stream.read(place.size)
        width, rows = png_size(data[FRAMES])
        meta = json.loads(data[META]) if META in data else {}
        drags = decode_arrays(data[POINTS])["drags"] if POINTS in data else None
        frames = _frame_count(meta, drags, width, rows)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"film strip {strip.name} in {strip.shard.name} cannot be read: {error}") from error
    return Film(data[FRAMES], frames, width, rows // frames, drags, meta)


def png_size(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG from its header.

    Raises:
        ValueError: no PNG.
    """
    if not data.startswith(SIGNATURE) or data[12:16] != b"IHDR" or len(data) < 24:
        raise ValueError("no PNG")
    return struct.unpack(">II", data[16:24])


def _frame_count(meta: Mapping[str, Any], drags: Any, width: int, rows: int) -> int:
    """Frames of a strip: as the points or the metadata say, else as many squares as fit."""
    stated = drags.shape[1] if drags is not None else meta.get("frames")
    count = stated if isinstance(stated, int) and stated > 0 else max(1, round(rows / width))
    if rows % count:
        raise ValueError(f"{rows} rows do not hold {count} frames")
    return count


def _settings(path: Path, notes: list[str]) -> Mapping[str, Any]:
    try:
        loaded = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        notes.append(f"{path.name} cannot be read: {error}")
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _lines(path: Path, notes: list[str]) -> Iterator[Line]:
    """The ledger's lines; what is no JSON object is noted and passed over."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    with stream:
        for number, raw in enumerate(stream, start=1):
            try:
                line = json.loads(raw)
            except ValueError:
                fault = "damaged" if raw.endswith(b"\n") else "still being written"
                notes.append(f"line {number} of {path.name} is {fault}; left out")
                continue
            if isinstance(line, dict) and line.get("asset"):
                yield line


def _unit_lines(work: Path) -> Iterator[Line]:
    """The lines of units that are done and not yet in the ledger."""
    for path in sorted(work.glob("units/*.json")):
        try:
            lines = json.loads(path.read_bytes())
        except (OSError, ValueError):  # taken up by the run in this moment
            continue
        yield from (line for line in lines if isinstance(line, dict) and line.get("asset"))


def _unpacked(folder: Path, dataset: Dataset, packed: set[str]) -> Iterator[Strip]:
    """Film strips of units that are done, which wait for their shard to be full."""
    for asset in sorted(str(line["asset"]) for line in dataset.assets):
        for path in sorted((folder / asset).glob("[!.]*.tar")):
            if path.stem not in packed:
                yield from _strips(path, dataset.notes)


def _sort_lines(lines: Iterable[Line], dataset: Dataset) -> None:
    """Keep the last line of each asset and each animation: a rerun may say something newer."""
    assets: dict[str, Line] = {}
    animations: dict[tuple[str, Any], Line] = {}
    for line in lines:
        if line.get("animation") is None and line.get("index") is None:
            assets[str(line["asset"])] = line
        else:
            animations[str(line["asset"]), line.get("index")] = line
    dataset.assets, dataset.animations = list(assets.values()), list(animations.values())


def _strips(shard: Path, notes: list[str]) -> list[Strip]:
    try:
        samples = index_tar(shard)
    except InputError as error:
        notes.append(str(error))
        return []
    return [Strip(name, shard, places) for name, places in samples.items() if FRAMES in places]

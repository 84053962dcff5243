# SPDX-License-Identifier: GPL-3.0-or-later
"""Exporting a dataset: each clip, or each part of many, is there whole or not at all; what is there is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...backend.errors import InputError
from ...backend.shards import ShardFolder
from . import tapvid
from .formats import COTRACKER, FRAMES, FolderFormat, Options
from .pointodyssey import POINTODYSSEY
from .writing import STAGING, whole_folder, write_whole, writing_to

TAPVID = "tapvid"
FOLDERS: dict[str, FolderFormat] = {"pointodyssey": POINTODYSSEY, "cotracker": COTRACKER, "frames": FRAMES}
FORMATS = (TAPVID, *FOLDERS)
SETTINGS = "export.json"


@dataclass
class Summary:
    """What an export did.

    Attributes:
        clips: in the dataset.
        written: clips written now.
        kept: clips that were there already.
        left_out: clips without a point that is ever seen, which no reader of the format could use.
        lacks: what the format has room for and clips do not hold -> how many clips.
    """

    clips: int
    written: int = 0
    kept: int = 0
    left_out: list[str] = field(default_factory=list)
    lacks: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def export_dataset(
    dataset: Path,
    out: Path,
    format: str,
    options: Options,
    workers: int = 2,
    on_clip: Callable[[int], None] | None = None,
) -> Summary:
    """Export the clips of a dataset.

    Args:
        dataset: folder with `clips-*.tar`.
        out: folder to export into; made if it is not there. Another export of the same settings is continued.
        format: one of `FORMATS`.
        options: how.
        workers: threads.
        on_clip: told of every so many clips that are done.

    Raises:
        InputError: no dataset, a damaged clip, an unknown format, or `out` holds an export of other settings.
        OutputError: nothing can be written there.
    """
    if format not in FORMATS:
        raise InputError(f"no format is called {format!r}; there are {', '.join(FORMATS)}")
    if options.background.transparent and format != "frames":
        raise InputError(f"{format} has no transparent frames; give another --background")
    clips = ShardFolder(dataset)
    _claim(out, _settings(format, options, clips))
    report = on_clip or (lambda count: None)
    try:
        if format == TAPVID:
            return _export_parts(clips, out, options, report)
        return _export_folders(clips, out, FOLDERS[format], options, workers, report)
    finally:
        shutil.rmtree(out / STAGING, ignore_errors=True)


def _settings(format: str, options: Options, clips: ShardFolder) -> dict[str, Any]:
    settings = {"format": format, "background": options.background.text}
    if options.background.text == "random":
        settings["seed"] = options.background.seed
    if format == TAPVID:  # its parts are numbered: another number of clips gives other files
        settings |= {"per_file": options.per_file, "clips": len(clips)}
    if format == "pointodyssey":
        settings |= {"quality": options.quality}
    return settings


def _claim(out: Path, settings: dict[str, Any]) -> None:
    """Make the folder, and note in it what it is for; refuse one that is for something else."""
    with writing_to(out):
        out.mkdir(parents=True, exist_ok=True)
    try:
        known = json.loads((out / SETTINGS).read_bytes())
    except FileNotFoundError:
        write_whole(out, SETTINGS, json.dumps(settings, indent=2).encode())
        return
    except (OSError, ValueError) as error:
        raise InputError(f"{out / SETTINGS} cannot be read: {error}; choose another --out") from error
    for key in {**known, **settings}:
        if known.get(key) != settings.get(key):
            raise InputError(
                f"{out} holds an export with {key} {known.get(key)!r}, not {settings.get(key)!r}; choose another --out"
            )


def _export_folders(
    clips: ShardFolder, out: Path, layout: FolderFormat, options: Options, workers: int, report: Callable[[int], None]
) -> Summary:
    summary = Summary(len(clips))
    todo = [i for i, name in enumerate(clips.names) if not (out / layout.place(name, options)).exists()]
    summary.kept = len(clips) - len(todo)
    report(summary.kept)

    def export(index: int) -> list[str]:
        name = clips.names[index]
        clip = clips.load(index)
        with whole_folder(out, layout.place(name, options)) as folder:
            return layout.write(clip, name, folder, options)

    for lacks in _in_threads(export, todo, workers):
        summary.written += 1
        for lack in lacks:
            summary.lacks[lack] = summary.lacks.get(lack, 0) + 1
        report(1)
    return summary


def _in_threads(work: Callable[[int], Any], todo: list[int], workers: int) -> Iterator[Any]:
    """Results in the order of `todo`; after a failure nothing further is begun."""
    with ThreadPoolExecutor(max_workers=workers) as pool:
        try:
            yield from pool.map(work, todo)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _export_parts(clips: ShardFolder, out: Path, options: Options, report: Callable[[int], None]) -> Summary:
    summary = Summary(len(clips))
    for name, indices in tapvid.parts(clips.names, options):
        if (out / name).exists():
            summary.kept += len(indices)
            report(len(indices))
            continue
        videos = {}
        for index in indices:
            clip_name = clips.names[index]
            video = tapvid.entry(clips.load(index), clip_name, options)
            if video is None:
                summary.left_out.append(clip_name)
            else:
                videos[clip_name] = video
            report(1)
        write_whole(out, name, tapvid.encode(videos))
        summary.written += len(videos)
    return summary

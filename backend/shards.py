# SPDX-License-Identifier: GPL-3.0-or-later
"""Shards: WebDataset tars of clips, written whole or not at all, read at any place.

In a WebDataset a sample is a run of members that share the part of their name before the first dot.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .clips import META, Clip, decode_clip
from .errors import InputError, OutputError

CLIPS, REJECTED = "clips", "rejected"  # what a dataset folder's shards are called before the number
PARTIAL = ".partial"

Sample = tuple[str, Mapping[str, bytes]]  # a name without dots; contents by ending ("frames.png")


def shard_name(stream: str, number: int) -> str:
    """The file name of a stream's shard: `clips-000000.tar`."""
    return f"{stream}-{number:06d}.tar"


def write_tar(path: Path, samples: Iterable[Sample]) -> int:
    """Write a tar of samples: whole or not at all. Equal samples give equal bytes.

    Returns:
        how many samples it holds.

    Raises:
        OutputError: it cannot be written.
        ValueError: a name holds a dot or a slash, so readers would not find the sample.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    count = 0
    try:
        with partial.open("wb") as stream:
            with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                for name, members in samples:
                    _add(tar, name, members)
                    count += 1
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"cannot write {path}: {reason}; make room or choose another --out") from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def _add(tar: tarfile.TarFile, name: str, members: Mapping[str, bytes]) -> None:
    if not name or "." in name or "/" in name:
        raise ValueError(f"{name!r} cannot name a sample: no dots, no slashes")
    for ending, data in members.items():
        info = tarfile.TarInfo(f"{name}.{ending}")  # owner 0, time 0: nothing of the machine or the moment
        info.size, info.mode = len(data), 0o644
        tar.addfile(info, io.BytesIO(data))


def read_tar(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The samples of a tar, one after another.

    Raises:
        InputError: it is missing, truncated or no tar.
    """
    for name, places in index_tar(path).items():
        yield name, _read(path, places)


@dataclass(frozen=True)
class Place:
    """Where a member's contents lie in its tar, in bytes."""

    start: int
    size: int


def index_tar(path: Path) -> dict[str, dict[str, Place]]:
    """Where each sample's members lie: sample name -> ending -> place; reads headers only.

    Raises:
        InputError: it is missing, truncated or no tar.
    """
    samples: dict[str, dict[str, Place]] = {}
    try:
        with tarfile.open(path, mode="r:") as tar:
            for info in tar:
                if info.isfile():
                    name, _, ending = info.name.partition(".")
                    samples.setdefault(name, {})[ending] = Place(info.offset_data, info.size)
        if samples and path.stat().st_size < max(p.start + p.size for s in samples.values() for p in s.values()):
            raise tarfile.ReadError("it ends before its last member does")
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"shard {path} cannot be read: {error}; render it again") from error
    return samples


def _read(path: Path, places: Mapping[str, Place], only: str = "") -> dict[str, bytes]:
    members = {}
    try:
        with path.open("rb") as stream:
            for ending, place in places.items():
                if only and ending != only:
                    continue
                stream.seek(place.start)
                members[ending] = stream.read(place.size)
    except OSError as error:
        raise InputError(f"shard {path} cannot be read: {error.strerror or error}") from error
    return members


class ShardFolder:
    """The clips in a folder's shards, in order, each readable without the others.

    Attributes:
        folder: where the shards are.
        names: the clips' names.
    """

    def __init__(self, folder: Path, stream: str = CLIPS) -> None:
        """Find the shards and index them; reads no contents.

        Raises:
            InputError: no such folder, no shards in it, or a damaged one.
        """
        self.folder = folder
        shards = sorted(folder.glob(f"{stream}-*.tar"))
        if not shards:
            raise InputError(f"no shards ({stream}-*.tar) in {folder}; make some with `puppet-master data render`")
        self._places = [(shard, name, places) for shard in shards for name, places in index_tar(shard).items()]
        self.names = [name for _, name, _ in self._places]

    def __len__(self) -> int:
        return len(self._places)

    def members(self, index: int) -> dict[str, bytes]:
        """A sample's members as they are stored."""
        shard, _, places = self._places[index]
        return _read(shard, places)

    def meta(self, index: int) -> dict[str, Any]:
        """A clip's metadata alone.

        Raises:
            InputError: it has none, or they are damaged.
        """
        shard, name, places = self._places[index]
        try:
            return json.loads(_read(shard, places, META)[META])
        except (KeyError, ValueError) as error:
            raise InputError(f"clip {name} in {shard} has no readable {META}: {error}") from error

    def load(self, index: int) -> Clip:
        """Read and check a clip.

        Raises:
            InputError: it is damaged; the message names it.
        """
        shard, name, places = self._places[index]
        return decode_clip(f"{name} in {shard}", _read(shard, places))

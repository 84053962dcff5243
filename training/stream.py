# SPDX-License-Identifier: GPL-3.0-or-later
"""An endless, shuffled, reproducible stream of samples over shards, read through webdataset.

Samples are numbered from 0, and sample number i is the same for every number of processes and workers, in a run that
was stopped as in one that was not. Two things make it so:

- The order comes from *lanes*. In each epoch the shards, shuffled, are dealt to the lanes; each lane reads its own
  one after the other through a shuffle buffer, both seeded by (seed, epoch, lane). Sample i is the next one of lane
  i mod lanes. Processes and workers share out the lanes. Where there are fewer shards than lanes, several lanes read
  one shard and take every n-th of its samples each. In an epoch each sample of the shards comes once.
- What is random about a sample comes from a generator seeded by (seed, i).

To go on at sample i the lanes are wound forward: whole epochs by arithmetic, what is left by reading without decoding.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import webdataset as wds
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset

from ..backend.errors import InputError, PuppetMasterError, RequirementError
from ..backend.shards import index_tar

Arrays = dict[str, NDArray[np.generic]]
Batch = dict[str, torch.Tensor]
SampleMaker = Callable[[str, Mapping[str, bytes], np.random.Generator], Arrays]
"""Makes a training sample of a stored one: its name and shard for messages, its members by ending, source of chance."""

END_OF_TAR = 1024  # a tar ends with that many zeros
DAMAGED = (OSError, tarfile.TarError, EOFError, ValueError)


@dataclass(frozen=True)
class Shards:
    """Shards and how many samples each holds."""

    paths: tuple[Path, ...]
    sizes: tuple[int, ...]

    @classmethod
    def find(cls, folders: Sequence[Path], stream: str) -> Shards:
        """The shards of dataset folders; reads headers only.

        Raises:
            InputError: a folder holds none, one is damaged, or all are empty.
        """
        paths: list[Path] = []
        for folder in folders:
            found = sorted(folder.glob(f"{stream}-*.tar"))
            if not found:
                raise InputError(f"no shards ({stream}-*.tar) in {folder}; give a folder that holds some")
            paths += found
        sizes = [_count(path) for path in paths]
        if not any(sizes):
            raise InputError(f"the shards in {', '.join(map(str, folders))} are empty; make them anew")
        full = [(path, size) for path, size in zip(paths, sizes, strict=True) if size]
        return cls(*(tuple(column) for column in zip(*full, strict=True)))

    @property
    def total(self) -> int:
        """How many samples they hold together."""
        return sum(self.sizes)


@dataclass(frozen=True)
class Lane:
    """One of the streams that samples are dealt from; see the module's text."""

    shards: Shards
    number: int
    lanes: int
    seed: int
    buffer: int

    def read(self, skip: int) -> Iterator[dict[str, Any]]:
        """The lane's stored samples from position `skip` on, without end. Raises `InputError` for a damaged shard."""
        for epoch in count():
            size = self.size(epoch)
            if skip >= size:
                skip -= size
                continue
            yield from islice(self._epoch(epoch), skip, None)
            skip = 0

    def size(self, epoch: int) -> int:
        """How many samples the lane reads in an epoch."""
        shards, start, step = self._deal(epoch)
        return sum(len(range(start, self.shards.sizes[index], step)) for index in shards)

    def _deal(self, epoch: int) -> tuple[list[int], int, int]:
        """The shards that are this lane's in an epoch; the first sample it takes of each, and each how-manieth."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.shards.paths)).tolist()
        shared_by = -(-(self.lanes - self.number % len(order)) // len(order))
        if shared_by == 1:
            return order[self.number :: self.lanes], 0, 1
        share = self.number // len(order)
        # By turns: with fewer samples than lanes each lane still gets some.
        return [order[self.number % len(order)]], (share + epoch) % shared_by, shared_by

    def _epoch(self, epoch: int) -> Iterator[dict[str, Any]]:
        shards, start, step = self._deal(epoch)
        seed = int(np.random.default_rng([self.seed, epoch, self.number]).integers(2**31))
        buffer = max(1, self.buffer // self.lanes)
        pipeline = wds.DataPipeline(
            lambda: (sample for index in shards for sample in self._shard(index, start, step)),
            wds.detshuffle(buffer, buffer, seed),
        )
        return iter(pipeline)

    def _shard(self, index: int, start: int, step: int) -> Iterator[dict[str, Any]]:
        path = self.shards.paths[index]
        number = -1
        try:
            for number, stored in enumerate(wds.tarfile_samples(iter([{"url": str(path)}]))):
                if number % step == start:
                    yield stored
        except DAMAGED as error:
            raise InputError(f"shard {path} cannot be read: {_first_line(error)}; make it again") from error
        if number + 1 != self.shards.sizes[index]:
            raise InputError(
                f"shard {path} cannot be read: it held {self.shards.sizes[index]} samples when training began, and "
                f"now {number + 1}; make it again, and begin training anew if it has changed"
            )


@dataclass(frozen=True)
class Stream:
    """The stream of samples.

    Attributes:
        shards: read from.
        make: makes a training sample of a stored one.
        seed: of the order and of what is random about samples.
        lanes, buffer, workers: see `settings.DataSettings`.
    """

    shards: Shards
    make: SampleMaker
    seed: int
    lanes: int
    buffer: int
    workers: int = 0

    def samples(self, first: int, step: int) -> Iterator[Arrays]:
        """Samples number `first`, `first + step`, and so on, without end.

        Raises:
            InputError: a shard or a clip is damaged; names it.
        """
        readers: dict[int, Iterator[dict[str, Any]]] = {}
        for number in count(first, step):
            lane = number % self.lanes
            if lane not in readers:
                done = number // self.lanes
                readers[lane] = Lane(self.shards, lane, self.lanes, self.seed, self.buffer).read(done)
            stored = next(readers[lane])
            where = f"{stored['__key__']} in {stored['__url__']}"
            members = {ending: data for ending, data in stored.items() if not ending.startswith("__")}
            yield self.make(where, members, np.random.default_rng([self.seed, number]))

    def batches(self, rank: int, world: int, seen: int, size: int) -> Iterator[Batch]:
        """Batches of `size` samples for one process of `world`, from sample number `seen` on, without end.

        Raises:
            InputError: a shard or a clip is damaged; names it.
            RequirementError: a worker was killed.
        """
        if self.workers == 0:
            samples = self.samples(seen + rank, world)
            while True:
                yield _stacked(list(islice(samples, size)))
        # Each worker makes an equal part of each batch, or else single samples in turn.
        part = size // self.workers if size % self.workers == 0 else 1
        loader = DataLoader(
            _Reader(self, rank, world, seen, part), batch_size=None, num_workers=self.workers, collate_fn=_as_it_is
        )
        parts = _checked(iter(loader))
        while True:
            made = list(islice(parts, size // part))
            yield {name: torch.cat([piece[name] for piece in made]) for name in made[0]}


class _Reader(IterableDataset):
    """A worker's share: parts of batches, or the error that ended them."""

    def __init__(self, stream: Stream, rank: int, world: int, seen: int, part: int) -> None:
        self.stream, self.rank, self.world, self.seen, self.part = stream, rank, world, seen, part

    def __iter__(self) -> Iterator[Batch | PuppetMasterError]:
        worker = torch.utils.data.get_worker_info().id
        workers = self.stream.workers
        samples = self.stream.samples(self.seen + self.rank + worker * self.world, self.world * workers)
        try:
            while True:
                yield _stacked(list(islice(samples, self.part)))
        except PuppetMasterError as error:
            yield error  # as it is: the loader would wrap it in a traceback


def _count(path: Path) -> int:
    """How many samples a shard holds. Raises `InputError` if it is damaged."""
    found = len(index_tar(path))
    with path.open("rb") as stream:
        stream.seek(-min(END_OF_TAR, path.stat().st_size), 2)
        if any(stream.read()):
            # Cut off between two members, or in a header: readers take that for the end.
            raise InputError(f"shard {path} cannot be read: it is cut off after {found} samples; make it again")
    return found


def _checked(parts: Iterable[Batch | PuppetMasterError]) -> Iterator[Batch]:
    try:
        for part in parts:
            if isinstance(part, PuppetMasterError):
                raise part
            yield part
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise RequirementError(f"{_first_line(error)}; lower data.workers or data.buffer") from error


def _as_it_is(part: Any) -> Any:
    return part


def _stacked(samples: Sequence[Arrays]) -> Batch:
    return {name: torch.from_numpy(np.stack([sample[name] for sample in samples])) for name in samples[0]}


def _first_line(error: BaseException) -> str:
    lines = str(error.args[0] if error.args else error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

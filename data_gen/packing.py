# SPDX-License-Identifier: GPL-3.0-or-later
"""From the units' clips to shards, in the plan's order: the same bytes however the work went.

While a run works, each clip is a small tar of its own in `.work/`, and a unit counts as done when its
`.work/units/KEY.json` is there, which is written last. The packer takes the clips in the plan's order,
whichever unit is done first, and closes a shard when the next clip would not fit. Which clips a shard holds
thus follows from the plan alone. Where a dataset is extended, or a failed asset is tried again, the shards
from the first difference on are taken apart into such small tars and packed anew.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..backend.errors import InputError
from ..backend.shards import CLIPS, PARTIAL, REJECTED, index_tar, read_tar, shard_name, write_tar
from ..backend.workers.ledger_file import plain, replace_file, unwritable
from .ledger import Line, is_asset_line

WORK = ".work"
STREAMS = (CLIPS, REJECTED)
MEGABYTE = 1_000_000
_TAR_BLOCK = 512
_ENDING = re.compile(r"_a\d+(_v\d+)?$")  # what a clip's name has beyond its unit's key


class PartWriter:
    """Takes the clips of one unit as they are made; nothing of it counts before `commit`."""

    def __init__(self, out: Path, key: str) -> None:
        """Begin a unit; what an earlier, unfinished try at it left is removed.

        Raises:
            OutputError: the work folder cannot be made.
        """
        self._work, self._key = out / WORK, key
        self._names: set[tuple[str, str]] = set()
        make_work_folder(out)
        try:
            for stream in STREAMS:
                _discard_folder(self._work / stream / key)
        except OSError as error:
            raise unwritable(self._work, error) from error

    def add_clip(self, name: str, members: Mapping[str, bytes]) -> None:
        """Keep a clip: `KEY_aAAA_vVV`.

        Raises:
            OutputError: it cannot be written.
        """
        self._add(CLIPS, name, members)

    def add_rejected(self, name: str, members: Mapping[str, bytes]) -> None:
        """Keep the film strip of an animation or view that was turned away, for people to look at.

        Raises:
            OutputError: it cannot be written.
        """
        self._add(REJECTED, name, members)

    def _add(self, stream: str, name: str, members: Mapping[str, bytes]) -> None:
        path = part_path(self._work, stream, name)
        if path.parent.name != self._key or name == self._key or (stream, name) in self._names:
            raise ValueError(f"{name} is no new clip of {self._key}; call it {self._key}_aAAA or {self._key}_aAAA_vVV")
        write_part(path, name, members)
        self._names.add((stream, name))


def commit(out: Path, key: str, lines: Sequence[Line], versions: Mapping[str, str]) -> None:
    """A unit is done: from now on it counts, with the clips that its `PartWriter` took.

    Args:
        out: the dataset.
        key: the unit's.
        lines: its ledger lines, its own last.
        versions: of what made it; all units of a dataset are made by the same.

    Raises:
        OutputError: it cannot be written.
        ValueError: not exactly the last line speaks of the asset as a whole.
    """
    if [is_asset_line(line) for line in lines] != [False] * (len(lines) - 1) + [True]:
        raise ValueError(f"{key}: the asset's own line must be the last of its ledger lines, and the only one")
    work = out / WORK
    names = {stream: _part_names(work / stream / key) for stream in STREAMS}
    own = {**lines[-1], **names, "versions": dict(versions)}
    content = json.dumps([plain(line) for line in (*lines[:-1], own)], ensure_ascii=False)
    replace_file(unit_path(work, key), content.encode("utf-8", "replace"))


def _part_names(folder: Path) -> list[str]:
    """A unit's clips by animation and view."""
    names = (path.stem for path in folder.glob("[!.]*.tar"))
    return sorted(names, key=lambda name: [int(number) for number in re.findall(r"\d+", _ENDING.search(name)[0])])


def make_work_folder(out: Path) -> None:
    """Make a dataset's `.work` folder.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        for part in (*STREAMS, "units"):
            (out / WORK / part).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(out, error) from error


def _discard_folder(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def part_path(work: Path, stream: str, name: str) -> Path:
    """Where a clip waits to be packed: in a folder of its unit."""
    key = _ENDING.sub("", name)
    return work / stream / key / f"{name}.tar"


def write_part(path: Path, name: str, members: Mapping[str, bytes]) -> None:
    """Write a small tar of one clip.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    write_tar(path, [(name, members)])


def unit_path(work: Path, key: str) -> Path:
    """The file whose existence says that a unit is done."""
    return work / "units" / f"{key}.json"


def read_unit(out: Path, key: str) -> list[Line] | None:
    """The ledger lines of a unit that is done and not yet in the ledger; None if it is not done."""
    try:
        return json.loads(unit_path(out / WORK, key).read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{unit_path(out / WORK, key)} cannot be read: {error}; remove it") from error


def take_up(out: Path, key: str) -> None:
    """A unit's lines are in the ledger now, or do not count: forget its file."""
    with contextlib.suppress(OSError):  # left over, it does no harm
        unit_path(out / WORK, key).unlink(missing_ok=True)


class Packer:
    """The shards of one stream, from clips in the plan's order."""

    def __init__(self, out: Path, stream: str, limit_mb: float, keys: Sequence[str]) -> None:
        """
        Args:
            out: the dataset.
            stream: `CLIPS` or `REJECTED`.
            limit_mb: size at which a shard is closed.
            keys: the units in the plan's order.

        Raises:
            InputError: a shard there is damaged.
        """
        self._out, self._stream = out, stream
        self._work = out / WORK
        self._limit = limit_mb * MEGABYTE
        self._keys = list(keys)
        self._done: dict[str, Sequence[str]] = {}  # of units that are done: names of their clips
        self._next_unit = 0
        self._open: list[str] = []  # clips of the shard to come
        self._open_bytes = 0
        self._shards = _existing(out, stream)
        self.closed = 0
        self.packed = 0
        self._where = {name: number for number, names in self._shards.items() for name in names}

    def holds(self, name: str) -> bool:
        """Whether a clip is in a shard or waits to be packed."""
        return name in self._where or part_path(self._work, self._stream, name).is_file()

    def settle(self, done: Mapping[str, Sequence[str]]) -> None:
        """Begin, or go on: keep the shards that are as they will be, take the others apart.

        Args:
            done: of every unit that is done already, the names of its clips.

        Raises:
            OutputError: a shard cannot be taken apart.
        """
        self._done = dict(done)
        expected = self._known_names()
        for number in sorted(self._shards):
            names = list(self._shards[number])
            end = self.packed + len(names)
            following = expected[end] if end < len(expected) else None
            if number != self.closed or names != expected[self.packed : end] or not self._is_full(number, following):
                break
            self.closed, self.packed = number + 1, end
        for number in sorted(set(self._shards) - set(range(self.closed))):
            self._take_apart(number)
        self._shards.clear()
        self._where.clear()
        self._skip(self.packed)

    def _known_names(self) -> list[str]:
        """The clips of the plan's first units, up to the first that is not done."""
        names: list[str] = []
        for key in self._keys:
            if key not in self._done:
                return names
            names += self._done[key]
        return names

    def _is_full(self, number: int, following: str | None) -> bool:
        """Whether nothing can be added to a shard any more: the next clip does not fit, or there is none."""
        if following is None:
            return all(key in self._done for key in self._keys)
        return sum(self._shards[number].values()) + self._size(following) > self._limit

    def _take_apart(self, number: int) -> None:
        """Back into small tars; killed half way, the shard is still there to be taken apart again."""
        path = self._out / shard_name(self._stream, number)
        for name, members in read_tar(path):
            write_part(part_path(self._work, self._stream, name), name, members)
        try:
            path.unlink()
        except OSError as error:
            raise unwritable(path, error) from error

    def _skip(self, count: int) -> None:
        """Go past the first `count` clips: they are in shards already."""
        while count and self._next_unit < len(self._keys):
            key = self._keys[self._next_unit]
            taken = min(count, len(self._done[key]))
            count -= taken
            if taken < len(self._done[key]):
                self._done[key] = self._done[key][taken:]
                return
            self._next_unit += 1

    def add(self, key: str, names: Sequence[str]) -> None:
        """A unit is done; close the shards that can be closed now.

        Raises:
            OutputError: a shard cannot be written.
        """
        self._done[key] = list(names)
        self.advance()

    def advance(self) -> None:
        """Take what is next in the plan's order as far as it is done.

        Raises:
            OutputError: a shard cannot be written.
        """
        while self._next_unit < len(self._keys) and self._keys[self._next_unit] in self._done:
            for name in self._done.pop(self._keys[self._next_unit]):
                size = self._size(name)
                if self._open and self._open_bytes + size > self._limit:
                    self._close()
                self._open.append(name)
                self._open_bytes += size
            self._next_unit += 1

    def finish(self) -> None:
        """All units are done: close the last shard, however small.

        Raises:
            OutputError: it cannot be written.
        """
        self.advance()
        if self._next_unit < len(self._keys):
            raise ValueError(f"{self._keys[self._next_unit]} is not done, so the last shard cannot be closed")
        if self._open:
            self._close()

    def _close(self) -> None:
        path = self._out / shard_name(self._stream, self.closed)
        parts = [part_path(self._work, self._stream, name) for name in self._open]
        write_tar(path, (sample for part in parts for sample in read_tar(part)))
        for part in parts:
            with contextlib.suppress(OSError):  # left over, it does no harm
                part.unlink(missing_ok=True)
        self.closed += 1
        self.packed += len(parts)
        self._open, self._open_bytes = [], 0

    def _size(self, name: str) -> int:
        """Bytes that a clip takes in a tar."""
        if name in self._where:
            return self._shards[self._where[name]][name]
        return _sizes(part_path(self._work, self._stream, name))[name]


def _existing(out: Path, stream: str) -> dict[int, dict[str, int]]:
    """The shards there: number -> clip -> its bytes."""
    numbers = sorted(int(path.stem.rpartition("-")[2]) for path in out.glob(f"{stream}-" + "[0-9]" * 6 + ".tar"))
    return {number: _sizes(out / shard_name(stream, number)) for number in numbers}


def _sizes(path: Path) -> dict[str, int]:
    """Of each clip in a tar the bytes it takes, headers included."""
    return {
        name: sum(_TAR_BLOCK + -(-place.size // _TAR_BLOCK) * _TAR_BLOCK for place in places.values())
        for name, places in index_tar(path).items()
    }


@dataclass
class Shards:
    """Both streams of a dataset being packed.

    Attributes:
        out: the dataset.
    """

    out: Path
    limit_mb: float
    keys: Sequence[str]
    _packers: dict[str, Packer] = field(init=False)

    def __post_init__(self) -> None:
        self._packers = {stream: Packer(self.out, stream, self.limit_mb, self.keys) for stream in STREAMS}

    def holds_all(self, own: Line) -> bool:
        """Whether every clip that an asset's own line names is still there."""
        return all(self._packers[stream].holds(name) for stream in STREAMS for name in own.get(stream) or ())

    def settle(self, done: Mapping[str, Line]) -> None:
        """See `Packer.settle`; `done` gives each finished asset's own line."""
        for stream, packer in self._packers.items():
            packer.settle({key: own.get(stream) or () for key, own in done.items()})

    def add(self, own: Line) -> None:
        """An asset is done; `own` is its own ledger line."""
        for stream, packer in self._packers.items():
            packer.add(own["asset"], own.get(stream) or ())

    def finish(self) -> None:
        """All are done: close the last shards."""
        for packer in self._packers.values():
            packer.finish()

    def count(self, stream: str = CLIPS) -> int:
        """Clips in closed shards of a stream."""
        return self._packers[stream].packed


def sweep(out: Path) -> None:
    """Remove what a killed run left half written."""
    for left in _partials(out):
        with contextlib.suppress(OSError):  # left over, it does no harm
            left.unlink(missing_ok=True)


def remove_work_folder(out: Path) -> None:
    """The dataset is finished: nothing waits any more."""
    shutil.rmtree(out / WORK, ignore_errors=True)


def _partials(out: Path) -> Iterator[Path]:
    yield from out.glob(f".*{PARTIAL}")
    yield from (out / WORK).rglob(f".*{PARTIAL}")


def refuse_to_drop(lines: Mapping[str, Line], keys: Iterable[str], out: Path) -> None:
    """Refuse an order that would drop clips which the dataset has.

    Args:
        lines: each finished asset's own line.
        keys: the units of the plan.
        out: the dataset.

    Raises:
        InputError: an asset with clips is not in the plan.
    """
    for key in sorted(lines.keys() - set(keys)):
        if any(lines[key].get(stream) for stream in STREAMS):
            raise InputError(
                f"{out} holds clips of {key} ({lines[key].get('source')}), which this order does not name; "
                "order it too, or choose another --out"
            )

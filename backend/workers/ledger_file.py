# SPDX-License-Identifier: GPL-3.0-or-later
"""A ledger: one JSON line for each thing that was worked on, saying what became of it.

Appended to and flushed to the disk while a run works, so that a run killed at any moment is continued. Also what
goes with it: files that are replaced whole, and the lock that keeps a second run out. stdlib only.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import OutputError

Line = dict[str, Any]


def read_lines(path: Path) -> Iterator[Any]:
    """What stands in each whole line of a file, if it is there; torn lines, which a killed run leaves, are left out."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return
    for row in text.splitlines():
        try:
            yield json.loads(row)
        except ValueError:  # torn, by a kill or a full disk; what it spoke of is made again
            continue


class Ledger:
    """A ledger being written.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, lines: Sequence[Line]) -> None:
        """Add lines and see them onto the disk.

        Raises:
            OutputError: they cannot be written.
        """
        try:
            with self.path.open("ab") as stream:
                # After a torn line a new one begins on a line of its own.
                lead = b"" if stream.tell() == 0 or self._ends_whole() else b"\n"
                stream.write(lead + b"".join(map(_encode, lines)))
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise unwritable(self.path, error) from error

    def _ends_whole(self) -> bool:
        with self.path.open("rb") as stream:
            stream.seek(-1, os.SEEK_END)
            return stream.read(1) == b"\n"

    def rewrite(self, lines: Iterable[Line]) -> None:
        """Replace the whole ledger.

        Raises:
            OutputError: it cannot be written; the old one stays.
        """
        replace_file(self.path, b"".join(map(_encode, lines)))


def _encode(line: Line) -> bytes:
    return json.dumps(plain(line), ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n"


def plain(value: Any) -> Any:
    """The value in what every JSON reader knows: numpy's numbers as numbers, NaN and infinity as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def replace_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        _discard(partial)


def _discard(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # on a disk gone read-only the leftover stays; it counts for nothing
        return


def unwritable(path: Path, error: OSError) -> OutputError:
    """The error that says why `path` cannot be written."""
    return OutputError(f"cannot write {path}: {error.strerror or error}; make room or choose another --out")


@contextmanager
def only_run(lock: Path, out: Path) -> Iterator[None]:
    """Keep a second run out of `out` by holding the file `lock`; a killed run's hold ends with it.

    Raises:
        OutputError: another run is at work there, or the file cannot be opened.
    """
    try:
        stream = lock.open("a+b")
    except OSError as error:
        raise unwritable(out, error) from error
    with stream:
        if not _hold(stream.fileno()):
            raise OutputError(f"another run is at work in {out}; wait for it, or choose another --out")
        yield


def _hold(descriptor: int) -> bool:
    """Take the lock of an open file; False where another process has it."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a network disk without locks: nothing to go by
        return True
    return True

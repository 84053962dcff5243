# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger: one JSON line for each asset and for each of its animations, saying what became of it.

Appended to and flushed to the disk while a run works, so that a run killed at any moment is continued; an
asset's lines are written together, its own line last. stdlib only.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..backend.errors import OutputError
from .reasons import Rejection

LEDGER = "ledger.jsonl"
ASSET_OUTCOMES = ("done", "rejected", "damaged", "failed", "licence", "duplicate")
ANIMATION_OUTCOMES = ("accepted", "rejected", "failed")
INCOMPLETE = ("damaged", "failed")  # outcomes with which a run ends as "done, but not everything"
STDERR_KEPT = 4000  # characters

Line = dict[str, Any]


def asset_line(asset: str, source: str, outcome: str, **known: Any) -> Line:
    """What became of an asset as a whole; further fields as in `_line`."""
    if outcome not in ASSET_OUTCOMES:
        raise ValueError(f"no outcome of an asset is called {outcome!r}")
    return _line(asset, source, outcome, **known)


def animation_line(asset: str, source: str, animation: str, index: int, outcome: str, **known: Any) -> Line:
    """What became of one animation; further fields as in `_line`."""
    if outcome not in ANIMATION_OUTCOMES:
        raise ValueError(f"no outcome of an animation is called {outcome!r}")
    return _line(asset, source, outcome, animation=animation, index=index, **known)


def turned_away(rejection: Rejection) -> dict[str, str]:
    """The fields of a line that say why."""
    return {"reason": rejection.reason, "detail": rejection.detail}


def _line(
    asset: str,
    source: str,
    outcome: str,
    *,
    animation: str | None = None,
    index: int | None = None,
    reason: str | None = None,
    detail: str = "",
    clips: Sequence[str] = (),
    features: Mapping[str, float] | None = None,
    views: Sequence[Mapping[str, Any]] = (),
    seconds: Mapping[str, float] | None = None,
    licence: str | None = None,
    author: str | None = None,
    stderr: str | None = None,
    **more: Any,
) -> Line:
    return {
        "asset": asset, "source": source, "animation": animation, "index": index, "outcome": outcome,
        "reason": reason, "detail": detail, "clips": list(clips),
        "features": None if features is None else dict(features), "views": [dict(view) for view in views],
        "seconds": {stage: round(spent, 4) for stage, spent in (seconds or {}).items()},
        "licence": licence, "author": author, "stderr": stderr and stderr[-STDERR_KEPT:], **more,
    }  # fmt: skip


def is_asset_line(line: Mapping[str, Any]) -> bool:
    """Whether a line speaks of an asset as a whole rather than of one animation."""
    return line.get("animation") is None and line.get("index") is None


def read_ledger(path: Path) -> list[Line]:
    """All whole lines of a ledger; a torn last line, which a killed run leaves, is passed over.

    An absent ledger is empty.
    """
    return [line for line in _lines(path) if isinstance(line, dict) and "asset" in line]


def _lines(path: Path) -> Iterator[Any]:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return
    for row in text.splitlines():
        try:
            yield json.loads(row)
        except ValueError:  # torn, by a kill or a full disk; the asset is made again
            continue


def by_asset(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """The lines of each asset whose own line is there; where an asset was tried twice, the last try counts."""
    pending: dict[str, list[Line]] = {}
    whole: dict[str, list[Line]] = {}
    for line in lines:
        pending.setdefault(line["asset"], []).append(line)
        if is_asset_line(line):
            whole[line["asset"]] = pending.pop(line["asset"])
    return whole


class Ledger:
    """A ledger being written.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, lines: Sequence[Line]) -> None:
        """Add an asset's lines, its own last, and see them onto the disk.

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

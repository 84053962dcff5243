# SPDX-License-Identifier: GPL-3.0-or-later
"""Job files: JSON, JSON lines, CSV, or .blend scenes named by a pattern. A job that cannot be read spoils no other."""

from __future__ import annotations

import csv
import glob
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError
from .entries import JobEntry, read_entry

VERSION = 1
SCENE = ".blend"


@dataclass(frozen=True)
class Job:
    """One job of a job file.

    Attributes:
        number: its place among all jobs, from 1.
        where: what messages call it: "jobs.csv, line 3".
        entry: what it says; None where that cannot be read.
        fault: why it cannot.
        name: its name as far as it is known.
    """

    number: int
    where: str
    entry: JobEntry | None = None
    fault: str | None = None
    name: str = ""


@dataclass
class _Document:
    """What a job file holds before the jobs are looked at."""

    jobs: list[tuple[str, Any]]  # where, fields
    base: Path
    defaults: Mapping[str, Any] = field(default_factory=dict)
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read_jobs(*sources: str, defaults: Mapping[str, Any] | None = None) -> list[Job]:
    """Read what a batch is to do.

    Args:
        sources: each a .json, .jsonl or .csv file, a scene, or a pattern such as "shots/*.blend".
        defaults: what holds for all jobs that do not say otherwise, beside the file's own defaults.

    Raises:
        InputError: the file as a whole cannot be read, or there are no jobs.
    """
    jobs: list[Job] = []
    for source in sources:
        document = _read(source)
        common = {**(defaults or {}), **document.defaults}
        if not document.jobs:
            raise InputError(f"{source} holds no jobs")
        for where, fields in document.jobs:
            jobs.append(_job(len(jobs) + 1, where, fields, common, document))
    return jobs


def _job(number: int, where: str, fields: Any, common: Mapping[str, Any], document: _Document) -> Job:
    if isinstance(fields, InputError):
        return Job(number, where, fault=str(fields))
    if not isinstance(fields, Mapping):
        return Job(number, where, fault=f"a job must be an object with fields, not {fields!r}")
    name = str(fields.get("name") or "")
    # A preset that a job names itself goes before what holds for all.
    silent = document.presets.get(str(fields.get("preset")), {})
    try:
        entry = read_entry({**common, **silent, **fields}, document.base, document.presets)
    except InputError as error:
        return Job(number, where, fault=str(error), name=name)
    return Job(number, where, entry, name=name)


def _read(source: str) -> _Document:
    path = Path(source)
    suffix = path.suffix.lower()
    if path.is_file() and suffix == SCENE:  # a real file may have the letters of a pattern in its name
        return _Document([(source, {"scene": source})], Path())
    if not path.is_file() and (suffix == SCENE or any(letter in source for letter in "*?[")):
        return _scenes(source)
    readers = {".json": _json, ".jsonl": _json_lines, ".csv": _csv}
    if suffix not in readers:
        raise InputError(f"{source}: give jobs as .json, .jsonl or .csv, or a pattern such as 'shots/*.blend'")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the job file {path}: {getattr(error, 'strerror', None) or error}") from error
    return readers[suffix](path, text)


def _scenes(pattern: str) -> _Document:
    found = sorted(name for name in glob.glob(pattern, recursive=True) if name.lower().endswith(SCENE))  # noqa: PTH207
    if not found:
        raise InputError(f"no .blend scene is called {pattern}")
    return _Document([(name, {"scene": name}) for name in found], Path())


def _json(path: Path, text: str) -> _Document:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:  # also of numbers too long, and of lists within lists without end
        raise InputError(f"the job file {path} is not JSON ({error})") from error
    if isinstance(content, list):
        content = {"version": VERSION, "jobs": content}
    if not isinstance(content, dict) or not isinstance(content.get("jobs"), list):
        raise InputError(f'{path} must hold a list of jobs, or {{"version": {VERSION}, "jobs": [...]}}')
    if content.get("version") != VERSION:
        raise InputError(f"{path}: version is {content.get('version')!r}; this program reads version {VERSION}")
    if unknown := sorted(content.keys() - {"version", "jobs", "defaults", "presets"}):
        raise InputError(f"{path}: unknown key {unknown[0]!r}; known are version, defaults, presets, jobs")
    defaults, presets = content.get("defaults") or {}, content.get("presets") or {}
    if not isinstance(defaults, dict) or not isinstance(presets, dict):
        raise InputError(f"{path}: defaults and presets must be objects")
    if wrong := [name for name, preset in presets.items() if not isinstance(preset, dict)]:
        raise InputError(f"{path}: the preset {wrong[0]!r} must be an object with fields")
    jobs = [(f"{path.name}, job {number}", job) for number, job in enumerate(content["jobs"], start=1)]
    return _Document(jobs, path.parent, defaults, presets)


def _json_lines(path: Path, text: str) -> _Document:
    def jobs() -> Iterator[tuple[str, Any]]:
        for number, line in enumerate(text.split("\n"), start=1):  # `splitlines` also breaks within texts
            if not line.strip():
                continue
            try:
                yield f"{path.name}, line {number}", json.loads(line)
            except (ValueError, RecursionError) as error:
                yield f"{path.name}, line {number}", InputError(f"not JSON ({error})")

    return _Document(list(jobs()), path.parent)


def _csv(path: Path, text: str) -> _Document:
    """A table whose first row names the fields; empty cells are silent.

    Cells are parted by what the first row has most of: some spreadsheets write semicolons, others tabs.
    """
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    table = csv.DictReader(io.StringIO(text), skipinitialspace=True, delimiter=delimiter)

    def jobs() -> Iterator[tuple[str, Any]]:
        for row in table:
            where = f"{path.name}, line {table.line_num}"
            if None in row or None in row.values():
                yield where, InputError(f"its cells are not as many as the columns ({len(table.fieldnames or ())})")
                continue
            yield where, {name.strip(): cell for name, cell in row.items() if cell.strip()}

    try:
        return _Document(list(jobs()), path.parent)
    except csv.Error as error:
        raise InputError(f"the job file {path} is not a table (line {table.line_num}: {error})") from error

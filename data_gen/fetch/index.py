# SPDX-License-Identifier: GPL-3.0-or-later
"""Objaverse's index: which file an id is, and whose it is. Kept in the cache of the `objaverse` package.

The index is one file of id -> path and 160 files of metadata. Metadata of all 800,000 objects do not fit into a
usual machine's memory: they are read one file at a time, and only what is needed of each object is kept.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...backend.download import FetchError, Patience, fetch_file
from ...backend.errors import InputError, OutputError
from .sources import PUBLISHED, Sources

PATHS = "object-paths.json.gz"
METADATA = "metadata"
FOLDERS = tuple(f"{i // 1000:03d}-{i % 1000:03d}" for i in range(160))
# About what these files weigh, for the question whether to load them.
PATHS_BYTES, METADATA_BYTES = 19_800_000, 3_600_000

OnFile = Callable[[str], None]


@dataclass(frozen=True)
class Asset:
    """An object of Objaverse.

    Attributes:
        uid: its id.
        path: its file, below the dataset.
        licence: short name, such as `by`; empty if it is not stated.
        author: of the object; empty if it is not stated.
        title: its name.
        url: its page.
        animations: how many its metadata state.
        bytes: what its file is said to weigh; 0 if it is not stated.
    """

    uid: str
    path: str
    licence: str = ""
    author: str = ""
    title: str = ""
    url: str = ""
    animations: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Index:
    """The index, loaded as far as it is asked for.

    Attributes:
        cache: folder it is kept in.
        sources: where it comes from.
        patience: how often to try.
    """

    cache: Path
    sources: Sources
    patience: Patience

    def missing(self, folders: Collection[str] | None = None) -> list[tuple[str, int]]:
        """(file, about how many bytes) that is not in the cache: the paths, and the metadata of these folders."""
        wanted = [(PATHS, PATHS_BYTES)]
        wanted += [(f"{METADATA}/{folder}.json.gz", METADATA_BYTES) for folder in sorted(folders or ())]
        return [(name, size) for name, size in wanted if not (self.cache / name).is_file()]

    def paths(self) -> dict[str, str]:
        """uid -> path.

        Raises:
            InputError: the index cannot be had.
            OutputError: the cache cannot be written.
        """
        return {uid: path for uid, path in self._read(PATHS).items() if isinstance(path, str)}

    def assets(self, paths: dict[str, str], uids: Collection[str] | None, on_file: OnFile) -> Iterator[Asset]:
        """The objects of these ids, or every animated one; those without metadata with what the path says.

        Raises:
            InputError: the index cannot be had.
            OutputError: the cache cannot be written.
        """
        wanted = None if uids is None else {uid for uid in uids if uid in paths}
        left = set(wanted or ())
        for folder in folders_of(paths, wanted):
            objects = self._read(f"{METADATA}/{folder}.json.gz")
            on_file(folder)
            for uid in objects if wanted is None else sorted(left & objects.keys()):
                asset = _asset(uid, paths.get(uid, ""), objects[uid])
                left.discard(uid)
                if asset.path and (wanted is not None or asset.animations > 0):
                    yield asset
        yield from (Asset(uid, paths[uid]) for uid in sorted(left))

    def _read(self, name: str) -> dict[str, Any]:
        """A file of the index; one that is damaged in the cache is loaded again, once."""
        path = self.cache / name
        for again in (True, False):
            if not path.is_file():
                self._load(name, path)
            try:
                with gzip.open(path, "rb") as stream:
                    loaded = json.load(stream)
                if not isinstance(loaded, dict):
                    raise ValueError("no JSON object")
                return loaded
            except (OSError, EOFError, ValueError, zlib.error) as error:
                if not again or self.sources.offline:
                    raise InputError(f"{path} cannot be read: {error}; delete it and try again") from error
                path.unlink(missing_ok=True)
        raise AssertionError("unreachable")

    def _load(self, name: str, path: Path) -> None:
        if self.sources.offline:
            raise InputError(f"offline (HF_HUB_OFFLINE is set), and {path} is not there; unset it to load the index")
        make_folder(path.parent)
        url = self.sources.asset(name)
        try:
            fetch_file(url, path, self.patience)
        except FetchError as error:
            raise InputError(f"Objaverse's index cannot be loaded from {url}: {error}; try again later") from error


def folders_of(paths: dict[str, str], uids: Collection[str] | None) -> list[str]:
    """Metadata files in which these ids are; all of them for None."""
    if uids is None:
        return list(FOLDERS)
    return sorted({folder_of(paths[uid]) for uid in uids})


def folder_of(path: str) -> str:
    """The metadata file of a path such as `glbs/000-023/UID.glb`."""
    parts = path.split("/")
    return parts[1] if len(parts) > 2 else FOLDERS[0]


def _asset(uid: str, path: str, data: Any) -> Asset:
    data = data if isinstance(data, dict) else {}
    user = data.get("user") if isinstance(data.get("user"), dict) else {}
    archives = data.get("archives") if isinstance(data.get("archives"), dict) else {}
    glb = archives.get("glb") if isinstance(archives.get("glb"), dict) else {}
    return Asset(
        uid=uid,
        path=path,
        licence=str(data.get("license") or ""),
        author=str(user.get("displayName") or user.get("username") or ""),
        title=str(data.get("name") or ""),
        url=str(data.get("viewerUrl") or ""),
        animations=_count(data.get("animationCount")),
        bytes=_count(glb.get("size")),
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def published_ids(name: str, cache: Path, sources: Sources, patience: Patience) -> list[str]:
    """The ids of a published list, loaded once.

    Raises:
        InputError: no such list, or it cannot be had.
        OutputError: the cache cannot be written.
    """
    listed = PUBLISHED[name]
    path = cache / listed.file
    if not path.is_file():
        if sources.offline:
            raise InputError(f"offline (HF_HUB_OFFLINE is set), and the list {name} is not in {cache}; give --ids FILE")
        make_folder(cache)
        url = sources.published(listed)
        try:
            fetch_file(url, path, patience, listed.sha256)
        except FetchError as error:
            raise InputError(f"the list {name} cannot be loaded from {url}: {error}; give --ids FILE") from error
    return read_ids(path)


def read_ids(path: Path) -> list[str]:
    """Ids of a file: a JSON list of strings, or one a line (lines beginning with # are comments).

    Each id once, in the file's order; a `.glb` at its end is dropped.

    Raises:
        InputError: it cannot be read, or holds none.
    """
    try:
        text = path.read_text("utf-8-sig")
        listed = json.loads(text) if text.lstrip().startswith(("[", "{")) else text.split("\n")
    except (OSError, ValueError) as error:
        raise InputError(f"ids cannot be read from {path}: {error}; write one a line, or a JSON list") from error
    listed = list(listed)
    if not all(isinstance(entry, str) for entry in listed):
        raise InputError(f"{path} holds something that is no id; write one a line, or a JSON list of texts")
    ids = (entry.strip().removesuffix(".glb") for entry in listed if not entry.lstrip().startswith("#"))
    found = list(dict.fromkeys(uid for uid in ids if uid))
    if not found:
        raise InputError(f"{path} holds no ids; write one a line, or a JSON list")
    return found


def make_folder(folder: Path) -> None:
    """Make a folder. Raises `OutputError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make folder {folder}: {error.strerror or error}; choose another") from error

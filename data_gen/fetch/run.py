# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetching many assets: several at a time, those that are there kept, each one's origin written down."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...backend.download import Fetched, FetchError, Patience, digest, fetch_file
from ...backend.errors import OutputError
from ..licences import ALL, is_allowed, short_name
from .attributions import Attribution, append_attribution, load_attributions, rewrite_attributions
from .glb import check_glb
from .index import Asset
from .sources import Sources

SAFE = re.compile(r"[A-Za-z0-9_-]{1,128}")
PARTIAL = re.compile(r"\..+\.partial")


@dataclass
class Selection:
    """Which assets are to be fetched, and which are left out.

    Attributes:
        assets: to be there at the end, in order of uid.
        unknown: ids that Objaverse does not have.
        licence: assets left out for their licence.
    """

    assets: list[Asset] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    licence: list[Asset] = field(default_factory=list)


@dataclass
class Summary:
    """What a fetch did.

    Attributes:
        fetched: assets loaded now.
        kept: assets that were there already.
        copied: assets taken from the `objaverse` package's cache.
        bytes: loaded now.
        failed: uid -> why it could not be had.
    """

    fetched: int = 0
    kept: int = 0
    copied: int = 0
    bytes: int = 0
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """Told how things go; called from several threads.

    Attributes:
        on_asset: an asset is there or has failed.
        on_bytes: bytes came; negative where some are thrown away again.
    """

    on_asset: Callable[[], None] = lambda: None
    on_bytes: Callable[[int], None] = lambda count: None


def select(
    found: Sequence[Asset], wanted: Collection[str] | None, licences: Sequence[str], limit: int | None = None
) -> Selection:
    """Choose by licence; note what was asked for and does not exist.

    An asset that states no licence counts as one that forbids use.
    """
    selection = Selection(unknown=sorted(set(wanted or ()) - {asset.uid for asset in found}))
    for asset in sorted(found, key=lambda asset: asset.uid):
        if not SAFE.fullmatch(asset.uid):
            selection.unknown.append(asset.uid)
        elif ALL in licences or (asset.licence and is_allowed(asset.licence, licences)):
            selection.assets.append(asset)
        else:
            selection.licence.append(asset)
    selection.assets = selection.assets[:limit]
    return selection


def missing(assets: Sequence[Asset], out: Path) -> list[Asset]:
    """Those that are not whole in the folder, by the sizes it has noted."""
    known = load_attributions(out)
    return [asset for asset in assets if not _is_there(out, known.get(_file(asset)))]


def fetch_assets(
    assets: Sequence[Asset],
    out: Path,
    cache: Path,
    sources: Sources,
    patience: Patience,
    parallel: int = 4,
    progress: Progress | None = None,
    verify: bool = False,
) -> Summary:
    """Bring assets into a folder and note their origin in its `assets.jsonl`.

    Args:
        assets: what is wanted.
        out: folder, which exists.
        cache: the `objaverse` package's; what it holds is not loaded again.
        sources: where from.
        patience: how often to try; its `stop` ends everything.
        parallel: files at a time.
        progress: told how it goes.
        verify: compare the checksums of what is there already, too.

    Raises:
        OutputError: the folder cannot be written; what is there stays.
        Cancelled: stopped.
    """
    summary, progress = Summary(), progress or Progress()
    known = load_attributions(out)
    todo = []
    for asset in assets:
        if _is_there(out, known.get(_file(asset)), verify):
            summary.kept += 1
            progress.on_asset()
        else:
            todo.append(asset)
    run = _Run(out, cache, sources, patience, progress)
    try:
        _in_parallel(run.bring, todo, parallel, patience, lambda result: _note(result, out, known, summary, progress))
    finally:
        _tidy(out, known)
    return summary


def _note(
    result: tuple[Asset, Fetched | FetchError, bool],
    out: Path,
    known: dict[str, Attribution],
    summary: Summary,
    progress: Progress,
) -> None:
    """Write down what became of an asset."""
    asset, found, loaded = result
    if isinstance(found, FetchError):
        summary.failed[asset.uid] = str(found)
    else:
        line = _attribution(asset, found)
        try:
            append_attribution(out, line)
        except OSError as error:
            raise OutputError(f"cannot write to {out}: {error.strerror or error}; make room") from error
        known[line["file"]] = line
        summary.fetched += loaded
        summary.copied += not loaded
        summary.bytes += found.bytes if loaded else 0
    progress.on_asset()


@dataclass(frozen=True)
class _Run:
    out: Path
    cache: Path
    sources: Sources
    patience: Patience
    progress: Progress

    def bring(self, asset: Asset) -> tuple[Asset, Fetched | FetchError, bool]:
        """One asset, from the cache or the web; the last says whether it was loaded."""
        target = self.out / _file(asset)
        if (copied := _from_cache(self.cache / asset.path, target)) is not None:
            return asset, copied, False
        if self.sources.offline:
            return asset, FetchError("not in the cache, and offline (HF_HUB_OFFLINE is set)"), False
        url = self.sources.asset(asset.path)
        check = check_glb if target.suffix == ".glb" else None
        try:
            found = fetch_file(url, target, self.patience, check=check, on_bytes=self.progress.on_bytes)
        except FetchError as error:
            return asset, error, False
        return asset, found, True


def _from_cache(cached: Path, target: Path) -> Fetched | None:
    """An asset of the `objaverse` package's cache, if it is there and whole: linked, or copied to another disk."""
    try:
        check_glb(cached)
    except (OSError, ValueError):
        return None
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        try:
            os.link(cached, partial)
        except OSError:
            shutil.copyfile(cached, partial)
        partial.replace(target)
        return Fetched(target, target.stat().st_size, digest(target))
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}; make room") from error
    finally:
        partial.unlink(missing_ok=True)


def _in_parallel(
    work: Callable[[Asset], Any], todo: Sequence[Asset], parallel: int, patience: Patience, done: Callable[[Any], None]
) -> None:
    """Do the work in threads, a few waiting at a time; the first error stops all of it."""
    left = iter(todo)
    waiting: set[Future[Any]] = set()
    with ThreadPoolExecutor(max_workers=parallel) as pool:
        try:
            while True:
                while len(waiting) < 2 * parallel and (asset := next(left, None)) is not None:
                    waiting.add(pool.submit(work, asset))
                if not waiting:
                    return
                ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ended:
                    done(future.result())
        except BaseException:
            patience.stop.set()
            for future in waiting:
                future.cancel()
            raise


def _tidy(out: Path, known: dict[str, Attribution]) -> None:
    """Order the attributions, and drop partial files of assets that are whole."""
    try:
        rewrite_attributions(out, known.values())
        for path in out.iterdir():
            if PARTIAL.fullmatch(path.name) and path.name[1:].rsplit(".", 2)[0] in known:
                path.unlink()
    except OSError as error:
        raise OutputError(f"cannot write to {out}: {error.strerror or error}; make room") from error


def _attribution(asset: Asset, found: Fetched) -> Attribution:
    return {
        "uid": asset.uid, "file": found.path.name, "bytes": found.bytes, "sha256": found.sha256,
        "licence": short_name(asset.licence) if asset.licence else None, "author": asset.author or None,
        "title": asset.title or None, "url": asset.url or None, "animations": asset.animations,
    }  # fmt: skip


def _file(asset: Asset) -> str:
    """The name in the folder."""
    return f"{asset.uid}{Path(asset.path).suffix or '.glb'}"


def _is_there(out: Path, line: Attribution | None, verify: bool = False) -> bool:
    if line is None:
        return False
    path = out / str(line["file"])
    try:
        return path.stat().st_size == line.get("bytes") and (not verify or digest(path) == line.get("sha256"))
    except OSError:
        return False

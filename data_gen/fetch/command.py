# SPDX-License-Identifier: GPL-3.0-or-later
"""`puppet-master data fetch`."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ...backend.download import Patience
from ...backend.errors import Cancelled, InputError
from .consent import Consent, about_assets, about_index, about_list, megabytes
from .index import METADATA_BYTES, Index, folders_of, make_folder, published_ids, read_ids
from .run import Progress, Selection, Summary, fetch_assets, missing, select
from .sources import PUBLISHED, Sources, cache_folder

PARTLY_DONE = 3
LICENCES = "cc0,by,by-sa"


def fetch(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the assets; a fetch begun is continued.")],
    ids: Annotated[Path | None, typer.Option(metavar="FILE", help="Objaverse ids: one a line, or a JSON list.")] = None,
    published: Annotated[
        str, typer.Option("--list", metavar="|".join(PUBLISHED), help="A published list of ids.")
    ] = "",
    animated: Annotated[
        bool, typer.Option("--animated", help="Every object whose metadata state an animation.")
    ] = False,
    licences: Annotated[
        str, typer.Option(metavar="A,B", help="Licences of assets that are fetched; all takes every one.")
    ] = LICENCES,
    limit: Annotated[int | None, typer.Option(help="At most so many assets, the first by id.", min=1)] = None,
    parallel: Annotated[int, typer.Option(help="Files at a time.", min=1, max=32)] = 4,
    retries: Annotated[int, typer.Option(help="Further tries of a file that did not come.", min=0, max=100)] = 5,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Cache to share; otherwise that of the objaverse package.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Check the contents of what is there already, too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be loaded, and load no asset.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Load without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on stdout.")] = False,
) -> None:
    """Fetch animated assets of Objaverse, with what is known of their authors and licences.

    Says what would be loaded, how much and from where, and asks. HF_ENDPOINT names a mirror; with HF_HUB_OFFLINE
    set only what is in the cache is used. Exit code 3: some assets could not be had, the rest are there.
    """
    if sum((ids is not None, bool(published), animated)) != 1:
        raise InputError("say which assets: either --ids FILE, --list NAME or --animated")
    name = published.strip().lower()
    if name and name not in PUBLISHED:
        raise InputError(f"no list is called {published!r}; there are {', '.join(PUBLISHED)}")
    sources = Sources.of()
    desk = _Desk(sources, Index(cache or cache_folder(), sources, Patience(retries)), Consent(yes, _say))
    wanted = read_ids(ids) if ids is not None else desk.listed(name) if name else None
    selection = desk.look_up(wanted, [part.strip() for part in licences.split(",") if part.strip()], limit)
    make_folder(out)
    new = missing(selection.assets, out)
    if new and not sources.offline:
        desk.consent_to(new, selection, out, dry_run)
    if dry_run:
        _report(Summary(kept=len(selection.assets) - len(new)), selection, out, as_json, len(new))
        return
    summary = desk.bring(selection, out, parallel, verify)
    _report(summary, selection, out, as_json)
    if summary.failed or (ids is not None and selection.unknown):
        raise typer.Exit(PARTLY_DONE)


@dataclass(frozen=True)
class _Desk:
    """What every step of a fetch needs."""

    sources: Sources
    index: Index
    consent: Consent

    def listed(self, name: str) -> list[str]:
        """The ids of a published list."""
        listed, cache = PUBLISHED[name], self.index.cache
        if not (cache / listed.file).is_file() and not self.sources.offline:
            self.consent.require(about_list(name, listed.bytes, self.sources))
        return published_ids(name, cache, self.sources, self.index.patience)

    def look_up(self, wanted: list[str] | None, licences: list[str], limit: int | None) -> Selection:
        """What is known of the assets, and which of them to fetch."""
        cache = self.index.cache
        needed = self.index.missing()
        if needed and not self.sources.offline:  # which metadata are needed is known only then
            most = len(folders_of({}, None)) if wanted is None else min(len(wanted), len(folders_of({}, None)))
            self.consent.require(about_index(needed, most * METADATA_BYTES, self.sources, cache))
        paths = self.index.paths()
        known = None if wanted is None else {uid for uid in wanted if uid in paths}
        more = self.index.missing(folders_of(paths, known))
        if more and not needed and not self.sources.offline:
            self.consent.require(about_index(more, 0, self.sources, cache))
        with _bar("index") as bar:
            task = bar.add_task("index", total=len(folders_of(paths, known)))
            found = list(self.index.assets(paths, wanted, lambda folder: bar.advance(task)))
        return select(found, wanted, licences, limit)

    def consent_to(self, new: list[Any], selection: Selection, out: Path, dry_run: bool) -> None:
        """Tell what would be loaded, and ask unless it is only to be told."""
        text = about_assets(new, selection, self.sources, out, shutil.disk_usage(out).free)
        if dry_run:
            _say(text)
        else:
            self.consent.require(text)

    def bring(self, selection: Selection, out: Path, parallel: int, verify: bool) -> Summary:
        """Fetch with a progress bar."""
        with _bar("assets") as bar:
            task = bar.add_task("assets", total=len(selection.assets), received=0, amount="")

            def count(received: int) -> None:
                total = bar.tasks[task].fields["received"] + received
                bar.update(task, received=total, amount=megabytes(total))

            progress = Progress(lambda: bar.advance(task), count)
            cache, patience = self.index.cache, self.index.patience
            try:
                return fetch_assets(selection.assets, out, cache, self.sources, patience, parallel, progress, verify)
            except KeyboardInterrupt:
                raise Cancelled("interrupted; the same command goes on from here") from None


@contextmanager
def _bar(what: str) -> Iterator[Bar]:
    columns = (
        TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[amount]}"),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    if what == "index":
        columns = (*columns[:3], *columns[4:])
    with Bar(*columns, console=Console(file=sys.stderr), refresh_per_second=2) as bar:
        yield bar


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _report(summary: Summary, selection: Selection, out: Path, as_json: bool, to_fetch: int = 0) -> None:
    result = {
        "out": str(out), "assets": len(selection.assets), "fetched": summary.fetched, "kept": summary.kept,
        "copied": summary.copied, "bytes": summary.bytes, "to_fetch": to_fetch, "failed": summary.failed,
        "unknown": selection.unknown, "left_out_for_licence": len(selection.licence),
    }  # fmt: skip
    if as_json:
        typer.echo(json.dumps(result))
        return
    typer.echo(
        f"{out}: {summary.fetched} asset(s) fetched ({megabytes(summary.bytes)}), {summary.copied} from the cache, "
        f"{summary.kept} there already, {len(summary.failed)} failed"
    )
    for uid, why in summary.failed.items():
        typer.echo(f"{uid}: {why}", err=True)

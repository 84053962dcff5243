# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run has to do: one unit for each asset, in an order that depends on nothing but the order given.

A file's key follows from its contents, so renaming a folder changes no clip. stdlib and numpy only.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..backend.errors import InputError
from .fetch.attributions import load_attributions
from .kinds import drawn_rigs
from .ledger import Line, asset_line
from .licences import is_allowed
from .options import FilterOrder

MAKER = "puppet_master.data_gen.maker"  # what makes the units, inside a worker
FILE, PROCEDURAL, SCENE = "file", "procedural", "scene"
RENDER, FILTER = "render", "filter"
SUFFIXES = frozenset({".abc", ".blend", ".fbx", ".glb", ".gltf", ".usd", ".usda", ".usdc", ".usdz", ".vrm"})
SLUG_LENGTH = 40  # of a file's name in a key: a tar's member names end at 100 bytes
HASH_LENGTH = 8


@dataclass(frozen=True)
class Unit:
    """One asset to work on.

    Attributes:
        key: its name in the dataset: `cabinet-1000003`, `knight-1f2e3d4c`, `shot-scene`.
        kind: `FILE`, `PROCEDURAL` or `SCENE`.
        seed: decides everything random about it.
        path: the file; empty for procedural rigs.
        rig: the procedural kind.
        credit: licence, author and the like, where the `assets.jsonl` in the file's folder knows them.
        settled: the ledger line of an asset that needs no work: missing, duplicate, licence.
    """

    key: str
    kind: str
    seed: int
    path: str = ""
    rig: str = ""
    credit: dict[str, Any] = field(default_factory=dict)
    settled: Line | None = None

    @property
    def source(self) -> str:
        """What the ledger calls its origin: the file as it was given, or the procedural kind."""
        return self.path or f"procedural:{self.rig}"

    def line(self, outcome: str, **known: Any) -> Line:
        """A ledger line about the asset as a whole, its licence and author filled in."""
        credit = {name: self.credit.get(name) for name in ("licence", "author")}
        return asset_line(self.key, self.source, outcome, **{**credit, **known})

    def task(self, order: FilterOrder, out: Path, stage: str, threads: int) -> dict[str, Any]:
        """What a worker is told, JSON values only."""
        return {
            "key": self.key, "kind": self.kind, "stage": stage, "path": self.path and str(Path(self.path).absolute()),
            "source": self.source, "seed": self.seed, "rig": self.rig, "out": str(out.absolute()),
            "order": order.for_workers(), "licence": self.credit, "threads": threads,
        }  # fmt: skip


def make_plan(order: FilterOrder, on_file: Callable[[int], None] | None = None) -> list[Unit]:
    """The units of an order: its files, then its scene, then its procedural rigs.

    Args:
        on_file: told how many files have been read, for progress.

    Raises:
        InputError: nothing is ordered, or the procedural order cannot be read.
    """
    if not (order.assets or order.scene or order.procedural):
        raise InputError("say what to work on: ASSETS, --scene SCENE.blend or --procedural KIND:N")
    units = list(_file_units(order, on_file))
    if order.scene:
        units.append(_scene_unit(order.scene, order.seed))
    if order.procedural:
        rigs = drawn_rigs(order.procedural, order.seed)
        units += [Unit(f"{rig}-{seed}", PROCEDURAL, seed, rig=rig) for rig, seed in rigs]
    return units


def _file_units(order: FilterOrder, on_file: Callable[[int], None] | None) -> Iterator[Unit]:
    first_of: dict[str, Unit] = {}
    credits_of: dict[Path, dict[str, dict[str, Any]]] = {}
    for count, path in enumerate(_files(order.assets), start=1):
        if on_file:
            on_file(count)
        if path.parent not in credits_of:
            credits_of[path.parent] = load_attributions(path.parent)
        credit = credits_of[path.parent].get(path.name) or {}
        try:
            if path.stat().st_size == 0:
                yield _lost(path, order.seed, "empty file", "it holds no bytes")
                continue
            digest = file_digest(path)
        except FileNotFoundError:
            yield _lost(path, order.seed, "missing", "no such file")
            continue
        except OSError as error:
            yield _lost(path, order.seed, "unreadable", error.strerror or str(error))
            continue
        unit = Unit(f"{slug(path.stem)}-{digest[:HASH_LENGTH]}", FILE, order.seed, path.as_posix(), credit=credit)
        if digest in first_of:
            yield _duplicate(unit, first_of[digest])
        elif not is_allowed(credit.get("licence"), order.licences):
            first_of[digest] = unit
            detail = f"{credit['licence']} is not one of {', '.join(order.licences)}"
            yield _settled(unit, "licence", reason="licence", detail=detail)
        else:
            first_of[digest] = unit
            yield unit


def _files(assets: Iterable[Path]) -> Iterator[Path]:
    """The files given, and those in the folders given by their place in it; each file once."""
    seen: set[Path] = set()
    for given in assets:
        for path in _inside(given) if given.is_dir() else [given]:
            where = path.absolute()
            if where not in seen:
                seen.add(where)
                yield path


def _inside(folder: Path) -> list[Path]:
    found = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _settled(unit: Unit, outcome: str, **known: Any) -> Unit:
    return Unit(unit.key, unit.kind, unit.seed, unit.path, credit=unit.credit, settled=unit.line(outcome, **known))


def _duplicate(unit: Unit, first: Unit) -> Unit:
    """Of equal contents but another place, so its own key has to differ."""
    place = hashlib.sha256(unit.path.encode("utf-8", "surrogateescape")).hexdigest()[:HASH_LENGTH]
    own = Unit(f"{unit.key}-{place}", unit.kind, unit.seed, unit.path, credit=unit.credit)
    return _settled(own, "duplicate", reason="duplicate", detail=f"the same contents as {first.path}")


def _lost(path: Path, seed: int, reason: str, detail: str) -> Unit:
    """Without contents to name it by, its place does."""
    place = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:HASH_LENGTH]
    unit = Unit(f"{slug(path.stem)}-{place}", FILE, seed, path.as_posix())
    return _settled(unit, "damaged", reason=reason, detail=f"{detail}: {path}")


def _scene_unit(path: Path, seed: int) -> Unit:
    if not path.is_file():
        raise InputError(f"scene {path} does not exist")
    credit = load_attributions(path.parent).get(path.name) or {}
    return Unit(f"{slug(path.stem)}-scene", SCENE, seed, path.as_posix(), credit=credit)


def slug(name: str) -> str:
    """A name in small letters, digits and dashes: what is safe in a tar, in a URL and on every disk."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:SLUG_LENGTH].strip("-") or "asset"


def file_digest(path: Path) -> str:
    """SHA-256 of a file's contents.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's models folder: what enters it whole or not at all, and what leaves it.

A model in the making is `.NAME.partial` beside the others; it is renamed once it is complete. Such a folder stays when
a pull is broken off, so that the next one goes on from there. One process at a time works on a model.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import InputError, ModelError, OutputError
from .registry import (
    CARD,
    EMBEDDED,
    NAME,
    REQUIRED,
    SUMS,
    check_complete,
    file_sums,
    models_folder,
    read_info,
    read_json,
)

SPARE_BYTES = 64 * 2**20  # left free beside what a model takes


@dataclass(frozen=True)
class Staging:
    """A model in the making.

    Attributes:
        name: of the model.
        folder: becomes the model's folder; what does not belong into it is in `sources`.
        sources: files it is made from, gone when it is finished.
    """

    name: str
    folder: Path
    sources: Path

    def finish(self) -> Path:
        """Write the checksums, check that the model is complete, and put it in its place; replaces an older one.

        Raises:
            ModelError: it is not complete.
            OutputError: it cannot be written.
        """
        target = models_folder() / self.name
        with writing(self.folder):
            lines = [f"{digest}  {name}\n" for name, digest in file_sums(self.folder).items()]
            (self.folder / SUMS).write_text("".join(lines), encoding="utf-8")
            require_files(self.folder)
            if target.exists():
                _discard(target)
            self.folder.rename(target)
            shutil.rmtree(self.sources, ignore_errors=True)
        return target


@contextlib.contextmanager
def staging(name: str, keep: bool = False) -> Iterator[Staging]:
    """Work on a model, alone.

    Args:
        name: of the model.
        keep: leave what there is when the work is broken off; otherwise it is thrown away.

    Raises:
        ModelError: another process works on it.
        InputError: the name is no name for a model.
        OutputError: the models folder cannot be written.
    """
    check_name(name)
    root = models_folder()
    folder, sources = root / f".{name}.partial", root / f".{name}.sources"
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(root / f".{name}.lock", timeout=0)
    with locked(lock, name):
        try:
            with writing(root):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                sources.mkdir(exist_ok=True)
            yield Staging(name, folder, sources)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if not keep or (sources.is_dir() and not any(sources.rglob("*"))):
                shutil.rmtree(sources, ignore_errors=True)


@contextlib.contextmanager
def locked(lock: FileLock, name: str) -> Iterator[None]:
    """Hold a model's lock. Raises `ModelError` if another process has it."""
    try:
        lock.acquire()
    except Timeout as error:
        raise ModelError(f"another process is working on model {name}; wait until it is done") from error
    except OSError as error:
        raise OutputError(f"cannot write {lock.lock_file}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def writing(place: Path) -> Iterator[None]:
    """What the system says when it cannot write becomes an `OutputError` that names the place and the fix."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write {place}: {error.strerror or error}; make room there, or name another folder in "
            "PUPPET_MASTER_MODELS"
        ) from error


def check_name(name: str) -> None:
    """Whether a model of the user's may have this name. Raises `InputError`."""
    if not NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name for a model: letters, digits, dots, dashes and underscores, at most 64")
    if (EMBEDDED / name / CARD).is_file():
        raise InputError(f"{name} is the name of an embedded model; choose another")


def require_space(folder: Path, needed: int) -> None:
    """Whether the disk has room, asked ahead. Raises `OutputError` that says how much is missing."""
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if free < needed + SPARE_BYTES:
        raise OutputError(
            f"{folder} has {free / 1e9:.1f} GB free, and {(needed + SPARE_BYTES) / 1e9:.1f} GB are needed; make room "
            "there, or name another folder in PUPPET_MASTER_MODELS"
        )


def require_files(folder: Path) -> None:
    """Whether a model folder has all its files, without reading them. Raises `ModelError` that names one."""
    for name in REQUIRED[read_info(folder).kind]:
        if not (folder / name).is_file():
            raise ModelError(f"model folder {folder} is incomplete: {name} is missing; get the model anew")


def place(source: Path, target: Path) -> None:
    """Have a file at `target` too, without a second copy where the file system can."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def import_folder(source: Path, name: str | None = None) -> Path:
    """Copy a whole model folder, such as our training publishes, among the user's models.

    Args:
        source: the model folder.
        name: the model's name from now on; its own if not given.

    Raises:
        ModelError: it is incomplete or damaged.
        InputError: the name is none for a model, or taken.
        OutputError: no room, or no permission.
    """
    check_complete(source)
    name = name or read_info(source).name
    check_name(name)
    if (models_folder() / name).exists():
        raise InputError(f"there is a model {name} already; give another --name, or remove it: model remove {name}")
    files = [path for path in source.rglob("*") if path.is_file() and path.suffix in (".json", ".safetensors", ".md")]
    require_space(models_folder(), sum(path.stat().st_size for path in files))
    with staging(name) as made:
        with writing(made.folder):
            for path in files:
                target = made.folder / path.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
            card = {**read_json(made.folder / CARD), "name": name}
            (made.folder / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        return made.finish()


def remove(name: str) -> int:
    """Remove a pulled or imported model, and what a broken-off pull of it left; bytes that became free.

    Raises:
        ModelError: there is no such model, or it is part of the program, or another process works on it.
    """
    if (EMBEDDED / name / CARD).is_file():
        raise ModelError(f"model {name} is part of the program and cannot be removed")
    root = models_folder()
    found = [root / name, root / f".{name}.partial", root / f".{name}.sources"] if NAME.fullmatch(name) else []
    found = [folder for folder in found if folder.is_dir()]
    if not found:
        raise ModelError(f"there is no model {name!r} in {root}")
    size = sum(path.stat().st_size for folder in found for path in folder.rglob("*") if path.is_file())
    with locked(FileLock(root / f".{name}.lock", timeout=0), name), writing(root):
        for folder in found:
            _discard(folder)
    (root / f".{name}.lock").unlink(missing_ok=True)
    return size


def _discard(folder: Path) -> None:
    """Remove a folder; from its own name at once, so that nobody meets half a model."""
    going = folder.with_name(f".{folder.name.strip('.')}.going")
    shutil.rmtree(going, ignore_errors=True)
    folder.rename(going)
    shutil.rmtree(going)

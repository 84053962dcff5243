# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...backend.errors import OutputError

STAGING = ".staging"  # in the export's folder while it is written; gone afterwards


@contextmanager
def whole_folder(out: Path, place: str) -> Iterator[Path]:
    """A folder to be filled, which becomes `out/place` when the block ends without an error.

    Raises:
        OutputError: nothing can be written there.
    """
    staged = out / STAGING / f"{Path(place).name}.{os.getpid()}"
    with writing_to(out):
        shutil.rmtree(staged, ignore_errors=True)
        try:
            staged.mkdir(parents=True)
            yield staged
            (out / place).parent.mkdir(parents=True, exist_ok=True)
            staged.rename(out / place)
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def write_whole(out: Path, place: str, data: bytes) -> None:
    """Write `out/place`.

    Raises:
        OutputError: nothing can be written there.
    """
    partial = out / f".{place}.{os.getpid()}.partial"
    with writing_to(out):
        try:
            partial.write_bytes(data)
            partial.replace(out / place)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def writing_to(out: Path) -> Iterator[None]:
    """Turn what the file system refuses into an `OutputError` that names the folder and the fix."""
    try:
        yield
    except OSError as error:
        place = error.filename or out
        message = f"cannot write {place}: {error.strerror or error}; make room or choose another --out"
        raise OutputError(message) from error

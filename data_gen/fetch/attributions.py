# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose the assets of a folder are: `assets.jsonl`, one JSON line an asset. stdlib only; rendering reads it too.

A line: `uid`, `file` (name in the folder), `bytes`, `sha256`, `licence` (short name, such as `by`), `author`,
`title`, `url` (the asset's page).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...backend.errors import InputError

ASSETS = "assets.jsonl"

Attribution = dict[str, Any]


def load_attributions(folder: Path) -> dict[str, Attribution]:
    """File name -> what is known of the asset; the last line about a file counts.

    A torn last line, which a killed run leaves, is passed over. Empty if the folder has no `assets.jsonl`.

    Raises:
        InputError: the file is there and cannot be read.
    """
    try:
        rows = (folder / ASSETS).read_bytes().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise InputError(f"{folder / ASSETS} cannot be read: {error.strerror or error}") from error
    known = {}
    for row in rows:
        try:
            line = json.loads(row)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("file"), str):
            known[line["file"]] = line
    return known


def append_attribution(folder: Path, line: Mapping[str, Any]) -> None:
    """Add an asset. Raises OSError."""
    path = folder / ASSETS
    with path.open("ab") as stream:
        # After a torn line a new one begins, else both were lost.
        torn = stream.tell() > 0 and _last_byte(path) != b"\n"
        stream.write((b"\n" if torn else b"") + json.dumps(line, ensure_ascii=False).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1)


def rewrite_attributions(folder: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Replace the file by these lines, in order of uid. Raises OSError."""
    partial = folder / f".{ASSETS}.{os.getpid()}.partial"
    ordered = sorted(lines, key=lambda line: str(line.get("uid")))
    try:
        partial.write_bytes(b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in ordered))
        partial.replace(folder / ASSETS)
    finally:
        partial.unlink(missing_ok=True)

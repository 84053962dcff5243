# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of toy assets (see `toy_maker`), and what two datasets are compared by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from puppet_master.data_gen.ledger import LEDGER, read_ledger
from puppet_master.data_gen.options import RenderOrder

SHARD_MB = 0.02  # two to four toy clips


def write_toys(folder: Path, count: int = 6, **behaviour: Any) -> Path:
    """A folder of `count` well-behaved toys: toy00.glb, toy01.glb, ..."""
    for index in range(count):
        write_toy(folder / f"toy{index:02}.glb", number=index, **{"animations": 3, **behaviour})
    return folder


def write_toy(path: Path, **behaviour: Any) -> Path:
    """One toy asset."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(behaviour))
    return path


def toy_order(out: Path, *assets: Path, **more: Any) -> RenderOrder:
    """An order with small shards and one worker."""
    known = {"assets": assets, "out": out, "workers": 1, "shard_mb": SHARD_MB, "time_limit": 30.0}
    return RenderOrder(**{**known, **more})


def tars(out: Path) -> dict[str, bytes]:
    """The shards' bytes by name."""
    return {path.name: path.read_bytes() for path in sorted(out.glob("*.tar"))}


def timeless_ledger(out: Path) -> list[dict[str, Any]]:
    """The ledger without what differs between two runs."""
    return [{**line, "seconds": None} for line in read_ledger(out / LEDGER)]

# SPDX-License-Identifier: GPL-3.0-or-later
"""The dataset card: README.md with the front matter that dataset hubs read, counts, format and licences."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..backend.shards import CLIPS, REJECTED
from ..backend.workers.ledger_file import replace_file
from .ledger import LEDGER, Line, is_asset_line
from .licences import NAMES, card_licence, short_name
from .plan import FILTER
from .reasons import REASONS

CARD = "README.md"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

_FORMAT = """\
`clips-*.tar` are WebDataset shards. A clip NAME is a run of members:

| member | content |
|---|---|
| `NAME.frames.png` | the frames stacked downwards, RGBA with straight alpha, lossless |
| `NAME.points.npz` | `tracks` float32 [P, N, 2], `visible` bool [P, N], `part` int16 [P], `drags` float32 [K, N, 2], \
`drags_straight` float32 [K, N, 2], `points_3d` float32 [P, N, 3] |
| `NAME.meta.json` | asset, animation, view, seed, camera, licence, author, versions |
| `NAME.depth.npy` | if ordered: float16 [N, H, W], depth over the asset's size, inf where nothing is |
| `NAME.flow.npy` | if ordered: float16 [N-1, H, W, 2], pixels to the next frame, NaN where nothing is |
| `NAME.partid.png` | if ordered: film strip of part ids, each plus one, 0 where nothing is |
| `NAME.normal.png` | if ordered: film strip of camera-space normals as (n + 1) · 127.5 |

Image coordinates are normalised to [0, 1], origin top left, x right, y down. Part 0 is what does not move by itself.
`rejected-*.tar` hold small film strips of what was turned away; `ledger.jsonl` says what became of every asset and
animation, and why.

```python
import webdataset
clips = webdataset.WebDataset("clips-000000.tar", shardshuffle=False).decode("rgba8")
```
"""


def write_card(out: Path, stage: str, settings: Mapping[str, Any], lines: Sequence[Line]) -> None:
    """Write a dataset's README.md; equal datasets have equal cards.

    Args:
        out: the dataset.
        stage: `plan.RENDER` or `plan.FILTER`.
        settings: what `dataset.json` holds.
        lines: the ledger.

    Raises:
        OutputError: it cannot be written.
    """
    assets = [line for line in lines if is_asset_line(line)]
    used = [line for line in assets if line.get(CLIPS)]
    clips = sum(len(line[CLIPS]) for line in used)
    parts = [_front_matter(clips, used), _counts(stage, clips, lines), _table("Settings", settings["settings"])]
    if settings.get("versions"):
        parts.append(_table("Made with", settings["versions"]))
    if stage != FILTER:
        parts.append(f"## Format\n\n{_FORMAT}")
    parts.append(_licences(used))
    replace_file(out / CARD, "\n".join(parts).encode("utf-8", "replace"))


def _front_matter(clips: int, used: Sequence[Line]) -> str:
    size = next((name for limit, name in _SIZES if clips < limit), "n>1M")
    fields: dict[str, Any] = {
        "pretty_name": "Part-level motion clips", **card_licence(line.get("licence") for line in used),
        "tags": ["webdataset", "video", "point-tracking", "3d-animation", "synthetic"], "size_categories": [size],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": f"{CLIPS}-*.tar"}]}],
    }  # fmt: skip
    # JSON is YAML: no library is needed to write it.
    return "\n".join(["---", *(f"{key}: {json.dumps(value)}" for key, value in fields.items()), "---", ""])


def _counts(stage: str, clips: int, lines: Sequence[Line]) -> str:
    assets = Counter(line["outcome"] for line in lines if is_asset_line(line))
    animations = Counter(line["outcome"] for line in lines if not is_asset_line(line))
    what = "Decisions about animations" if stage == FILTER else "Clips of moving 3D assets with exact point tracks"
    rows = [f"# {what}\n", "| | |", "|---|---|", f"| clips | {clips} |"]
    rows += [f"| assets {outcome} | {count} |" for outcome, count in sorted(assets.items())]
    rows += [f"| animations {outcome} | {count} |" for outcome, count in sorted(animations.items())]
    places = [place for line in lines for place in (line, *(line.get("views") or ()))]
    reasons = Counter(place["reason"] for place in places if place.get("reason"))
    if reasons:
        rows += ["\n## Turned away\n", "| reason | count | meaning |", "|---|---|---|"]
        rows += [f"| {name} | {count} | {REASONS.get(name, '')} |" for name, count in sorted(reasons.items())]
        rows.append(f"\nEach with its details in `{LEDGER}`; film strips in `{REJECTED}-*.tar`.")
    return "\n".join(rows) + "\n"


def _table(title: str, values: Mapping[str, Any]) -> str:
    rows = [f"| {name} | {_cell(json.dumps(value, ensure_ascii=False))} |" for name, value in values.items()]
    return "\n".join([f"## {title}\n", "| | |", "|---|---|", *rows, ""])


def _licences(used: Sequence[Line]) -> str:
    """Who made what, under which licence; assets without either are only counted."""
    credited = [line for line in used if line.get("licence") or line.get("author")]
    rows = ["## Licences and attribution\n"]
    if len(credited) < len(used):
        rows.append(f"{len(used) - len(credited)} asset(s) state no licence: procedural rigs, or files of one's own.\n")
    if credited:
        rows += ["| asset | author | licence | source |", "|---|---|---|---|"]
    for line in credited:
        licence = line.get("licence") or ""
        name = NAMES.get(short_name(licence), licence)
        cells = (line["asset"], line.get("author") or "", name, line.get("source") or "")
        rows.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")

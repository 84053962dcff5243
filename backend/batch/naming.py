# SPDX-License-Identifier: GPL-3.0-or-later
"""What previews of a batch are called: a template filled from each one's choices."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Any

from ..errors import InputError

TEMPLATE = "{name}{sweep}"
FIELDS = (
    "name", "shot", "source", "camera", "frame", "drags", "model", "seed", "guidance", "steps", "job", "index", "sweep",
)  # fmt: skip
LONGEST = 200  # bytes of one part: what most disks allow, less the endings
# What a swept choice is called in a name.
SHORT = {
    "camera": "_{}", "frame": "_f{}", "drags": "_{}", "model": "_{}", "seed": "_seed{}", "guidance": "_g{}",
    "steps": "_steps{}",
}  # fmt: skip
# Names that Windows keeps for itself: a farm's disk may be read there.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?$", re.IGNORECASE)


def check_template(template: str) -> str:
    """Refuse a template that no preview could be named by. Raises `InputError`."""
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise InputError(f"--name {template!r}: {error}") from error
    if unknown := [name for name in fields if name not in FIELDS]:
        raise InputError(f"--name {template!r}: there is no {{{unknown[0]}}}; there are {', '.join(FIELDS)}")
    return template


def fill(template: str, values: Mapping[str, Any]) -> str:
    """A preview's name: a relative path without an ending, with "/" between its parts.

    Args:
        template: see `check_template`.
        values: one for each of `FIELDS`; what no disk would take in them becomes a dash.

    Raises:
        InputError: the template cannot be filled, or gives no name that every disk takes.
    """
    safe = {name: _safe(value) for name, value in values.items()}
    try:
        name = template.format(**safe)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise InputError(f"--name {template!r} cannot be filled: {error}") from error
    for part in name.split("/"):
        length = len(part.encode())
        if not part.strip(". ") or part.startswith(".") or length > LONGEST or _RESERVED.match(part) or "\\" in part:
            raise InputError(
                f"--name {template!r} gives {name!r}; each part must be a name that every disk takes, "
                f"of {LONGEST} bytes at most"
            )
    return name


def sweep_text(choices: Mapping[str, Any], swept: set[str]) -> str:
    """The choices that are swept over, for a name."""
    return "".join(pattern.format(_safe(choices[name])) for name, pattern in SHORT.items() if name in swept)


def _safe(value: Any) -> Any:
    if isinstance(value, int):
        return value
    return re.sub(r"[^\w.+-]+", "-", str(value)).strip("-")

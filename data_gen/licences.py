# SPDX-License-Identifier: GPL-3.0-or-later
"""Licences by their short names, whether one is allowed, and what a dataset made of several carries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

ALL = "all"
# Short name (Objaverse's and Sketchfab's) -> name on a dataset card.
NAMES = {
    "cc0": "cc0-1.0",
    "by": "cc-by-4.0",
    "by-sa": "cc-by-sa-4.0",
    "by-nd": "cc-by-nd-4.0",
    "by-nc": "cc-by-nc-4.0",
    "by-nc-sa": "cc-by-nc-sa-4.0",
    "by-nc-nd": "cc-by-nc-nd-4.0",
}
_CLAUSES = {"attribution": "by", "sharealike": "sa", "noncommercial": "nc", "noderivatives": "nd", "noderivs": "nd"}


def short_name(text: str) -> str:
    """The short name of a licence in any of its usual spellings; another text as it is, in lower case.

    "CC-BY-4.0", "Creative Commons Attribution", "http://creativecommons.org/licenses/by/4.0/" are all "by".
    """
    words = re.sub(r"share[ -]?alike", "sharealike", text.strip().lower())
    words = re.sub(r"non[ -]?commercial", "noncommercial", words)
    words = re.sub(r"no[ -]?deriv", "noderiv", words)
    found = re.split(r"[^a-z0-9]+", words)
    if "cc0" in found or "publicdomain" in found or ("public" in found and "domain" in found):
        return "cc0"
    clauses = [_CLAUSES.get(word, word) for word in found]
    if "by" not in clauses:
        return text.strip().lower()
    return "-".join(clause for clause in ("by", "nc", "nd", "sa") if clause in clauses)


def is_allowed(licence: str | None, allowed: Sequence[str]) -> bool:
    """Whether an asset of this licence may be used; without one it is taken for the user's own."""
    if not licence or ALL in allowed:
        return True
    return short_name(licence) in {short_name(name) for name in allowed}


def card_licence(licences: Iterable[str | None]) -> dict[str, Any]:
    """The licence fields of a dataset card's front matter for a dataset with assets of these licences."""
    names = sorted({NAMES.get(short_name(licence), "other") if licence else "unknown" for licence in licences})
    if len(names) == 1:
        return {"license": names[0]}
    return {"license": "other", "license_name": "mixed", "license_link": "README.md"} if names else {}

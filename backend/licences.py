# SPDX-License-Identifier: GPL-3.0-or-later
"""Licences of weights that others published: shown, accepted once, and remembered with what was shown."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import LicenceError
from .model_store import writing
from .published import Licence, PublishedModel
from .registry import models_folder

ACCEPTED = "licences.json"


@dataclass(frozen=True)
class Shown:
    """A licence with its text as it was shown.

    Attributes:
        licence: which.
        text: its text; the terms and the address alone where no text is published, or none at hand.
        at_hand: whether all that is published of it is in `text`. Without, an acceptance of any text counts.
    """

    licence: Licence
    text: str
    at_hand: bool = True

    @property
    def digest(self) -> str:
        """Tells whether the text has changed since."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def plain_text(licence: Licence) -> str:
    """What is shown of a licence whose text is not at hand."""
    return f"{licence.title}\n\nIn short: {licence.terms}.\nThe whole text: {licence.address}\n"


def require_accepted(shown: list[Shown], ask: Callable[[Shown], bool]) -> None:
    """Go on only with licences that were accepted, now or before.

    Args:
        shown: all that apply, with their texts.
        ask: shows one and says whether it is accepted.

    Raises:
        LicenceError: one was not; names it.
    """
    accepted = read_accepted()
    for item in shown:
        before = accepted.get(item.licence.key)
        if before and (before.get("sha256") == item.digest or not item.at_hand):
            continue
        if not ask(item):
            raise LicenceError(
                f"the licence of {item.licence.title} was not accepted ({item.licence.address}); "
                "nothing was loaded; say --accept-licence to accept it"
            )
        accepted[item.licence.key] = {
            "sha256": item.digest, "title": item.licence.title, "accepted": time.strftime("%Y-%m-%dT%H:%M:%S%z")
        }  # fmt: skip
        _write(accepted)


def is_accepted(model: PublishedModel) -> bool:
    """Whether all of a model's licences were accepted at some time."""
    accepted = read_accepted()
    return all(licence.key in accepted for licence in model.licences)


def read_accepted() -> dict[str, Any]:
    """What was accepted: licence key -> sha256 of its text, title, time. A damaged file counts as empty: ask again."""
    try:
        found = json.loads((models_folder() / ACCEPTED).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(accepted: dict[str, Any]) -> None:
    path = models_folder() / ACCEPTED
    temporary = path.with_name(f".{path.name}.partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(accepted, indent=1), encoding="utf-8")
        temporary.replace(path)


def licence_file(names: list[str]) -> str | None:
    """Which of a repository's files is its licence; None if none is."""
    for name in names:
        if Path(name).stem.upper() in ("LICENSE", "LICENCE") and Path(name).suffix.lower() in ("", ".md", ".txt"):
            return name
    return None

# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing is loaded without a yes: on the command line, or typed after being told what, how much and from where."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...backend.errors import Cancelled, InputError
from .index import Asset
from .run import Selection
from .sources import Sources, host


@dataclass(frozen=True)
class Consent:
    """Asks before anything leaves or enters the machine.

    Attributes:
        given: `--yes` was said.
        say: where the question is told.
        interactive: whether somebody can answer; by the terminal if not given.
        ask: gives the answer.
    """

    given: bool
    say: Callable[[str], None]
    interactive: bool | None = None
    ask: Callable[[], str] = input

    def require(self, what: str) -> None:
        """Go on only with a yes to `what`, some lines that say what would be loaded.

        Raises:
            InputError: nobody can be asked, and `--yes` was not said.
            Cancelled: the answer is not yes.
        """
        self.say(what)
        if self.given:
            return
        interactive = sys.stdin.isatty() if self.interactive is None else self.interactive
        if not interactive:
            raise InputError("nothing is loaded without consent, and there is no terminal to ask at; say --yes")
        self.say("Go on? [y/N] ")
        try:
            answer = self.ask().strip().lower()
        except EOFError:
            answer = ""
        if answer not in ("y", "yes"):
            raise Cancelled("nothing was loaded")


def about_index(files: Sequence[tuple[str, int]], at_most: int, sources: Sources, cache: Path) -> str:
    """What must be loaded to find out what there is.

    Args:
        files: (name, about how many bytes).
        at_most: further bytes that may turn out to be needed.
        sources: from where.
        cache: to where.
    """
    total = sum(size for _, size in files) + at_most
    about = "up to " if at_most else "about "
    return f"To look things up, Objaverse's index has to be loaded first: {about}{megabytes(total)} \
from {host(sources.hub)} into {cache}."


def about_list(name: str, size: int, sources: Sources) -> str:
    """That a published list must be loaded."""
    return f"The list {name} ({megabytes(size)}) has to be loaded from {host(sources.lists)}."


def about_assets(assets: Sequence[Asset], selection: Selection, sources: Sources, out: Path, free: int) -> str:
    """What would be loaded: how much, from where, to where, under which licences."""
    stated = [asset.bytes for asset in assets if asset.bytes]
    unstated = len(assets) - len(stated)
    size = f"about {megabytes(sum(stated))}" if stated else "of unknown size"
    if stated and unstated:
        size += f" and {unstated} of unknown size"
    lines = [
        f"{len(assets)} asset(s) of Objaverse are to be loaded, {size}, from {host(sources.hub)} into {out} \
({megabytes(free)} free there).",
        "Each stays under its author's licence: " + _listed(assets) + ".",
    ]
    if selection.licence:
        lines.append(f"Left out for their licence: {_listed(selection.licence)}. --licences chooses others.")
    if selection.unknown:
        lines.append(f"{len(selection.unknown)} id(s) are not in Objaverse: {', '.join(selection.unknown[:3])}, ...")
    if sum(stated) > free:
        lines.append("That is more than the disk has room for.")
    return "\n".join(lines)


def _listed(assets: Sequence[Asset]) -> str:
    counted = Counter(asset.licence or "none stated" for asset in assets)
    return ", ".join(f"{name} {count}" for name, count in counted.most_common())


def megabytes(count: float) -> str:
    """Bytes in the unit that suits them."""
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 1e7 else f"{count / 1e6:.1f} MB"

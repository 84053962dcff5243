# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing with pip, and telling how far it is from what it prints."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from .events import SHARES, Refusal, tell
from .processes import clean_environment, run

PYTORCH = "https://download.pytorch.org/whl"


def install_torch(python: str, root: Path, version: str, tags: Sequence[str], index: str) -> str:
    """Install a build of torch: from wherever pip is set up to look, else from PyTorch's own index; gives its tag.

    Raises:
        Refusal: none can be had.
    """
    for number, tag in enumerate(tags, 1):
        wanted = ["--no-deps", f"torch=={version}{'+' + tag if tag else ''}"]
        # An index of its own comes second: a studio's mirror or wheel folder may have the build.
        for own in ([[]] if index or not tag else [[], ["--index-url", f"{PYTORCH}/{tag}"]]):
            try:
                pip(python, root, "torch", 1, [*wanted, *own], index)
            except Refusal as error:
                is_last = number == len(tags) and (own or index or not tag)
                if error.kind == "cancelled" or is_last:
                    raise
            else:
                return tag
    raise AssertionError("the last attempt returns or raises")


def pip(python: str, root: Path, stage: str, expected: int, arguments: list[str], index: str) -> None:
    """Run `pip install`, telling how far it is from what it prints."""
    command = [python, "-m", "pip", "install", "--progress-bar", "off", "--no-input", *arguments]
    command += ["--index-url", index] if index else []
    follow = PipProgress(root, stage, expected)
    stop = follow.watch_downloads()
    try:
        run(command, root, clean_environment(root), follow.take_in)
    finally:
        stop()


class PipProgress:
    """How far pip is: packages it has looked up, and bytes of the file that it is fetching."""

    def __init__(self, root: Path, stage: str, expected: int) -> None:
        names = list(SHARES)
        self._low, self._high = SHARES[names[names.index(stage) - 1]], SHARES[stage]
        self._root, self._expected = root, max(1, expected)
        self._files = 0
        self._name, self._bytes = "", 0.0

    def take_in(self, line: str) -> None:
        """Go on by a line of pip's."""
        if found := re.match(r"\s*(?:Downloading|Using cached) (\S+)(?: \(([\d.]+) (k|M|G)?B\))?", line):
            self._files += 1
            self._name = found[1].rpartition("/")[2].partition("-")[0]
            self._bytes = float(found[2] or 0) * {"k": 1e3, "M": 1e6, "G": 1e9}.get(found[3] or "", 1)
            self.tell()
        elif line.startswith("Installing collected packages"):
            self._files, self._name, self._bytes = self._expected, "unpacking", 0.0
            self.tell()

    def tell(self, fetched: float = 0.0) -> None:
        """Print where it is."""
        part = min(1.0, fetched / self._bytes) if self._bytes else 0.0
        done = min(self._expected, max(0, self._files - 1) + part) / self._expected
        size = f", {fetched / 1e6:.0f} of {self._bytes / 1e6:.0f} MB" if self._bytes >= 1e6 else ""
        share = self._low + (self._high - self._low) * min(done, 0.95)
        tell("progress", share=round(share, 3), detail=f"{self._name}{size}")

    def watch_downloads(self) -> Callable[[], None]:
        """Look at the files pip writes while it fetches; gives the function that ends that."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(1.0):
                if self._bytes >= 1e6:
                    self.tell(_largest(self._root / "tmp"))

        threading.Thread(target=watch, daemon=True).start()
        return over.set


def _largest(folder: Path) -> float:
    with contextlib.suppress(OSError):
        return max((path.stat().st_size for path in folder.rglob("*") if path.is_file()), default=0)
    return 0.0

# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things come from: the hub that keeps Objaverse, and the repository that publishes the lists."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from ...backend.errors import InputError

HUB = "https://huggingface.co"
HUB_PATH = "datasets/allenai/objaverse/resolve/main"
# The commit that added the lists; a moving branch could change what a name stands for.
LISTS = "https://raw.githubusercontent.com/RuiningLi/puppet-master/7d193662ccfae149c52d8f79283592a362a10832/data"
YES = frozenset({"1", "on", "yes", "true"})
CACHE = Path(".objaverse") / "hf-objaverse-v1"  # in the home folder: the `objaverse` package's own


@dataclass(frozen=True)
class PublishedList:
    """A published list of assets.

    Attributes:
        file: its name where it is published.
        sha256: of its contents.
        count: ids in it.
        bytes: its size.
    """

    file: str
    sha256: str
    count: int
    bytes: int


PUBLISHED: dict[str, PublishedList] = {
    "objaverse-animation": PublishedList(
        file="objaverse-animation.json",
        sha256="dca2e968140787809430caaf3b14d525705964eedc187c7368f724f77ce4eacb",
        count=13_227,
        bytes=476_146,
    ),
    "objaverse-animation-hq": PublishedList(
        file="objaverse-animation-HQ.json",
        sha256="ce9c33535d11fb25751ac4529f97c0b5e8d0a2bdda3595e9e248d84726c90172",
        count=8_069,
        bytes=290_479,
    ),
}


@dataclass(frozen=True)
class Sources:
    """The web addresses in use.

    Attributes:
        hub: address of the hub or of a mirror of it, with no slash at its end.
        lists: folder of the published lists.
        offline: nothing may be loaded.
    """

    hub: str = HUB
    lists: str = LISTS
    offline: bool = False

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Sources:
        """As the environment says: `HF_ENDPOINT`, `HF_HUB_OFFLINE`, `PUPPET_MASTER_LISTS`.

        Raises:
            InputError: an address that is none.
        """
        offline = environment.get("HF_HUB_OFFLINE", "").strip().lower() in YES
        hub = _address("HF_ENDPOINT", environment.get("HF_ENDPOINT") or HUB)
        return cls(hub, _address("PUPPET_MASTER_LISTS", environment.get("PUPPET_MASTER_LISTS") or LISTS), offline)

    def asset(self, path: str) -> str:
        """The address of a file of Objaverse."""
        return f"{self.hub}/{HUB_PATH}/{quote(path)}"

    def published(self, published: PublishedList) -> str:
        """The address of a published list."""
        return f"{self.lists}/{published.file}"


def host(address: str) -> str:
    """The host an address leads to."""
    return urlsplit(address).netloc


def cache_folder() -> Path:
    """Where the `objaverse` package keeps what it loads: shared with it, so that nothing is loaded twice."""
    try:
        import objaverse
    except ModuleNotFoundError:
        return Path.home() / CACHE
    return Path(getattr(objaverse, "_VERSIONED_PATH", Path.home() / CACHE))


def _address(name: str, text: str) -> str:
    text = text.strip().rstrip("/")
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InputError(f"{name} is {text!r}, which is no web address; write https://HOST or unset it")
    return text

# SPDX-License-Identifier: GPL-3.0-or-later
"""The model hub, as far as pulling a model needs it: what a repository holds, and each file with its checksum.

huggingface_hub knows the hub's addresses, the user's login and what other programs have loaded into its cache;
bytes come by `download.fetch_file`, which goes on with a file that an earlier process began.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import HfApi, constants, get_token, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from .download import FetchError, Patience, fetch_file
from .errors import AccessError, InputError, NetworkError
from .published import HubFile, Repository

MIRROR_VARIABLE = "HF_ENDPOINT"
TIMEOUT_S = 30.0
# The HTTP library below huggingface_hub has changed twice; its errors are the bases of the hub's own.
TRANSPORT_ERRORS = (*HfHubHTTPError.__bases__, OSError)
NO_ACCESS = (401, 403)


@dataclass(frozen=True)
class Listed:
    """A file of a repository: its size in bytes and SHA-256; empty where the hub states none (small text files)."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Listing:
    """What a repository holds at one commit."""

    repository: Repository
    commit: str
    files: dict[str, Listed]

    def file(self, path: str) -> Listed:
        """One of its files. Raises `NetworkError` if the repository has no such file."""
        if path not in self.files:
            raise NetworkError(f"{self.repository.page} has no {path}; the model may have been reorganised there")
        return self.files[path]


class Hub:
    """The hub or a mirror of it.

    Args:
        mirror: address of a mirror that speaks the hub's language; else HF_ENDPOINT's, else the hub itself.
        offline: ask nobody; only what is in the hub's cache on this computer counts. HF_HUB_OFFLINE says the same.

    Raises:
        InputError: the mirror's address is none.
    """

    def __init__(self, mirror: str | None = None, offline: bool = False) -> None:
        self.endpoint = (mirror or os.environ.get(MIRROR_VARIABLE) or constants.ENDPOINT).rstrip("/")
        if urlsplit(self.endpoint).scheme not in ("http", "https") or not urlsplit(self.endpoint).netloc:
            raise InputError(f"the mirror must be a web address such as https://hub.example.org, not {self.endpoint!r}")
        self.offline = offline or constants.HF_HUB_OFFLINE

    @property
    def host(self) -> str:
        """Whom it asks, for messages."""
        return urlsplit(self.endpoint).netloc

    def list(self, repository: Repository) -> Listing:
        """What a repository holds now.

        Raises:
            NetworkError: the hub cannot be reached, or has no such repository.
            AccessError: the hub wants a login.
        """
        token = self._token()
        try:
            info = HfApi(endpoint=self.endpoint, token=token or False).repo_info(
                repository.name, repo_type=repository.kind, files_metadata=True, timeout=TIMEOUT_S
            )
        except (GatedRepoError, RepositoryNotFoundError) as error:
            status = getattr(error.response, "status_code", 404)
            raise self._refused(repository, status if status in NO_ACCESS else 404) from error
        except HfHubHTTPError as error:
            raise self._refused(repository, getattr(error.response, "status_code", 0)) from error
        except (OfflineModeIsEnabled, *TRANSPORT_ERRORS) as error:
            raise self._unreachable(error) from error
        files = {}
        for sibling in info.siblings or ():
            checksum = getattr(sibling.lfs, "sha256", None) or ""
            files[sibling.rfilename] = Listed(sibling.rfilename, sibling.size or 0, checksum)
        return Listing(repository, info.sha or "main", files)

    def cached(self, file: HubFile, commit: str | None = None) -> Path | None:
        """The file in the hub's cache on this computer, where another program loaded it; None if it is not there."""
        found = try_to_load_from_cache(
            file.repository.name, file.path, revision=commit, repo_type=file.repository.kind
        )
        return Path(found) if isinstance(found, str) else None

    def fetch(
        self,
        listing: Listing,
        path: str,
        target: Path,
        patience: Patience,
        on_bytes: Callable[[int], None] | None = None,
    ) -> None:
        """Load one file to `target`; goes on with what an earlier process left beside it.

        Raises:
            NetworkError: it does not come, or not whole.
            AccessError: the hub wants a login, or its terms accepted.
            OutputError: it cannot be written.
            Cancelled: `patience.stop` was set.
        """
        repository = listing.repository
        listed = listing.file(path)
        url = hf_hub_url(
            repository.name, path, repo_type=repository.kind, revision=listing.commit, endpoint=self.endpoint
        )
        try:
            fetch_file(url, target, patience, listed.sha256, on_bytes=on_bytes, token=self._token())
        except FetchError as error:
            if error.status in NO_ACCESS or error.status == 404:
                raise self._refused(repository, error.status) from error
            raise NetworkError(f"{repository.name}/{path}: {error}; pull again to go on from there") from error

    def _token(self) -> str:
        try:
            return get_token() or ""
        except LocalTokenNotFoundError:
            return ""

    def _refused(self, repository: Repository, status: int) -> AccessError | NetworkError:
        """Why the hub does not give a repository, and what to do."""
        page = repository.page
        if status == 401 and not self._token():
            return AccessError(
                f"{self.host} gives {repository.name} only to people it knows: accept the terms on {page}, "
                "then log in with: hf auth login (or set HF_TOKEN)"
            )
        if status == 401:
            return AccessError(f"{self.host} does not accept your token; log in again with: hf auth login")
        if status == 403:
            return AccessError(
                f"your account at {self.host} has no access to {repository.name}: accept the terms on {page}"
            )
        if status == 404:
            return NetworkError(f"{self.host} has no {repository.name}, or not for you; see {page}")
        return NetworkError(f"{self.host} answered {status or 'nothing'} for {repository.name}; try again later")

    def _unreachable(self, error: Exception) -> NetworkError:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return NetworkError(
            f"{self.host} cannot be reached ({reason}); check the connection, name a mirror with --mirror, "
            "or import the model from files: puppet-master model import"
        )

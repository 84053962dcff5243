# SPDX-License-Identifier: GPL-3.0-or-later
"""One file from the web: resumed where it stopped, verified, tried again, and renamed into place when it is whole.

The hub answers the address of a large file with a redirect that carries the file's SHA-256 (`X-Linked-Etag`) and
size (`X-Linked-Size`). What has been loaded so far lies beside the target under a name with that checksum, so a
partial file of another version is never continued. huggingface_hub's own download begins anew in every process
(its partial files have a name of their own each time), which gigabytes are too many for.

stdlib only: data generation loads assets with it, the backend models.
"""

from __future__ import annotations

import hashlib
import http.client
import random
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from threading import Event
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

from .errors import Cancelled, OutputError

CHUNK = 1 << 18
REDIRECTS = 6
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # answers that another try may change
LONGEST_WAIT = 120.0  # seconds between two tries
NO_SUCH_RANGE = 416
REDIRECTED = (301, 302, 303, 307, 308)
SHA256 = re.compile(r"[0-9a-f]{64}")
AGENT = "puppet-master"


class FetchError(Exception):
    """One file cannot be had; the others may. The message says why.

    Attributes:
        status: the server's answer, 0 if there was none.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class _Passing(FetchError):
    """May work at the next try; `after` is how many seconds the server asks to wait."""

    def __init__(self, message: str, status: int = 0, after: float = 0.0) -> None:
        super().__init__(message, status)
        self.after = after


class _Damaged(_Passing):
    """It came whole, and is not what it should be."""


@dataclass(frozen=True)
class Fetched:
    """A file that is there, whole and verified."""

    path: Path
    bytes: int
    sha256: str


@dataclass
class Patience:
    """How long to go on trying.

    Attributes:
        retries: further tries after one that failed.
        damaged: of them, how many after a file that came whole and was not what it should be.
        timeout: seconds without a byte after which a connection counts as broken.
        first_wait: seconds before the second try; doubled each time.
        stop: set to give everything up.
    """

    retries: int = 5
    damaged: int = 5
    timeout: float = 30.0
    first_wait: float = 1.0
    stop: Event = field(default_factory=Event)


def fetch_file(
    url: str,
    target: Path,
    patience: Patience,
    sha256: str = "",
    check: Callable[[Path], None] | None = None,
    on_bytes: Callable[[int], None] | None = None,
    token: str = "",
) -> Fetched:
    """Load a file unless it fails for good.

    Args:
        url: where it is.
        target: where it goes; its folder exists.
        patience: how often to try.
        sha256: what it must be, where that is known beforehand.
        check: raises ValueError if the whole file is not what it should be.
        on_bytes: told how many bytes came; negative where bytes are thrown away again.
        token: told to the host of `url`, and to no other that it redirects to.

    Raises:
        FetchError: the server does not have it, or it did not come whole in all tries.
        OutputError: it cannot be written.
        Cancelled: `patience.stop` was set.
    """
    attempt = damaged = 0
    while True:
        try:
            return _try(url, target, patience, sha256, check, on_bytes or (lambda count: None), token)
        except _Passing as error:
            attempt += 1
            damaged += isinstance(error, _Damaged)
            if attempt > patience.retries or damaged > patience.damaged:
                raise FetchError(f"{error}, after {attempt} tries", error.status) from error
            wait = patience.first_wait * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)
            if patience.stop.wait(min(max(wait, error.after), LONGEST_WAIT)):
                raise Cancelled("stopped") from None


def _try(
    url: str,
    target: Path,
    patience: Patience,
    sha256: str,
    check: Callable[[Path], None] | None,
    on_bytes: Callable[[int], None],
    token: str,
) -> Fetched:
    try:
        answer = _ask(url, target, sha256, patience.timeout, token)
    except (OSError, http.client.HTTPException) as error:
        raise _passing(url, error) from error
    with answer.stream as stream:
        on_bytes(answer.start)
        received = _save(stream, answer.partial, answer.start, url, patience, on_bytes)
    if answer.size is not None and received < answer.size:
        on_bytes(-received)
        raise _Passing(f"{_host(url)} sent {received} of {answer.size} bytes")
    return _accept(answer.partial, target, answer.sha256, answer.size, check, lambda: on_bytes(-received))


def _accept(
    partial: Path,
    target: Path,
    sha256: str,
    size: int | None,
    check: Callable[[Path], None] | None,
    forget: Callable[[], None],
) -> Fetched:
    """Verify a partial file and rename it; thrown away if it is not what it should be."""
    try:
        found = digest(partial)
        real = partial.stat().st_size
        fault = ""
        if size is not None and real != size:
            fault = f"{real} bytes, {size} expected"
        elif sha256 and found != sha256:
            fault = f"checksum {found[:12]}…, {sha256[:12]}… expected"
        elif check is not None:
            try:
                check(partial)
            except ValueError as error:
                fault = str(error)
        if fault:
            partial.unlink()
            forget()
            raise _Damaged(f"{target.name} came damaged: {fault}")
        partial.replace(target)
    except OSError as error:
        raise _unwritable(target, error) from error
    return Fetched(target, real, found)


@dataclass
class _Answer:
    """What the servers say about a file, and its bytes.

    Attributes:
        sha256: of the file; empty if nobody states it.
        size: of the file; None if nobody states it.
        partial: what was loaded before, and where the rest goes.
        start: bytes that are there already.
        stream: the bytes from there on.
    """

    sha256: str
    size: int | None
    partial: Path
    start: int = 0
    stream: Any = None


def _ask(url: str, target: Path, sha256: str, timeout: float, token: str) -> _Answer:
    """Follow an address up to the bytes; as soon as the checksum is known, ask for the missing ones only."""
    answer = _Answer(sha256, None, _partial_of(target, sha256))
    trusted = _host(url)
    for _ in range(REDIRECTS):
        kept = _size_of(answer.partial) if answer.sha256 else 0
        if kept and kept == answer.size:
            answer.start, answer.stream = kept, _Nothing()
            return answer
        try:
            headers = {"Range": f"bytes={kept}-"} if kept else {}
            if token and _host(url) == trusted:
                headers["Authorization"] = f"Bearer {token}"
            reply = _open(url, headers, timeout)
        except FetchError as error:
            if error.status != NO_SUCH_RANGE or not kept:
                raise
            answer.partial.unlink(missing_ok=True)  # it is longer than the file: of no use
            raise _Passing(str(error), error.status) from error
        if not answer.sha256:
            answer.sha256 = _checksum(reply.headers)
            answer.partial = _partial_of(target, answer.sha256)
        if (linked := reply.headers.get("X-Linked-Size", "")).isdigit():
            answer.size = int(linked)
        if reply.status in REDIRECTED:
            reply.close()
            url = urljoin(url, reply.headers.get("Location", ""))
            if urlsplit(url).scheme not in ("http", "https"):
                raise FetchError(f"redirected to {url!r}, which is no web address")
            continue
        start, size = _span(reply)
        if start not in (0, kept):
            reply.close()
            raise _Passing(f"{_host(url)} sent another range than was asked for")
        answer.start, answer.stream = start, reply
        answer.size = answer.size if answer.size is not None else size
        return answer
    raise FetchError(f"{_host(url)} redirects without end")


def _partial_of(target: Path, sha256: str) -> Path:
    """Without a checksum nobody could tell whether the rest belongs to the beginning: such a file is begun anew."""
    return target.with_name(f".{target.name}.{sha256[:16] or 'unverified'}.partial")


def _span(reply: Any) -> tuple[int, int | None]:
    """Where the bytes of a reply begin, and how long the whole file is."""
    if reply.status == 206 and (span := re.match(r"bytes (\d+)-\d+/(\d+|\*)", reply.headers.get("Content-Range", ""))):
        return int(span[1]), int(span[2]) if span[2].isdigit() else None
    length = reply.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


class _Nothing:
    """Stands for the rest of a file that is there already."""

    def __enter__(self) -> _Nothing:
        return self

    def __exit__(self, *fault: object) -> None:
        return None

    def read(self, size: int) -> bytes:
        return b""


def _save(stream: Any, partial: Path, start: int, url: str, patience: Patience, on_bytes: Callable[[int], None]) -> int:
    """Append the stream to the partial file; returns the file's size then. A broken connection ends it early."""
    received = start
    try:
        with partial.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            while data := _read(stream, url):
                file.write(data)
                received += len(data)
                on_bytes(len(data))
                if patience.stop.is_set():
                    raise Cancelled("stopped")
    except OSError as error:
        raise _unwritable(partial, error) from error
    except _Passing:
        on_bytes(-received)  # the next try counts them again
        raise
    return received


def _read(stream: Any, url: str) -> bytes:
    try:
        return stream.read(CHUNK)
    except http.client.IncompleteRead as error:
        if error.partial:
            return error.partial
        raise _passing(url, error) from error
    except (OSError, http.client.HTTPException) as error:
        raise _passing(url, error) from error


class _Stay(urllib.request.HTTPRedirectHandler):
    """Hands redirects back instead of following them: their headers are wanted."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow nothing."""
        return None


_OPENER = urllib.request.build_opener(_Stay)


def _open(url: str, headers: Mapping[str, str], timeout: float) -> IO[bytes] | Any:
    """An answer of the server: bytes or a redirect.

    Raises:
        FetchError: it refuses.
    """
    request = urllib.request.Request(url, headers={"User-Agent": AGENT, "Accept-Encoding": "identity", **headers})
    try:
        return _OPENER.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code in REDIRECTED:
            return error
        error.close()
        message = f"{_host(url)} answered {error.code} {error.reason}".rstrip()
        if error.code in PASSING:
            raise _Passing(message, error.code, _seconds(error.headers.get("Retry-After"))) from error
        raise FetchError(message, error.code) from error


def _checksum(headers: Message) -> str:
    for name in ("X-Linked-Etag", "ETag"):
        tag = (headers.get(name) or "").removeprefix("W/").strip('"').lower()
        if SHA256.fullmatch(tag):
            return tag
    return ""


def _seconds(text: str | None) -> float:
    """Seconds of a Retry-After header; its form with a date is taken for none."""
    return float(text) if text and text.strip().isdigit() else 0.0


def _passing(url: str, error: Exception) -> _Passing:
    """What a broken connection means for the caller: that another try may work."""
    reason = getattr(error, "reason", None) or error
    return _Passing(f"{_host(url)} cannot be reached: {reason}")


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {error.strerror or error}; make room or choose another folder")


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

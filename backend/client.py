# SPDX-License-Identifier: GPL-3.0-or-later
"""Talks to a running backend over loopback HTTP. stdlib only: the command line and the add-on use it.

One connection per call: nothing to keep alive, and every method may be called from any thread.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any

from .errors import BackendError, InputError, from_wire
from .protocol import PreviewRequest
from .wire import FINAL_STATES, HOST, MAX_REQUEST_BYTES, Event, Status

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 30.0
# The server sends a keep-alive every few seconds; this much silence means a lost stream.
STREAM_SILENCE_S = 20.0
RECONNECTS = 3


class BackendClient:
    """A backend reached at `port` with its `token`.

    Every method raises `BackendError` when the backend cannot be reached or stopped, and the error
    the backend answered with otherwise.

    Args:
        port: loopback port.
        token: the bearer token of the handshake.
        why_stopped: asked when a connection fails; a sentence if the backend process has ended.
    """

    def __init__(
        self, port: int, token: str, why_stopped: Callable[[], str | None] | None = None
    ) -> None:
        self.port = port
        self._headers = {"Authorization": f"Bearer {token}", "Connection": "close"}
        self._why_stopped = why_stopped

    def health(self) -> dict[str, Any]:
        """The backend's status, versions, device and models."""
        return self._json("GET", "/v1/health")

    def submit(self, request: PreviewRequest) -> str:
        """Queue a preview; returns its id. Raises `InputError`/`ModelError` if the backend refuses it."""
        body = json.dumps(request.to_json()).encode()
        if len(body) > MAX_REQUEST_BYTES:
            raise InputError(
                f"the request takes {len(body) / 2**20:.0f} MiB, more than the backend's "
                f"{MAX_REQUEST_BYTES // 2**20} MiB; use a smaller still"
            )
        return self._json("POST", "/v1/previews", body)["id"]

    def previews(self) -> list[Status]:
        """Statuses of the previews the backend remembers, oldest first."""
        return self._json("GET", "/v1/previews")["previews"]

    def status(self, preview: str) -> Status:
        """The preview's current status."""
        return self._json("GET", f"/v1/previews/{preview}")

    def events(self, preview: str, estimates: bool = True) -> Iterator[Event]:
        """Follow a preview until its final status, which is the last event.

        The first event is the current status. A stream that falls silent or breaks is opened again;
        without `estimates` the backend spends no time on decoding them.
        """
        path = f"/v1/previews/{preview}/events?estimates={int(estimates)}"
        failures = 0
        while True:
            try:
                for event in self._stream(path):
                    failures = 0
                    yield event
                    if event.kind == "status" and event.data["state"] in FINAL_STATES:
                        return
                raise HTTPException("the event stream ended early")
            except (OSError, HTTPException) as error:
                failures += 1
                if failures > RECONNECTS or self._stopped():
                    raise self._unreachable(error) from error

    def frame_png(self, preview: str, index: int) -> bytes:
        """Frame `index` (0: the still's own) of a finished preview, encoded as PNG."""
        return self._bytes("GET", f"/v1/previews/{preview}/frames/{index}.png")

    def mp4(self, preview: str) -> bytes:
        """A finished preview as an mp4."""
        return self._bytes("GET", f"/v1/previews/{preview}/preview.mp4")

    def cancel(self, preview: str) -> Status:
        """Cancel a queued preview at once, a running one between two steps; a finished one stays as it is."""
        return self._json("DELETE", f"/v1/previews/{preview}")

    def rest(self) -> None:
        """Have the weights leave memory once the previews that are queued are made; returns at once."""
        self._json("POST", "/v1/rest")

    def shutdown(self) -> None:
        """Ask the backend to cancel what it does and exit."""
        self._json("POST", "/v1/shutdown")

    def _json(self, method: str, path: str, body: bytes | None = None) -> Any:
        data = self._bytes(method, path, body)
        try:
            return json.loads(data)
        except json.JSONDecodeError as error:
            raise BackendError(f"port {self.port} does not answer like a backend: {data[:80]!r}") from error

    def _bytes(self, method: str, path: str, body: bytes | None = None) -> bytes:
        try:
            with self._open(method, path, body, ANSWER_TIMEOUT_S) as response:
                return response.read()
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from error

    def _stream(self, path: str) -> Iterator[Event]:
        with self._open("GET", path, None, STREAM_SILENCE_S) as response:
            kind, data = "message", ""
            for line in _lines(response):
                name, _, value = line.partition(":")
                if name == "event":
                    kind = value.strip()
                elif name == "data":
                    data += value.strip()
                elif not line and data:
                    yield Event(kind, json.loads(data))
                    kind, data = "message", ""

    @contextlib.contextmanager
    def _open(
        self, method: str, path: str, body: bytes | None, timeout: float
    ) -> Iterator[HTTPResponse]:
        """An answered request. Raises OSError or HTTPException without an answer, else the error in it."""
        connection = HTTPConnection(HOST, self.port, timeout=CONNECT_TIMEOUT_S)
        try:
            connection.connect()
            connection.sock.settimeout(timeout)
            connection.request(method, path, body, self._headers)
            response = connection.getresponse()
            if response.status >= 400:
                raise _error_in(response.status, response.read())
            yield response
        finally:
            connection.close()

    def _stopped(self) -> str | None:
        return self._why_stopped() if self._why_stopped else None

    def _unreachable(self, error: BaseException) -> BackendError:
        if sentence := self._stopped():
            return BackendError(sentence)
        reason = str(error) or type(error).__name__
        return BackendError(f"the backend on port {self.port} does not answer ({reason}); start it again")


def _lines(response: HTTPResponse) -> Iterator[str]:
    while line := response.readline():
        yield line.decode("utf-8").rstrip("\r\n")


def _error_in(status: int, body: bytes) -> Exception:
    try:
        error = json.loads(body)["error"]
        return from_wire(error["kind"], error["message"])
    except (ValueError, KeyError, TypeError):
        return BackendError(f"the backend answered HTTP {status}: {body[:200].decode('utf-8', 'replace')}")

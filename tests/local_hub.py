# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub of our own on loopback: real HTTP, with the faults that the real one has."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import struct
import threading
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

RESOLVED = re.compile(r"/?(cdn/)?(.+/resolve/[^/]+/)?")  # what comes before a file's path


def glb(size: int, seed: int = 0) -> bytes:
    """A file with a GLB's header and noise."""
    return struct.pack("<4sII", b"glTF", 2, size) + np.random.default_rng(seed).bytes(size - 12)


class Hub:
    """Files by path, and what goes wrong with them.

    Attributes:
        files: path -> contents.
        checksums: path -> checksum stated instead of the true one.
        faults: path -> answers to give first: a status, ("break", bytes) or ("wait", seconds).
        asked: path -> how often its bytes were asked for.
        ranges: the ranges asked for, in order.
        sent: path -> bytes sent.
        plain: no redirects and no checksums, as a simple mirror answers.
        ranged: whether ranges are served.
        repositories: name -> paths of the files that the hub's API lists for it.
        refused: path -> status with which the hub itself, not its store of bytes, refuses.
        token: what must be told to be let in; None lets everybody in.
    """

    def __init__(self) -> None:
        self.files, self.checksums = {}, {}
        self.faults = defaultdict(list)
        self.asked, self.sent = Counter(), Counter()
        self.ranges: list[str] = []
        self.plain, self.ranged = False, True
        self.repositories: dict[str, list[str]] = {}
        self.refused: dict[str, int] = {}
        self.token: str | None = None
        self.stall = threading.Event()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.answer(self)

            def log_message(self, *args) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def path_of(self, request: BaseHTTPRequestHandler) -> str:
        """Which of the files a request is for."""
        return request.path[RESOLVED.match(request.path).end() :]

    def address(self, path: str) -> str:
        """Where a file is."""
        return f"{self.url}/owner/name/resolve/main/{path}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.path.startswith("/api/"):
            return self._list(request)
        path = self.path_of(request)
        if not request.path.startswith("/cdn"):
            if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
                return self._head(request, 401, {"X-Error-Code": "GatedRepo"})
            if path in self.refused:
                return self._head(request, self.refused[path], {})
        elif "Authorization" in request.headers:
            return self._head(request, 400, {})  # the token is the hub's business alone
        data = self.files.get(path)
        if data is None:
            return self._head(request, 404, {})
        if not self.plain and not request.path.startswith("/cdn"):
            checksum = self.checksums.get(path, hashlib.sha256(data).hexdigest())
            headers = {"X-Linked-Etag": f'"{checksum}"', "X-Linked-Size": str(len(data)), "Location": f"http://localhost:{self.server.server_port}/cdn/{path}"}
            return self._head(request, 302, headers)
        self.asked[path] += 1
        fault = self.faults[path].pop(0) if self.faults[path] else None
        if isinstance(fault, int):
            return self._head(request, fault, {"Retry-After": "0"})
        return self._send(request, path, data, fault)

    def _list(self, request: BaseHTTPRequestHandler) -> None:
        """A repository's files, as the hub's API tells them."""
        name = "/".join(request.path.split("?")[0].split("/")[3:5])
        if name not in self.repositories:
            return self._head(request, 404, {"X-Error-Code": "RepoNotFound"})
        siblings = []
        for path in self.repositories[name]:
            digest = self.checksums.get(path, hashlib.sha256(self.files[path]).hexdigest())
            size = len(self.files[path])
            lfs = {"size": size, "sha256": digest, "pointerSize": 130}
            siblings.append({"rfilename": path, "size": size, "blobId": "0" * 40, "lfs": lfs})
        body = json.dumps({"id": name, "sha": "a" * 40, "siblings": siblings, "tags": [], "private": False}).encode()
        self._head(request, 200, {"Content-Type": "application/json", "Content-Length": str(len(body))}, close=False)
        return request.wfile.write(body)

    def _send(self, request, path, data, fault) -> None:
        start = 0
        if (span := request.headers.get("Range")) and self.ranged:
            self.ranges.append(span)
            start = int(span.removeprefix("bytes=").rstrip("-"))
        if start >= len(data):
            return self._head(request, 416, {})
        status = 206 if start else 200
        headers = {"Content-Length": str(len(data) - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._head(request, status, headers, close=False)
        body = data[start:]
        if isinstance(fault, tuple):
            body = body[: fault[1]]
        self.sent[path] += len(body)
        request.wfile.write(body)
        request.wfile.flush()
        if isinstance(fault, tuple):
            if fault[0] == "stall":
                self.stall.wait(20)
            request.close_connection = True

    def _head(self, request, status, headers, close=True) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        if close:
            request.send_header("Content-Length", "0")
        request.end_headers()

    def publish(self, objects: dict[str, dict]) -> None:
        """Offer objects: uid -> folder, metadata, and the file's contents under `data`."""
        paths, metadata = {}, defaultdict(dict)
        for uid, known in objects.items():
            folder = known.get("folder", "000-000")
            paths[uid] = f"glbs/{folder}/{uid}.glb"
            metadata[folder][uid] = {key: value for key, value in known.items() if key not in ("folder", "data")}
            if known.get("data") is not None:
                self.files[paths[uid]] = known["data"]
        self.files["object-paths.json.gz"] = gzip.compress(json.dumps(paths).encode())
        for folder, listed in metadata.items():
            self.files[f"metadata/{folder}.json.gz"] = gzip.compress(json.dumps(listed).encode())


@pytest.fixture
def hub():
    """A running hub with nothing in it."""
    hub = Hub()
    yield hub
    hub.stall.set()
    hub.server.shutdown()
    hub.server.server_close()


@pytest.fixture
def no_proxy(monkeypatch):
    """Loopback is asked directly."""
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    for name in ("HF_HUB_OFFLINE", "HF_ENDPOINT", "PUPPET_MASTER_LISTS"):
        monkeypatch.delenv(name, raising=False)

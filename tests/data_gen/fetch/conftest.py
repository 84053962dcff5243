# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub of our own on loopback: real HTTP, with the faults that the real one has."""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
import threading
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from puppet_master.data_gen.fetch.sources import HUB_PATH


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
    """

    def __init__(self) -> None:
        self.files, self.checksums = {}, {}
        self.faults = defaultdict(list)
        self.asked, self.sent = Counter(), Counter()
        self.ranges: list[str] = []
        self.plain, self.ranged = False, True
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

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.removeprefix("/cdn").removeprefix(f"/{HUB_PATH}").strip("/")
        data = self.files.get(path)
        if data is None:
            return self._head(request, 404, {})
        if not self.plain and not request.path.startswith("/cdn"):
            checksum = self.checksums.get(path, hashlib.sha256(data).hexdigest())
            headers = {"X-Linked-Etag": f'"{checksum}"', "X-Linked-Size": str(len(data)), "Location": f"/cdn/{path}"}
            return self._head(request, 302, headers)
        self.asked[path] += 1
        fault = self.faults[path].pop(0) if self.faults[path] else None
        if isinstance(fault, int):
            return self._head(request, fault, {"Retry-After": "0"})
        return self._send(request, path, data, fault)

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
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for name in ("HF_HUB_OFFLINE", "HF_ENDPOINT", "PUPPET_MASTER_LISTS"):
        monkeypatch.delenv(name, raising=False)

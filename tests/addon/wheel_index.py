# SPDX-License-Identifier: GPL-3.0-or-later
"""A package index on this computer with empty packages of the names and versions that the lock has."""

from __future__ import annotations

import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODULES = {"pillow": "PIL"}


def wheel(name, version, module):
    """A wheel with one empty module."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{module}/__init__.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return buffer.getvalue()


class WheelIndex:
    """Serves `/simple/`. `hold` names a package whose download waits until `free` is set.

    Attributes:
        asked: file names that were fetched.
    """

    def __init__(self, versions):
        self.files = {}
        for name, version in versions.items():
            stem = name.replace("-", "_")
            self.files[f"{stem}-{version}-py3-none-any.whl"] = wheel(stem, version, MODULES.get(name, stem))
        self.asked, self.hold, self.free = [], None, threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/simple"

    def close(self):
        self.free.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(index):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path = self.path.replace("%2B", "+").rstrip("/").rpartition("/")[2]
                if path in index.files:
                    index.asked.append(path)
                    if index.hold and path.startswith(index.hold):
                        index.free.wait(60)
                    return self._answer(index.files[path], "application/octet-stream")
                stem = path.replace("-", "_") + "-"
                names = [name for name in index.files if name.startswith(stem)]
                if not names:
                    return self.send_error(404)
                links = "".join(f'<a href="/files/{name.replace("+", "%2B")}">{name}</a>' for name in names)
                return self._answer(links.encode(), "text/html")

            def _answer(self, data, kind):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        return Handler

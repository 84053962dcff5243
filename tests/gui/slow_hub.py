# SPDX-License-Identifier: GPL-3.0-or-later
"""Program: a hub on loopback that offers `svd`, small files of zeros slowly sent. Prints its address and stays."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from local_hub import Hub
from puppet_master.backend.published import SVD

BYTES, PIECE, PAUSE_S = 4_000_000, 50_000, 0.1


class SlowHub(Hub):
    """Sends a piece at a time."""

    def _send(self, request, path, data, fault):
        start = int((request.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        headers = {"Content-Length": str(len(data) - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            print(f"range {start}", flush=True)
        self._head(request, 206 if start else 200, headers, close=False)
        try:
            for at in range(start, len(data), PIECE):
                request.wfile.write(data[at : at + PIECE])
                time.sleep(PAUSE_S)
        except ConnectionError:  # who asked was stopped
            request.close_connection = True


if __name__ == "__main__":
    hub = SlowHub()
    for file in SVD.files:
        hub.files[file.path] = bytes(BYTES)
        hub.repositories.setdefault(file.repository.name, []).append(file.path)
    print(hub.url, flush=True)
    time.sleep(3600)

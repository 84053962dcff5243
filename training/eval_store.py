# SPDX-License-Identifier: GPL-3.0-or-later
"""What an evaluation has made so far, on disk, so that a killed run goes on where it was.

Everything lies under a key: a hash over all that shapes it (model, request, clip, code). Whoever asks with another
model, clip or program finds nothing and makes it anew; what cannot be read counts as not made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backend.clips import DAMAGE, decode_arrays, decode_strip, encode_arrays, encode_strip
from ..backend.protocol import PreviewRequest
from .whole_files import make_folder, write_whole

Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Prediction:
    """A clip as a model made it.

    Attributes:
        frames: uint8 `[N, H, W, 3]`.
        result: the preview's own record.
        seconds: what making it took.
    """

    frames: NDArray[np.uint8]
    result: dict[str, Any]
    seconds: float


class Store:
    """A folder of predictions, measures and arrays by key."""

    def __init__(self, folder: Path) -> None:
        """Raises `OutputError` where the folder cannot be made."""
        self._folder = make_folder(folder)

    def prediction(self, key: str) -> Prediction | None:
        """A prediction, None if it is not there whole."""
        try:
            made = json.loads(self._path(key, "json").read_bytes())
            frames = decode_strip(self._path(key, "png").read_bytes(), made["frames"])
            return Prediction(frames, made["result"], made["seconds"])
        except DAMAGE:
            return None

    def keep(self, key: str, prediction: Prediction) -> None:
        """Write a prediction; its record last, which says that it is whole. Raises `OutputError`."""
        write_whole(self._path(key, "png"), encode_strip(prediction.frames))
        made = {"frames": len(prediction.frames), "result": prediction.result, "seconds": prediction.seconds}
        write_whole(self._path(key, "json"), json.dumps(made))

    def values(self, key: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """A mapping of JSON values; made and kept if it is not there. Raises `OutputError`."""
        path = self._path(key, "json")
        try:
            return dict(json.loads(path.read_bytes()))
        except DAMAGE:
            found = make()
            write_whole(path, json.dumps(found))
            return found

    def arrays(self, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Arrays by name; made and kept if they are not there. Raises `OutputError`."""
        path = self._path(key, "npz")
        try:
            return decode_arrays(path.read_bytes())
        except DAMAGE:
            found = make()
            write_whole(path, encode_arrays(found))
            return found

    def _path(self, key: str, ending: str) -> Path:
        return self._folder / f"{key}.{ending}"


def key_of(kind: str, **parts: Any) -> str:
    """A file name for what all these parts shape, JSON values: `KIND-HASH`."""
    text = json.dumps(parts, sort_keys=True)
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def key_of_request(model_hash: str, device: str, request: PreviewRequest) -> str:
    """The key of what a model answers to a request."""
    asked = request.to_json()
    # The model counts by its weights, wherever they lie.
    del asked["model"]
    return key_of("prediction", model=model_hash, device=device, request=asked, code=code_digest("backend"))


@cache
def code_digest(room: str, *names: str) -> str:
    """SHA-256 over the sources of a room of this package: the files `names`, or all of it, sub-rooms included.

    Predictions and measures of one version of the code are not those of another.
    """
    folder = Path(__file__).resolve().parents[1] / room
    paths = [folder / name for name in names] if names else sorted(folder.rglob("*.py"))
    total = hashlib.sha256()
    for path in paths:
        total.update(path.relative_to(folder).as_posix().encode())
        total.update(path.read_bytes())
    return total.hexdigest()

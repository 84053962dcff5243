# SPDX-License-Identifier: GPL-3.0-or-later
"""Drags from files of other programs: ComfyUI's track JSON and Wan-Move's arrays. stdlib and numpy only.

Both hold pixels of a picture whose size the file does not tell, one place for each frame of a clip. Sources: ComfyUI's
`WanTrackToVideo` node (its `tracks` text: a list of {"x", "y"}, or a list of such lists); Wan-Move's `--track` and
`--track_visibility` (`[frames, tracks, 2]` and `[frames, tracks]`, each perhaps with a leading 1).
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..protocol import Drag, DragPoint, drags_from_json

ARRAY = ".npy"
STRAIGHT = 2e-4  # of the side: a place nearer than that to the line between its neighbours is left out


def read_drags(path: Path, size: tuple[int, int] | None, visibility: Path | None = None) -> list[Drag]:
    """Read a drag file of any known format.

    Args:
        path: our own JSON, ComfyUI's track JSON, or Wan-Move's `.npy`.
        size: width and height in pixels of the picture that the tracks were drawn on; our own format needs none.
        visibility: Wan-Move's visibility array, if there is one; tracks unseen at the start are left out.

    Raises:
        InputError: names the file, and what in it cannot be read.
    """
    if path.suffix.lower() == ARRAY:
        tracks = _load_array(path)
        if tracks.ndim != 3 or tracks.shape[2] != 2 or tracks.dtype.kind not in "iuf":
            found = f"the shape {list(tracks.shape)} and the type {tracks.dtype}"
            raise InputError(f"{path} has {found}; Wan-Move's tracks are numbers [frames, tracks, 2]")
        seen = _visibility(visibility, tracks.shape[:2])
        return _drags(path, list(tracks.transpose(1, 0, 2).astype(np.float64)), list(seen.T), size)
    if visibility:
        raise InputError(f"{visibility}: visibility belongs to Wan-Move's .npy tracks, not to {path}")
    content = _load_json(path)
    try:
        if isinstance(content, dict):
            return drags_from_json(content)
        tracks = [_track(track, index) for index, track in enumerate(_list_of_tracks(content))]
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return _drags(path, tracks, [np.ones(len(track), bool) for track in tracks], size)


def _load_array(path: Path) -> NDArray[Any]:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot read {path} as an array: {error}") from error
    if not isinstance(found, np.ndarray):
        found.close()
        raise InputError(f"{path} is an archive of arrays; save the tracks alone, with numpy.save")
    # Both arrays may come with the batch as their first axis.
    return found[0] if found.ndim > 2 and found.shape[0] == 1 else found


def _visibility(path: Path | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """`[frames, tracks]`."""
    if path is None:
        return np.ones(shape, bool)
    found = _load_array(path)
    if found.ndim == 3 and found.shape[2] == 1:
        found = found[..., 0]
    if found.shape != tuple(shape):
        raise InputError(f"{path} has the shape {list(found.shape)}, but its tracks have {list(shape)}")
    return found.astype(bool)


def _load_json(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read drag file {path}: {error}") from error
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        try:
            return json.loads(text.replace("'", '"'))  # ComfyUI takes single quotes, so people write them
        except (ValueError, RecursionError):
            raise InputError(f"drag file {path} is not JSON ({error})") from error


def _list_of_tracks(content: Any) -> list[Any]:
    if isinstance(content, list) and content and isinstance(content[0], dict):
        return [content]
    if not isinstance(content, list) or not all(isinstance(track, list) for track in content):
        raise InputError('neither a drag file ({"version": 1, "drags": [...]}) nor tracks ([[{"x": 0, "y": 0}, ...]])')
    return content


def _track(track: list[Any], index: int) -> NDArray[np.float64]:
    """`[frames, 2]`."""
    try:
        return np.array([(float(point["x"]), float(point["y"])) for point in track], np.float64).reshape(-1, 2)
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise InputError(f'track {index}: each place must be {{"x": number, "y": number}}') from error


def _drags(
    path: Path, tracks: list[NDArray[np.float64]], seen: list[NDArray[np.bool_]], size: tuple[int, int] | None
) -> list[Drag]:
    """Tracks in pixels as drags; those unseen at the start cannot be held there and are left out."""
    if size is None:
        raise InputError(f'{path} holds pixels; say of what size of picture: "tracks_size": "WIDTHxHEIGHT"')
    drags = []
    for index, (track, visible) in enumerate(zip(tracks, seen, strict=True)):
        if not len(track) or not visible[0]:
            continue
        name = f"track {index}"
        try:
            drags.append(Drag(name, _points(track / np.array(size, np.float64), visible)))
        except InputError as error:
            raise InputError(f"{path}: {error} (tracks are taken as pixels of {size[0]}x{size[1]})") from error
    if not drags:
        raise InputError(f"{path} holds no track that is seen at the start; nothing can be dragged")
    return drags


def _points(places: NDArray[np.float64], visible: NDArray[np.bool_]) -> tuple[DragPoint, ...]:
    """The visible places `[frames, 2]`, normalised, at their times; those on a straight way are left out."""
    if len(places) == 1:
        places, visible = np.repeat(places, 2, axis=0), np.ones(2, bool)
    times = np.linspace(0.0, 1.0, len(places))[visible]
    places = places[visible]
    if len(times) == 1:  # never seen again: it is not known where it goes, so it is held
        times, places = np.array([0.0, 1.0]), np.repeat(places, 2, axis=0)
    kept = _corners(times, places)
    return tuple(DragPoint(float(times[i]), float(places[i, 0]), float(places[i, 1])) for i in kept)


def _corners(times: NDArray[np.float64], places: NDArray[np.float64]) -> list[int]:
    """Indices of the places without which the path in time would differ (Douglas-Peucker)."""
    kept, spans = {0, len(times) - 1}, [(0, len(times) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        share = ((times[first + 1 : last] - times[first]) / (times[last] - times[first]))[:, None]
        straight = places[first] + share * (places[last] - places[first])
        off = np.linalg.norm(places[first + 1 : last] - straight, axis=1)
        if off.max() > STRAIGHT:
            middle = first + 1 + int(off.argmax())
            kept.add(middle)
            spans += [(first, middle), (middle, last)]
    return sorted(kept)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The clip: what data generation writes and training and evaluation read.

A clip NAME is a few files of one stem, members of a tar shard:

| member | content |
|---|---|
| `NAME.frames.png` | the frames stacked downwards, RGBA with straight alpha, lossless |
| `NAME.points.npz` | `drags`, `tracks`, `visible`, `part` and whatever other arrays speak of points |
| `NAME.meta.json` | where the clip comes from |
| `NAME.depth.npy`, `NAME.flow.npy`, `NAME.partid.png`, `NAME.normal.png`, `NAME.paths.npz` | passes, if asked for |

A film strip in one PNG is lossless with its alpha, opens in every image viewer, and needs no video library
to write (Blender's own Python has none) or to read. Writing needs the stdlib and numpy, reading Pillow.
"""

from __future__ import annotations

import io
import json
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .png import encode_png

FRAMES, POINTS, META = "frames.png", "points.npz", "meta.json"
# Pass -> (member, dtype, values a pixel; 0 for none of their own axis). Strips are uint8 images, the rest arrays.
PASSES: dict[str, tuple[str, type[np.generic], int]] = {
    "depth": ("depth.npy", np.float16, 0),
    "flow": ("flow.npy", np.float16, 2),
    "part": ("partid.png", np.uint8, 0),
    "normal": ("normal.png", np.uint8, 3),
    "paths": ("paths.npz", np.float16, 3),
}
BETWEEN_FRAMES = ("flow", "paths")  # passes that are one shorter than the clip

# All that numpy, zipfile and Pillow have been seen to raise for damaged bytes, headers above all.
DAMAGE = (
    OSError, ValueError, KeyError, IndexError, EOFError, SyntaxError, TypeError, RuntimeError,
    tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclass(frozen=True)
class Clip:
    """A rendered clip. N frames of H x W, K drags, P points.

    Attributes:
        frames: uint8 `[N, H, W, 4]`, straight alpha; or the first alone, `[1, H, W, 4]`.
        drags: float32 `[K, N, 2]`, normalised image coordinates, pins included.
        tracks: float32 `[P, N, 2]`, normalised image coordinates; may lie outside [0, 1].
        visible: bool `[P, N]`, inside the frame and not covered.
        part: int16 `[P]`, 0 for the static body.
        meta: where the clip comes from; JSON values only.
        extra: further arrays about points or drags, by name; kept as they are.
        passes: per-pixel ground truth by name, see `PASSES`: `depth` float16 `[N, H, W]` (camera-space depth
            over the asset's size, inf where nothing is), `flow` float16 `[N-1, H, W, 2]` (pixels, to the next
            frame; NaN where nothing is), `part` uint8 `[N, H, W]` (part id + 1, 0 where nothing is), `normal`
            uint8 `[N, H, W, 3]` (camera space, (n + 1)·127.5; 0, 0, 0 where nothing is), `paths` float16
            `[N-1, H, W, 3]` (where what each pixel of the first frame shows is in the later ones: pixels to the
            right and down from there, depth over the asset's size; NaN where nothing is).
    """

    frames: NDArray[np.uint8]
    drags: NDArray[np.float32]
    tracks: NDArray[np.float32]
    visible: NDArray[np.bool_]
    part: NDArray[np.int16]
    meta: dict[str, Any]
    extra: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    passes: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)


def encode_clip(clip: Clip) -> dict[str, bytes]:
    """A clip's members by their endings; the same clip always gives the same bytes.

    Raises:
        InputError: its arrays do not fit together.
    """
    check_clip("to be written", clip)
    points = {
        "drags": clip.drags, "tracks": clip.tracks, "visible": clip.visible, "part": clip.part, **clip.extra,
    }  # fmt: skip
    members = {FRAMES: encode_strip(clip.frames), POINTS: encode_arrays(points), META: encode_json(clip.meta)}
    for name, values in clip.passes.items():
        members[PASSES[name][0]] = _encode_pass(name, values)
    return members


def _encode_pass(name: str, values: NDArray[np.generic]) -> bytes:
    ending = PASSES[name][0]
    if ending.endswith(".png"):
        return encode_strip(values)
    return encode_arrays({name: values}) if ending.endswith(".npz") else _encode_array(values)


def _decode_pass(name: str, data: bytes, count: int) -> NDArray[np.generic]:
    ending = PASSES[name][0]
    if ending.endswith(".png"):
        return decode_strip(data, count)
    return decode_arrays(data)[name] if ending.endswith(".npz") else _decode_array(data)


def decode_clip(name: str, members: Mapping[str, bytes]) -> Clip:
    """Read a clip from its members.

    Raises:
        InputError: a member is missing or damaged, or the arrays do not fit together; the message names the clip.
    """
    missing = [ending for ending in (FRAMES, POINTS, META) if ending not in members]
    if missing:
        raise InputError(f"clip {name} has no {' and no '.join(missing)}; render it again")
    try:
        meta = json.loads(members[META])
        arrays = decode_arrays(members[POINTS])
        known = {key: arrays.pop(key) for key in ("drags", "tracks", "visible", "part")}
        count = known["drags"].shape[1]
        passes = {
            key: _decode_pass(key, members[ending], count)
            for key, (ending, _, _) in PASSES.items()
            if ending in members
        }
        frames = decode_strip(members[FRAMES], 1 if meta.get("still_only") else count)
        clip = Clip(frames, **known, meta=meta, extra=arrays, passes=passes)
    except DAMAGE as error:
        raise InputError(f"clip {name} cannot be read: {error}; render it again") from error
    check_clip(name, clip)
    return clip


def check_clip(name: str, clip: Clip) -> None:
    """Check types and shapes.

    Raises:
        InputError: naming the clip and the array.
    """
    count, points = clip.drags.shape[1], len(clip.tracks)
    size = clip.frames.shape[1:3]
    expected = {
        "frames": (clip.frames, np.uint8, (1 if clip.meta.get("still_only") else count, *size, 4)),
        "drags": (clip.drags, np.float32, (len(clip.drags), count, 2)),
        "tracks": (clip.tracks, np.float32, (points, count, 2)),
        "visible": (clip.visible, np.bool_, (points, count)),
        "part": (clip.part, np.int16, (points,)),
    }
    for key, values in clip.passes.items():
        _, dtype, width = PASSES[key]
        frames = count - 1 if key in BETWEEN_FRAMES else count
        expected[key] = (values, dtype, (frames, *size, *([width] if width else [])))
    for key, (values, dtype, shape) in expected.items():
        if values.dtype != dtype or values.shape != shape:
            raise InputError(
                f"clip {name}: {key} is {values.dtype} {list(values.shape)}, "
                f"expected {np.dtype(dtype)} {list(shape)}; render it again"
            )


def encode_strip(frames: NDArray[np.uint8]) -> bytes:
    """Frames `[N, H, W]` or `[N, H, W, C]` as one PNG, stacked downwards."""
    return encode_png(frames.reshape(-1, *frames.shape[2:]))


def decode_strip(data: bytes, count: int) -> NDArray[np.uint8]:
    """The frames of a film strip of `count` frames: uint8 `[N, H, W]` or `[N, H, W, C]`.

    Raises:
        ValueError: its height is no multiple of `count`.
        OSError: no image.
    """
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image)
    if len(pixels) % count:
        raise ValueError(f"a film strip of {len(pixels)} rows does not hold {count} frames")
    return pixels.reshape(count, -1, *pixels.shape[1:])


def encode_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Arrays as an .npz; equal arrays give equal bytes."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # numpy dates every member 1980
    return stream.getvalue()


def decode_arrays(data: bytes) -> dict[str, NDArray[np.generic]]:
    """The arrays of an .npz; pickles are refused."""
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def encode_json(value: dict[str, Any]) -> bytes:
    """JSON in UTF-8, keys in their own order."""
    return json.dumps(value, ensure_ascii=False).encode()


def _encode_array(values: NDArray[np.generic]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=False)
    return stream.getvalue()


def _decode_array(data: bytes) -> NDArray[np.generic]:
    return np.load(io.BytesIO(data), allow_pickle=False)

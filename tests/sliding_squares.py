# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips whose motion is known exactly: a textured square that slides over a plain board, with points on both."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
from puppet_master.backend.protocol import PreviewRequest
from puppet_master.training.clips import RealClip
from puppet_master.training.dataset import TrackedPoints
from puppet_master.training.tracking import TRACKERS

FRAMES = 6
QUICK = TRACKERS["dis"]  # as good as the default on these textures, in a tenth of its time


def texture(seed: int, height: int, width: int) -> np.ndarray:
    """A smooth random picture, uint8 `[height, width, 3]`."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return np.clip(110 + 40 * smooth / smooth.std(), 0, 235).astype(np.uint8)


def sliding_clip(
    name: str = "slide",
    step: tuple[int, int] = (6, 0),
    seed: int = 0,
    size: tuple[int, int] = (256, 256),
    pin: bool = False,
    square: int = 60,
    points: bool = False,
) -> RealClip:
    """A textured square that slides `step` pixels a frame over a grey board; its drag says exactly that.

    With `points`, a resting second square stands in the lower right corner; nine points lie on the sliding one
    (part 1) and nine on the resting one (part 0).
    """
    width, height = size
    board, part = np.full((height, width, 3), 225, np.uint8), texture(seed, square, square)
    corner, rest = np.array([width, height]) // 4, np.array([width, height]) - square - 8
    if points:
        board[rest[1] : rest[1] + square, rest[0] : rest[0] + square] = texture(seed + 100, square, square)
    frames = []
    for index in range(FRAMES):
        frame = board.copy()
        x, y = corner + np.array(step) * index
        frame[y : y + square, x : x + square] = part
        frames.append(frame)
    way = np.array(step) * np.arange(FRAMES)[:, None]
    drags = [(corner + square / 2 + way) / size]
    if pin:
        drags.append(np.full((FRAMES, 2), 0.9))
    tracked = _points(corner, rest, way, square, size) if points else None
    return RealClip(name, np.stack(frames), np.array(drags, np.float32), tracked)


def _points(corner: np.ndarray, rest: np.ndarray, way: np.ndarray, square: int, size: tuple[int, int]) -> TrackedPoints:
    offsets = np.stack(np.meshgrid(*[square * np.array([0.3, 0.5, 0.7])] * 2), axis=-1).reshape(-1, 1, 2)
    tracks = np.concatenate([corner + offsets + way, np.broadcast_to(rest + offsets, (9, FRAMES, 2))]) / size
    visible = np.ones((18, FRAMES), bool)
    return TrackedPoints(tracks.astype(np.float32), visible, np.repeat([1, 0], 9).astype(np.int16))


def frozen(clip: RealClip) -> np.ndarray:
    """The clip that does not move."""
    return np.repeat(clip.still[None], len(clip.frames), axis=0)


def truth(clip: RealClip) -> np.ndarray:
    """The clip's own frames."""
    return clip.frames


class Mover:
    """Stands where a model does: takes the first square of a `sliding_clip` along its first moving drag.

    Args:
        share: of the asked way it goes.
        drift: pixels a frame that all of the picture goes, asked or not.
        slots: number of drags it takes.
    """

    name, model_hash, device = "mover", "0" * 64, "cpu"

    def __init__(self, share: float = 1.0, drift: float = 0.0, slots: int = 3) -> None:
        self.share, self.drift = share, drift
        self.info = SimpleNamespace(num_drags=slots)
        self.model_hash = f"{share} {drift} {slots}"
        self.requests: list[PreviewRequest] = []

    def generate(self, request: PreviewRequest) -> tuple[np.ndarray, SimpleNamespace]:
        """Frames and their record."""
        self.requests.append(request)
        still = cv2.imdecode(np.frombuffer(request.still_png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        ways = [drag.resample(request.frames) for drag in request.drags if not drag.is_pin]
        size = still.shape[1::-1]
        way = (ways[0] - ways[0][0]) * np.array(size) * self.share if ways else np.zeros((request.frames, 2))
        frames = np.stack([self._moved(still, place, index) for index, place in enumerate(way)])
        made = {"model": self.name, "model_hash": self.model_hash, "seed": request.seed, "steps": request.steps or 3}
        made |= {"guidance": [1.0, 1.0], "device": "cpu", "versions": {}}
        return frames, SimpleNamespace(to_json=lambda: made)

    def _moved(self, still: np.ndarray, place: np.ndarray, index: int) -> np.ndarray:
        board = still[0, 0]
        _, pieces = cv2.connectedComponents((still != board).any(axis=-1).astype(np.uint8))
        square = (pieces == pieces[pieces > 0][0])[..., None] if (pieces > 0).any() else np.zeros((*still.shape[:2], 1))
        rest = np.where(square, board, still).astype(np.uint8)
        moved = [_shift(picture, place) for picture in (still, np.repeat(square, 3, axis=-1).astype(np.uint8))]
        frame = np.where(moved[1] > 0, moved[0], rest)
        return _shift(frame, np.array([self.drift * index, 0.0]), board) if self.drift else frame


def _shift(picture: np.ndarray, by: np.ndarray, border: np.ndarray | None = None) -> np.ndarray:
    matrix = np.array([[1, 0, by[0]], [0, 1, by[1]]], np.float64)
    fill = (0, 0, 0) if border is None else border.tolist()
    return cv2.warpAffine(picture, matrix, picture.shape[1::-1], flags=cv2.INTER_NEAREST, borderValue=fill)

# SPDX-License-Identifier: GPL-3.0-or-later
"""What all pipelines share: steps and their tellers, times, versions, loading of a part."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from .errors import ModelError
from .protocol import PreviewResult

NO_DRAGS = "there are no drags: nothing is asked to move"
VERSIONS_OF = ("puppet-master", "torch", "diffusers", "transformers", "numpy")

Made = tuple[NDArray[np.uint8], PreviewResult]
"""Frames `[N, H, W, 3]`, and how they were made."""


@dataclass(frozen=True)
class Step:
    """Where a sampling is.

    Attributes:
        index: of the step just done, from 0; over all samplings where previews are made in several.
        total: number of steps.
        estimate: decodes the current guess, uint8 `[N, h, w, 3]` at the model's size; costs a decode. Of previews that
            are made together: the first one's.
        notes: what the user should know by now.
    """

    index: int
    total: int
    estimate: Callable[[], NDArray[np.uint8]]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Steps:
    """Tells steps of one sampling among several; one step of a group counts for each of its previews."""

    on_step: Callable[[Step], None] | None
    done: int
    total: int
    together: int
    notes: tuple[str, ...]

    def __call__(self, index: int, estimate: Callable[[], NDArray[np.uint8]]) -> None:
        """Tell that step `index` of this sampling is done."""
        if self.on_step is not None:
            at = self.done + (index + 1) * self.together - 1
            self.on_step(Step(at, self.total, estimate, self.notes))


class Timed:
    """Adds the seconds its block took to `timings[name]`, what it left a GPU to do included."""

    def __init__(self, timings: dict[str, float], name: str, device: torch.device | None = None) -> None:
        self.timings, self.name = timings, name
        self.gpu = device if device is not None and device.type == "cuda" else None

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        if self.gpu is not None:
            torch.cuda.synchronize(self.gpu)
        self.timings[self.name] = time.perf_counter() - self.began


def library_versions() -> dict[str, str]:
    """Versions of what shapes the numbers; a library without metadata is left out."""
    found = {}
    for name in VERSIONS_OF:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def load_part(cls: Any, folder: Path, device: str, dtype: torch.dtype = torch.float32) -> Any:
    """One component from its folder. Raises `ModelError` that names the folder."""
    try:
        # In its own precision at once: in float32 first, the full-size UNet would take 6.7 GB of memory meanwhile.
        part = cls.from_pretrained(folder, local_files_only=True, torch_dtype=dtype)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, SafetensorError) as error:
        detail = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"{folder} cannot be loaded: {detail}; get the model folder anew") from error
    return part.to(device)
